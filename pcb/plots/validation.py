"""Curves of average precision (AP) on the validation images during training."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pcb.metrics.groups import GROUP_NAMES
from pcb.plots.layout import add_title, canvas, is_narrow, legend_outside, text_size
from pcb.plots.style import GROUP_COLORS, GROUP_MARKERS, INK, with_style


@with_style
def ap_by_epoch(
    records: Sequence[dict], title: str = "Average precision during training"
) -> tuple[Figure, np.ndarray]:
    """Draw average precision (AP) on the validation images against the epoch.

    Each panel shows AP over all classes and over the classes of each frequency group. Undefined
    values are left out.

    Args:
        records: Log records from :meth:`pcb.runs.RunFolder.read_log`. The figure uses only the
            validation records.
        title: Title of the figure; empty for no title.

    Returns:
        (figure, axes) with one panel for boxes, masks or each of both, depending on the records.

    Raises:
        ValueError: If there is no validation record with an AP.

    Example:
        >>> log = [{"mode": "val", "epoch": e, "segm_AP": 0.25 * e, "segm_APr": None}
        ...        for e in (1, 2)]
        >>> figure, (masks,) = ap_by_epoch(log)
        >>> [(line.get_label(), line.get_ydata().tolist()) for line in masks.get_lines()]
        [('all', [25.0, 50.0])]
        >>> plt.close(figure)
    """
    kinds = {"bbox": "boxes", "segm": "masks"}
    found = [record for record in records if record.get("mode") == "val"]
    shown = [kind for kind in kinds if any(f"{kind}_AP" in record for record in found)]
    if not shown:
        raise ValueError(
            "the log contains no validation with an AP: set `evaluation` in the config and train, "
            "or wait until the first validation ends"
        )
    size = canvas(11.5 if len(shown) > 1 else 6.5, 4.2)
    stacked = is_narrow()
    rows, columns = (len(shown), 1) if stacked else (1, len(shown))
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, sharey=True)
    axes = axes.ravel()
    if stacked:
        figure.set_figheight(2.5 * len(shown))
    epochs = np.array([record["epoch"] for record in found])
    for ax, kind in zip(axes, shown, strict=True):
        curves = [("", "all", {"color": INK, "marker": "D", "lw": 2.2})]
        curves += [
            (group, name, {"color": GROUP_COLORS[group], "marker": GROUP_MARKERS[group]})
            for group, name in GROUP_NAMES.items()
        ]
        for group, name, look in curves:
            values = np.array([r.get(f"{kind}_AP{group}") for r in found], dtype=float) * 100
            known = ~np.isnan(values)
            if known.any():
                ax.plot(epochs[known], values[known], label=name, ms=4.5, clip_on=False, **look)
        ax.set_title(kinds[kind], fontsize=text_size(11.5))
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        ax.set_ylim(bottom=0)
        ax.grid()
    axes[0].set_ylabel("AP in percent")
    legend_outside(axes[-1])
    add_title(figure, title)
    return figure, axes
