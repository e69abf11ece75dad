"""Bar chart of the average precision (AP) of each frequency group, for one or several runs."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pcb.plots.layout import add_title, canvas, legend_outside, text_size
from pcb.plots.style import GROUP_COLORS, tint, tints, with_style
from pcb.plots.text import number_text

# Metric, name and colour of each bar.
GROUP_METRICS = (
    ("AP", "all classes", "#555555"),
    ("APf", "frequent", GROUP_COLORS["f"]),
    ("APc", "common", GROUP_COLORS["c"]),
    ("APr", "rare", GROUP_COLORS["r"]),
)


def _points(value: float | None) -> float:
    """Convert a fraction to percent, and None to nan.

    Example:
        >>> _points(0.25), _points(None)
        (25.0, nan)
    """
    return np.nan if value is None else 100 * float(value)


@with_style
def ap_by_group(
    metrics: Mapping[str, Mapping[str, float]], title: str = "Average precision by frequency group"
) -> tuple[Figure, Axes]:
    """Draw the AP of all classes and of each frequency group, for one or several training runs.

    Args:
        metrics: Maps the name of each run to the metrics of the run, for example
            ``{"softmax": {"AP": 0.3, "APr": nan, ...}}``. The metrics are fractions. Undefined
            metrics are shown as n/a.
        title: Title of the figure; it should name the data and the kind of AP (mask or box).

    Returns:
        (figure, axes).

    Raises:
        ValueError: If ``metrics`` is empty.

    Example:
        >>> figure, axes = ap_by_group({"softmax": {"AP": 0.3, "APr": float("nan"), "APf": 0.4}})
        >>> [text.get_text() for text in axes.texts]
        ['30.0', '40.0', 'n/a', 'n/a']
        >>> plt.close(figure)
    """
    if not metrics:
        raise ValueError("`metrics` is empty: pass the metrics of at least one run")
    values = {
        run: np.array([_points(own.get(metric)) for metric, _, _ in GROUP_METRICS])
        for run, own in metrics.items()
    }
    shares = tints(len(values))
    figure, axes = plt.subplots(figsize=canvas(max(7.5, 2.6 + 1.9 * len(values)), 4.4))
    width = 0.82 / len(values)
    for number, (own, share) in enumerate(zip(values.values(), shares, strict=True)):
        bars = axes.bar(
            np.arange(len(GROUP_METRICS)) + (number - (len(values) - 1) / 2) * width,
            np.nan_to_num(own),
            width=0.94 * width,
            color=[tint(color, share) for _, _, color in GROUP_METRICS],
        )
        small = text_size(10.5 if len(values) <= 4 else 8.5)
        axes.bar_label(
            bars, [number_text(value, ".1f") for value in own], padding=2, fontsize=small
        )
    axes.set_xticks(range(len(GROUP_METRICS)), [f"{name}\n({m})" for m, name, _ in GROUP_METRICS])
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y")
    if len(values) > 1:
        handles = [
            Patch(color=tint("#555555", share), label=run)
            for run, share in zip(values, shares, strict=True)
        ]
        legend_outside(axes, handles)
    axes.set_ylabel("AP (%)")
    axes.set_ylim(0, max(1.18 * np.nanmax([*values.values(), np.zeros(4)]), 1))
    add_title(figure, title, axes)
    return figure, axes
