"""Pairs of classes: which are confused most, what changed, and a class among those nearest to it.

Everywhere ``matrix[i, j]`` belongs to true class ``i`` predicted as class ``j``; a matrix of
detections has one row and one column more. Rows are divided by their sums.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pcb.metrics.matrix import row_shares
from pcb.metrics.pairs import largest_pairs, pair_shares
from pcb.plots.layout import canvas, entitle, fitted, legend_below, narrow, points, text_size
from pcb.plots.style import (
    GROUP_COLORS,
    GROUP_NAMES,
    GROUPS,
    INK,
    MUTED,
    check_groups,
    icon_of,
    percent,
    place_icon,
    short,
    styled,
    written,
)

# Text columns left of the axis, in points from it: true class, arrow, predicted class; and how many
# letters of a name fit between them.
COLUMNS = {"wide": (-322, -168, -150, 18), "narrow": (-226, -122, -108, 9)}
LOST, GAINED = INK, "#AA3377"  # in no group's colour

Pictures = Sequence[np.ndarray | None] | Mapping[int, np.ndarray | None]


@styled
def confused_pairs(
    matrix: np.ndarray,
    names: Sequence[str],
    frequency: Sequence[str],
    pictures: Pictures | None = None,
    count: int = 10,
    min_objects: float = 0,
    title: str = "The most frequent confusions",
    value_label: str = "share of the true class",
) -> tuple[Figure, Axes]:
    """The most confused pairs as bars: true class, then what it is taken for, and the way back.

    Args:
        matrix: (C, C), or (C + 1, C + 1) for detections; then the objects are counted, too.
        names: (C,) class names.
        frequency: (C,) 'r', 'c' or 'f' per class; colours the bar by the predicted class.
        pictures: of the classes by label, (h, w, 3 or 4) uint8, drawn beside the names; None where
            a class has none.
        count: pairs to show.
        min_objects: leave out true classes whose row sums to less, see
            :func:`pcb.metrics.worst_pairs`.
        title: which matrix this is.
        value_label: what an entry is.

    Returns:
        (figure, axes).

    >>> figure, axes = confused_pairs(np.array([[0.9, 0.1], [0.4, 0.6]]), ["a", "b"], ["f", "r"])
    >>> [text.get_text() for text in axes.texts][:2]
    ['b', 'a']
    >>> plt.close(figure)
    """
    matrix, groups = np.asarray(matrix), check_groups(frequency)
    shares = pair_shares(matrix, len(names), min_objects)
    pairs = largest_pairs(shares, count)
    nothing = "no confusion between classes"
    figure, axes = _pair_axes(pairs, names, groups, pictures, title, nothing)
    if not pairs:
        return figure, axes
    values = np.array([shares[pair] for pair in pairs])
    every = pair_shares(matrix, len(names))
    back = np.nan_to_num([every[pair[::-1]] for pair in pairs])
    colors = [GROUP_COLORS[groups[predicted]] for _, predicted in pairs]
    place = np.arange(len(pairs))
    bars = axes.barh(place - 0.1, values, height=0.5, color=colors)
    axes.barh(place + 0.28, back, height=0.2, color="#B5B5B5")
    texts = [percent(value) for value in values]
    if len(matrix) > len(names):
        texts = [f"{t} ({int(matrix[p])})" for t, p in zip(texts, pairs, strict=True)]
        value_label += " (objects)"
    axes.bar_label(bars, texts, padding=points(3))
    axes.set_xlim(0, 1.2 * max(*values, *back))
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
    axes.set_xlabel(fitted(value_label, 40), loc="right" if narrow() else "center")
    handles = [
        Patch(color=GROUP_COLORS[group], label=f"taken for a {GROUP_NAMES[group]} class")
        for group in GROUPS
        if GROUP_COLORS[group] in colors
    ]
    handles.append(Patch(color="#B5B5B5", label="the way back"))
    legend_below(figure, handles)
    return figure, axes


@styled
def changed_pairs(
    before: np.ndarray,
    after: np.ndarray,
    names: Sequence[str],
    frequency: Sequence[str],
    pictures: Pictures | None = None,
    count: int = 10,
    min_objects: float = 0,
    title: str = "The confusions that changed most",
    value_label: str = "share of the true class, from before (ring) to after (dot)",
) -> tuple[Figure, Axes]:
    """The pairs whose share changed most between two runs: a line from before to after.

    Shares that grew are purple, those that shrank dark.

    Args:
        before, after: two matrices of one kind and of the same classes.
        names, frequency, pictures, count, min_objects: as in :func:`confused_pairs`.
        title: which matrix, and of which runs.
        value_label: written below the axis.

    Returns:
        (figure, axes).

    >>> old, new = np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([[0.9, 0.1], [0.1, 0.9]])
    >>> figure, axes = changed_pairs(old, new, ["a", "b"], ["f", "r"])
    >>> axes.texts[-1].get_text()
    '-30'
    >>> plt.close(figure)
    """
    groups = check_groups(frequency)
    old, new = (pair_shares(matrix, len(names), min_objects) for matrix in (before, after))
    change = new - old
    pairs = largest_pairs(np.abs(change), count)
    figure, axes = _pair_axes(pairs, names, groups, pictures, title, "no confusion has changed")
    if not pairs:
        return figure, axes
    old, new = (np.array([shares[pair] for pair in pairs]) for shares in (old, new))
    colors = [GAINED if change[pair] > 0 else LOST for pair in pairs]
    place = np.arange(len(pairs))
    axes.hlines(place, old, new, colors=colors, lw=2.6)
    look = {"s": points(6.8) ** 2, "zorder": 3, "clip_on": False}
    axes.scatter(old, place, facecolors="white", edgecolors=colors, linewidths=1.5, **look)
    axes.scatter(new, place, c=colors, **look)
    for row, pair in enumerate(pairs):
        right = max(old[row], new[row])
        look = {"xytext": (points(8), 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(written(100 * change[pair], "+.0f"), (right, row), color=colors[row], **look)
    axes.set_xlim(0, 1.15 * max(*old, *new))
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    axes.grid(axis="x")
    axes.set_xlabel(fitted(value_label, 40), loc="right" if narrow() else "center")
    return figure, axes


@styled
def confusion_zoom(
    matrix: np.ndarray,
    classes: Sequence[int],
    names: Sequence[str],
    frequency: Sequence[str],
    title: str = "Closer",
    value_label: str = "share of the true class (%)",
) -> tuple[Figure, Axes]:
    """A few classes of a confusion matrix, with the numbers.

    Args:
        matrix: (C, C), or (C + 1, C + 1) for detections: then "missed" stands beside them.
        classes: labels of the classes, in the order in which they are drawn; such as from
            :func:`pcb.metrics.nearest_classes`. What goes to other classes is summed up.
        names: (C,) class names.
        frequency: (C,) 'r', 'c' or 'f' per class; colours the names.
        title: which matrix this is.
        value_label: what a number is.

    Returns:
        (figure, axes).

    Raises:
        ValueError: classes is empty.

    >>> matrix = np.array([[8, 2, 0], [5, 4, 1], [0, 0, 9]])
    >>> figure, axes = confusion_zoom(matrix, [1, 0], ["a", "b", "c"], ["f", "c", "r"])
    >>> [text.get_text() for text in axes.texts]
    ['40', '50', '10', '20', '80', '0']
    >>> plt.close(figure)
    """
    classes = list(classes)
    if not classes:
        raise ValueError("classes is empty: name at least one class")
    groups = check_groups(frequency)
    shares = row_shares(matrix)[classes]
    others = np.setdiff1d(np.arange(len(names)), classes)
    columns = [100 * shares[:, classes]]
    labels = [short(names[label]) for label in classes]
    beside = []
    if len(others):
        columns.append(100 * shares[:, others].sum(axis=1, keepdims=True))
        beside.append(f"{len(others)} others")
    if shares.shape[1] > len(names):
        columns.append(100 * shares[:, -1:])
        beside.append("missed")
    values = np.concatenate(columns, axis=1)
    texts = np.vectorize(_written, otypes=[object])(values)
    size = (2.9 + 0.62 * values.shape[1], 3.2 + 0.42 * len(classes))
    size = canvas(max(size[0], 7.5), max(size[1], 4.0), lines=True)
    figure, axes = plt.subplots(figsize=size)
    seaborn.heatmap(
        np.maximum(np.nan_to_num(values), 0.1),
        annot=texts,
        fmt="",
        mask=np.isnan(values),
        norm=LogNorm(0.1, 100),
        cmap="YlGnBu",
        annot_kws={"fontsize": text_size(11)},
        cbar=not narrow(),
        linewidths=1,
        ax=axes,
        xticklabels=labels + beside,
        yticklabels=labels,
        cbar_kws={"label": value_label, "format": "%g"},
    )
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        for tick, label in zip(ticks, classes, strict=False):
            tick.set_color(GROUP_COLORS[groups[label]])
    axes.tick_params(length=0)
    axes.set_xticks(axes.get_xticks(), axes.get_xticklabels(), rotation=45, ha="right")
    axes.set_yticks(axes.get_yticks(), axes.get_yticklabels(), rotation=0)
    axes.axvline(len(classes), color="white", lw=5)
    for row in np.flatnonzero(np.isnan(values).any(axis=1)):
        axes.text(0.5, row + 0.5, "n/a", ha="center", va="center", color=MUTED)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    entitle(figure, title)
    return figure, axes


def _written(percent: float) -> str:
    """A share in at most three characters.

    >>> [_written(value) for value in (0.0, 0.04, 4.4, 40.4, float("nan"))]
    ['0', '<1', '4', '40', '']
    """
    if np.isnan(percent):
        return ""
    return "<1" if 0 < percent < 0.5 else f"{percent:.0f}"


def _pair_axes(
    pairs: Sequence[tuple[int, int]],
    names: Sequence[str],
    groups: Sequence[str],
    pictures: Pictures | None,
    title: str,
    nothing: str,
) -> tuple[Figure, Axes]:
    """Figure and axes with a row for each pair, its classes named and drawn at the left."""
    size = canvas(10.5, 1.6 + 0.46 * max(len(pairs), 1), lines=True)
    figure, axes = plt.subplots(figsize=size)
    entitle(figure, title)  # over the columns of text, too
    true_place, arrow_place, predicted_place, letters = COLUMNS["narrow" if narrow() else "wide"]
    if not pairs:
        axes.text(0.5, 0.5, nothing, ha="center", transform=axes.transAxes)
        axes.axis("off")
        return figure, axes
    for row, pair in enumerate(pairs):
        for place, label in zip((true_place, predicted_place), pair, strict=True):
            color = GROUP_COLORS[groups[label]]
            name = short(names[label], letters)
            _beside(axes, name, (0, row), place + 26, color=color, va="center")
            picture = icon_of(pictures, label)
            if picture is not None:
                place_icon(axes, picture, (0, row), size=points(20), offset=(points(place + 10), 0))
    for row in range(len(pairs)):
        _beside(axes, "→", (0, row), arrow_place, color=MUTED, va="center")
    heads = ((true_place, "true class"), (predicted_place, "predicted"))
    for place, text in heads if narrow() else (heads[0], (predicted_place, "predicted class")):
        _beside(axes, text, (0, 1), place, 2, xycoords="axes fraction", color=MUTED)
    axes.set_yticks([])
    axes.set_ylim(len(pairs) - 0.4, -0.6)
    return figure, axes


def _beside(
    axes: Axes,
    text: str,
    xy: tuple[float, float],
    right: float,
    up: float = 0,
    xycoords: Any = None,
    **look: Any,
) -> None:
    """Write text ``right`` points right (or left) of a place on the axes."""
    xycoords = xycoords or axes.get_yaxis_transform()
    offset = {"xytext": (points(right), points(up)), "textcoords": "offset points"}
    place = {"xycoords": xycoords, **offset}
    axes.annotate(text, xy, **place, **look)
