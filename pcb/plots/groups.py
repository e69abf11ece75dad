"""Figures that distinguish three groups of classes: frequent, common and rare classes.

The rows of a confusion matrix are true classes, and the columns are predicted classes. A matrix of
detections has an additional last row for detections on background, and an additional last column
for missed objects.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pcb.metrics.groups import GROUP_NAMES, GROUPS, check_groups, most_frequent_first
from pcb.metrics.matrix import group_bias, group_totals
from pcb.plots.annotated import annotated_heatmap
from pcb.plots.layout import (
    add_title,
    canvas,
    is_narrow,
    legend_below,
    legend_outside,
    most_names,
    points,
    text_size,
    wrap_if_narrow,
)
from pcb.plots.marks import group_handles
from pcb.plots.style import GROUP_COLORS, INK, MUTED, with_style
from pcb.plots.text import name_ticks, number_text, plain_numbers


@with_style
def group_confusion(
    shares: np.ndarray,
    columns: Sequence[str],
    title: str = "Where instances of each group end up",
) -> tuple[Figure, Axes]:
    """Draw stacked bars that show how the instances of each frequency group are classified.

    Args:
        shares: (3, 4) or (3, 5) shares from :func:`pcb.metrics.group_shares`. The rows are the true
            groups: frequent, common and rare classes.
        columns: Column names from :func:`pcb.metrics.group_shares`, such as ``"itself"``,
            ``"other rare"`` or ``"missed"``.
        title: Title of the figure; empty for no title.

    Returns:
        (figure, axes).

    Example:
        >>> from pcb.metrics import group_shares
        >>> figure, axes = group_confusion(*group_shares(np.eye(2), ["f", "r"]))
        >>> [text.get_text() for text in axes.get_yticklabels()]
        ['true frequent', 'true common', 'true rare']
        >>> plt.close(figure)
    """
    colors = {"itself": "#555555", "missed": "#FFFFFF"}
    colors.update({f"other {GROUP_NAMES[group]}": GROUP_COLORS[group] for group in GROUPS})
    figure, axes = plt.subplots(figsize=canvas(9.5, 3.2, lines=True))
    least = 0.1 if is_narrow() else 0.035  # smallest segment with room for a number
    left = np.zeros(len(shares))
    for column, name in enumerate(columns):
        values = np.nan_to_num(shares[:, column])
        bars = axes.barh(
            range(len(shares)),
            values,
            left=left,
            height=0.66,
            color=colors[name],
            edgecolor="#555555" if name == "missed" else "white",
            linewidth=0.8,
            hatch="///" if name == "missed" else None,
            label=name if name in ("itself", "missed") else name.replace("other", "another"),
        )
        texts = [f"{100 * value:.0f}%" if value >= least else "" for value in values]
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1} if name == "missed" else None
        axes.bar_label(
            bars,
            texts,
            label_type="center",
            color=INK if name == "missed" else "white",
            bbox=box,
            fontsize=text_size(10),
        )
        left += values
    for row in np.flatnonzero(np.isnan(shares).all(axis=1)):
        axes.text(0.01, row, "n/a", va="center", color=MUTED)
    groups = [GROUP_NAMES[group] for group in GROUPS]
    axes.set_yticks(range(len(shares)), [f"true {group}" for group in groups])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    axes.set_xlabel("mean share over the group's classes")
    legend_outside(axes)
    add_title(figure, title, axes)
    return figure, axes


@with_style
def group_heatmap(
    matrix: np.ndarray, frequency: Sequence[str], title: str = "Confusion between groups"
) -> tuple[Figure, np.ndarray]:
    """Draw two heat maps of the confusion between frequency groups.

    Args:
        matrix: (C, C) confusion matrix, or (C + 1, C + 1) for detections. For detections, the first
            heat map has a fourth column with the share of missed objects.
        frequency: (C,) frequency group of each class: ``"f"``, ``"c"`` or ``"r"``.
        title: Title of the figure; it should say which matrix is shown.

    Returns:
        (figure, axes); axes is an array of length two. The first heat map shows in percent how
        often the row's group is predicted as the column's group; see
        :func:`pcb.metrics.group_totals`. The second heat map shows this percentage minus the
        percentage of the reverse confusion; see :func:`pcb.metrics.group_bias`.

    Example:
        >>> figure, axes = group_heatmap(np.array([[8, 2], [1, 1]]), ["f", "r"])
        >>> [text.get_text() for text in axes[0].texts]
        ['80.0', '0.0', '20.0', '50.0', '0.0', '50.0', 'n/a', 'n/a', 'n/a']
        >>> plt.close(figure)
    """
    check_groups(frequency)
    totals = group_totals(matrix, frequency)
    if len(matrix) > len(frequency):
        totals = np.column_stack([totals, 1 - totals.sum(axis=1)])
    totals = 100 * totals
    biases = 100 * group_bias(matrix, frequency)
    np.fill_diagonal(biases, np.nan)
    names = [GROUP_NAMES[group] for group in GROUPS]
    size = canvas(11, 4.1, lines=True)
    if is_narrow():
        figure, axes = plt.subplots(2, 1, figsize=(size[0], 2 * size[1]))
    else:
        widths = {"width_ratios": [totals.shape[1], 3]}
        figure, axes = plt.subplots(1, 2, figsize=size, gridspec_kw=widths)
    largest = max(np.nanmax(np.abs(biases), initial=0), 1.0)
    panels = (
        (totals, "mean share predicted as each group (%)", ".1f", "YlGnBu", 0, 100),
        (biases, "share minus reverse (points)", "+.1f", "RdBu_r", -largest, largest),
    )
    for ax, (values, heading, form, colors, low, high) in zip(axes, panels, strict=True):
        look = {"cmap": colors, "vmin": low, "vmax": high, "cbar": False, "linewidths": 1.5}
        columns = [*names, "missed"][: values.shape[1]]
        texts = np.vectorize(number_text, otypes=[object])(values, form)
        look |= {"annot": texts, "fmt": "", "xticklabels": columns, "yticklabels": names}
        annotated_heatmap(values, ax, **look)
        for row, column in np.argwhere(np.isnan(values)):
            if values is totals or row != column:
                place = {"ha": "center", "va": "center", "color": MUTED}
                ax.text(column + 0.5, row + 0.5, "n/a", **place)
        for ticks in (ax.get_xticklabels(), ax.get_yticklabels()):
            for tick, group in zip(ticks, GROUPS, strict=False):
                tick.set_color(GROUP_COLORS[group])
                tick.set_rotation(0)
        ax.tick_params(length=0)
        ax.set_title(wrap_if_narrow(heading, 30), fontsize=text_size(10.5))
        ax.set_ylabel("true group")
        ax.set_xlabel("predicted group")
    add_title(figure, title)
    return figure, axes


@with_style
def start_weights(
    weight: Sequence[float],
    update_count: Sequence[int],
    image_count: Sequence[int],
    frequency: Sequence[str],
    names: Sequence[str],
    start: str = "first update",
    title: str | None = None,
) -> tuple[Figure, Axes]:
    """Draw the weight of the initial value in each row of a confusion matrix.

    The rows of the matrix are moving averages. Each update of a row reduces the weight of the
    row's initial value.

    Args:
        weight: (C,) weight of the initial value in each row, in [0, 1]; nan if the class did not
            occur in training.
        update_count: (C,) number of updates of each row. With few classes, these numbers are
            written above the bars. With many classes, a second panel shows them as a curve.
        image_count: (C,) number of training images of each class. The bars are sorted by this
            number, largest first.
        frequency: (C,) frequency group of each class: ``"f"``, ``"c"`` or ``"r"``.
        names: (C,) class names.
        start: Name of the initial value in the figure, such as ``"first update"``.
        title: Title of the figure; empty for no title. Default:
            ``"How much of each row is still its <start>?"``.

    Returns:
        (figure, axes).

    Example:
        >>> figure, axes = start_weights([0.1, 0.9], [200, 8], [90, 4], "cr", ["cat", "yak"])
        >>> [text.get_text() for text in axes.texts][:2]
        ['200', '8']
        >>> plt.close(figure)
    """
    groups = check_groups(frequency)
    order = most_frequent_first(image_count)
    weight = np.asarray(weight, dtype=float)[order]
    named = len(order) <= most_names()
    counts = np.asarray(update_count)[order]
    if named:
        figure, axes = plt.subplots(figsize=canvas(max(8.0, 0.27 * len(order)), 4.2, lines=True))
    else:
        figure, (axes, below) = plt.subplots(2, 1, figsize=canvas(10, 5.6), sharex=True)
    position = np.arange(len(order))
    heights, own = np.nan_to_num(weight), np.array(groups)[order]
    if named:
        colors = [GROUP_COLORS[group] for group in own]
        bars = axes.bar(position, heights, width=0.82, color=colors)
        texts = ["n/a" if np.isnan(w) else f"{int(n)}" for w, n in zip(weight, counts, strict=True)]
        look = {"rotation": 90, "fontsize": text_size(8.5), "color": MUTED}
        axes.bar_label(bars, texts, padding=points(3), **look)
        name_ticks(axes, [names[label] for label in order])
    else:
        edges = np.arange(len(order) + 1) - 0.5
        for group in reversed(GROUPS):
            shown = np.where(own == group, heights, 0)
            axes.stairs(shown, edges, fill=True, color=GROUP_COLORS[group])
        below.plot(position, np.maximum(counts, 0.5), color=INK, drawstyle="steps-mid")
        below.set_yscale("log")
        plain_numbers(below.yaxis)
        below.grid(axis="y")
        below.set_ylabel("updates")
        below.set_xticks([])
        below.set_xlabel("classes, most frequent first")
        handles = group_handles(groups, marker=False)
        if is_narrow():
            legend_below(figure, handles)
        else:
            axes.legend(handles=handles, ncols=3, loc="upper left")
    axes.set_xlim(-0.7, len(order) - 0.3)
    # Scale the axis to the largest weight, but at least to 0.1%.
    largest = float(np.nanmax(weight, initial=0))
    axes.set_ylim(0, 1.2 * max(largest, 1e-3))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    notes = []
    if largest < 0.01:
        notes.append(f"No weight exceeds {100 * largest:.1g}%: the axis ends far below 100%.")
    if not named and (unseen := int(np.isnan(weight).sum())):
        notes.append(f"n/a: {unseen} of {len(order)} classes, never seen in training.")
    place = {"transform": axes.transAxes, "color": MUTED}
    axes.text(0.02, 0.75, "\n".join(wrap_if_narrow(note, 38) for note in notes), **place)
    axes.grid(axis="y")
    axes.set_ylabel(wrap_if_narrow(f"weight of the {start}", 16))
    default = f"How much of each row is still its {start}?"
    add_title(figure, default if title is None else title, axes)
    return figure, axes
