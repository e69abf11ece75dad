"""Figures of average precision (AP) over seeds: single values, means and confidence intervals."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pcb.messages.printable import shortened
from pcb.metrics.seeds import Estimate, estimate
from pcb.plots.layout import (
    add_title,
    canvas,
    is_for_print,
    is_narrow,
    legend_below,
    points,
    text_size,
)
from pcb.plots.marks import interval_bar, legend_mark
from pcb.plots.precision import GROUP_METRICS
from pcb.plots.style import FAINT, INK, tint, with_style
from pcb.plots.text import number_text

_LONGEST = 36  # characters of a row name
_BETWEEN = 0.5  # free space between groups of rows, as a fraction of a row


@with_style
def ap_over_seeds(
    estimates: Mapping[str, Mapping[str, Estimate]],
    groups: Sequence[str] | None = None,
    title: str = "Average precision over seeds",
) -> tuple[Figure, np.ndarray]:
    """Draw the AP of all, frequent, common and rare classes over several seeds.

    Each training config has its own row, with one dot for each seed. The mean is written beside the
    row. With two or more seeds, a bar shows the 95% confidence interval of the mean, and an arrow
    marks an interval that continues beyond the axis.

    Args:
        estimates: For each config and metric (``AP``, ``APf``, ``APc``, ``APr``), the result of
            :func:`pcb.metrics.estimate` over the seeds, with AP as a fraction. A missing metric is
            shown as n/a.
        groups: The group name of each row, for example the baseline of the row's config. There is a
            gap between rows of different groups. The last row of a group has the full colour, and
            the other rows are paler. Default: all rows form one group.
        title: Title of the figure; it should name the data, and say whether the AP is mask AP or
            box AP.

    Returns:
        (figure, axes); axes is an array of four panels, one for each metric.

    Raises:
        ValueError: If ``estimates`` is empty.

    Example:
        >>> from pcb.metrics import estimate
        >>> figure, axes = ap_over_seeds({"softmax": {"AP": estimate([0.25, 0.5])}})
        >>> [text.get_text() for text in axes[0].texts], [text.get_text() for text in axes[1].texts]
        (['37.5'], ['n/a'])
        >>> plt.close(figure)
    """
    return _rows_of_metrics(estimates, groups, title, "AP (%)", signed=False)


@with_style
def ap_difference(
    differences: Mapping[str, Mapping[str, Estimate]],
    title: str = "Difference in AP over seeds",
) -> tuple[Figure, np.ndarray]:
    """Draw the difference in AP for each pair of training configs.

    Each pair of configs has its own row. Each dot is the difference between two training runs with
    the same seed. Means and confidence intervals are drawn as in :func:`ap_over_seeds`.

    Args:
        differences: For each pair of configs and each metric, the result of
            :func:`pcb.metrics.paired_difference` over the seeds, with AP as a fraction.
        title: Title of the figure; empty for no title.

    Returns:
        (figure, axes); axes is an array of four panels, one for each metric. All panels have the
        same scale.

    Raises:
        ValueError: If ``differences`` is empty.

    Example:
        >>> from pcb.metrics import estimate
        >>> figure, axes = ap_difference({"pcb - plain": {"AP": estimate([0.01, 0.02])}})
        >>> axes[0].texts[0].get_text()
        '+1.5'
        >>> plt.close(figure)
    """
    return _rows_of_metrics(differences, None, title, "difference (points)", signed=True)


def _rows_of_metrics(
    estimates: Mapping[str, Mapping[str, Estimate]],
    groups: Sequence[str] | None,
    title: str | None,
    label: str,
    signed: bool,
) -> tuple[Figure, np.ndarray]:
    if not estimates:
        raise ValueError("there are no results to draw: pass at least one row of results")
    names, groups = list(estimates), list(groups or [""] * len(estimates))
    height = np.arange(len(names)) + _BETWEEN * np.cumsum(
        [0, *(one != other for one, other in zip(groups[1:], groups, strict=False))]
    )
    rows = 2 if is_narrow() else 1
    size = canvas(11, 1.9 + 0.42 * (height[-1] + 1), lines=True)
    figure, axes = plt.subplots(
        *(rows, 4 // rows),
        sharey=True,
        figsize=(size[0], rows * size[1]),
        gridspec_kw={"wspace": 0},
    )
    axes = np.ravel(axes)
    shares = [1.0 if signed or groups[i + 1 : i + 2] != [g] else 0.5 for i, g in enumerate(groups)]
    undefined = estimate([])
    panels = [
        [own.get(metric, undefined) for own in estimates.values()] for metric, _, _ in GROUP_METRICS
    ]
    common = _limits([one for panel in panels for one in panel], signed)
    for panel, own, (metric, name, color) in zip(axes, panels, GROUP_METRICS, strict=True):
        panel.set_xlim(common if signed else _limits(own, signed))
        for row, one, share in zip(height, own, shares, strict=True):
            _draw(panel, row, one, tint(color, share))
            text = number_text(100 * one.mean, "+.1f" if signed else ".1f")
            look = {"xycoords": ("axes fraction", "data"), "va": "center", "fontweight": "bold"}
            panel.annotate(text, (1.02, row), color=tint(color, 1), **look)
        if signed:
            panel.axvline(0, color=INK, lw=1, zorder=1)
        for row in np.flatnonzero(np.diff(height) > 1):
            panel.axhline((height[row] + height[row + 1]) / 2, color=FAINT, lw=1)
        panel.set_title(f"{metric}, {name}", fontsize=text_size(11.5), color=color)
        panel.grid(axis="x")
        panel.locator_params(axis="x", nbins=3 if is_for_print() else 5)
        panel.tick_params(axis="y", length=0)
        if any(one.n for one in own):
            panel.set_xlabel(label)
        else:
            panel.set_xticks([])
    axes[0].set_yticks(height, [_row_name(name) for name in names])
    axes[0].set_ylim(height[-1] + 0.6, -0.6)
    if any(one.n > 1 for panel in panels for one in panel):
        what = "mean difference" if signed else "mean over seeds"
        bar = Line2D([], [], color=INK, lw=2.4, marker="D", markersize=5)
        bar.set_label(f"{what} with 95% confidence interval")
        handles = [bar, legend_mark("one seed", "o", mfc="none", mec=INK)]
        legend_below(figure, handles)
    add_title(figure, title)
    return figure, axes


def _row_name(name: str) -> str:
    """Shorten the name of a row. In a narrow figure, wrap the name to at most two lines."""
    if not is_narrow():
        return shortened(name, _LONGEST)
    return "\n".join(textwrap.wrap(name.replace("/", "/ "), 14, max_lines=2, placeholder="…"))


def _draw(axes: Axes, row: float, one: Estimate, color) -> None:
    """Draw one dot per seed. For several seeds, also draw the mean and its confidence interval."""
    values = 100 * np.array(one.values)
    if len(values) < 2:
        axes.plot(values, [row] * len(values), "o", ms=points(7), color=color, zorder=3)
        return
    left, right = axes.get_xlim()
    limits = left + 0.02 * (right - left), right - 0.02 * (right - left)  # leave room for an arrow
    interval_bar(axes, (100 * one.low, 100 * one.high), row - 0.1, limits, color)
    axes.plot(100 * one.mean, row - 0.1, "D", ms=points(6), color=color, zorder=3)
    look = {"mfc": "none", "mec": color, "mew": 1.2}
    axes.plot(values, [row + 0.22] * len(values), "o", ms=points(5), zorder=3, **look)


def _limits(estimates: Sequence[Estimate], signed: bool) -> tuple[float, float]:
    """Return the lower and upper limit, in percent, of an axis that shows AP or AP differences."""
    values = 100 * np.array([0.0, *(value for one in estimates for value in one.values)])
    ends = 100 * np.array([end for one in estimates if one.n > 1 for end in (one.low, one.high)])
    span = max(np.ptp(values), 1)
    ends = np.clip(ends, values.min() - span * signed, values.max() + span)  # AP is never negative
    low, high = min([*values, *ends]), max([*values, *ends])
    margin = 0.05 * max(high - low, 1)
    return low - margin * signed, max(high + margin, 1.0)  # an AP of 0 needs an axis, too
