"""Figures of the most confused pairs of classes, and of the pairs whose confusion changed most.

The rows of a matrix are true classes; the columns are predicted classes. A matrix of detections has
an additional last row for detections on background, and an additional last column for missed
objects. The figures show each row divided by its sum.
"""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pcb.metrics.groups import GROUP_NAMES, GROUPS, check_groups
from pcb.metrics.pairs import largest_pairs, pair_shares
from pcb.plots.layout import (
    add_title,
    canvas,
    is_narrow,
    legend_below,
    points,
    wrap_if_narrow,
)
from pcb.plots.marks import Pictures, picture_of, place_picture
from pcb.plots.style import GROUP_COLORS, INK, MUTED, with_style
from pcb.plots.text import number_text, percent, short

# Columns of text to the left of the axes. The first three numbers are the positions of the true
# class, the arrow and the predicted class, in points relative to the axes. The last number is the
# largest number of characters of a name.
COLUMNS = {"wide": (-322, -168, -150, 18), "narrow": (-226, -122, -108, 9)}
LOST, GAINED = INK, "#AA3377"  # different from the colours of the groups


@with_style
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
    """Draw two bars for each of the most confused pairs of classes.

    The thick bar shows the share of the true class that is predicted as the other class. The thin
    bar below it shows the confusion in the reverse direction.

    Args:
        matrix: (C, C) confusion matrix, or (C + 1, C + 1) for detections. For detections, the
            labels of the thick bars include the number of confused objects.
        names: (C,) class names.
        frequency: (C,) frequency group of each class: ``"f"``, ``"c"`` or ``"r"``. The thick
            bars are coloured by the group of the predicted class.
        pictures: Pictures of the classes, drawn beside the names; None to draw no pictures.
        count: Maximum number of pairs to show.
        min_objects: Minimum number of objects of a true class. Classes with fewer objects are left
            out. Use this argument only if the matrix contains counts.
        title: Title of the figure; it should say which matrix is shown.
        value_label: Label of the x axis; it should say what the bars show.

    Returns:
        (figure, axes).

    Example:
        >>> matrix = np.array([[0.9, 0.1], [0.4, 0.6]])
        >>> figure, axes = confused_pairs(matrix, ["a", "b"], ["f", "r"])
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
    reverse = np.nan_to_num([every[pair[::-1]] for pair in pairs])
    colors = [GROUP_COLORS[groups[predicted]] for _, predicted in pairs]
    place = np.arange(len(pairs))
    bars = axes.barh(place - 0.1, values, height=0.5, color=colors)
    axes.barh(place + 0.28, reverse, height=0.2, color="#B5B5B5")
    texts = [percent(value) for value in values]
    if len(matrix) > len(names):
        texts = [f"{t} ({int(matrix[p])})" for t, p in zip(texts, pairs, strict=True)]
        value_label += " (objects)"
    axes.bar_label(bars, texts, padding=points(3))
    axes.set_xlim(0, 1.2 * max(*values, *reverse))
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
    axes.set_xlabel(wrap_if_narrow(value_label, 40), loc="right" if is_narrow() else "center")
    handles = [
        Patch(color=GROUP_COLORS[group], label=f"predicted as {GROUP_NAMES[group]}")
        for group in GROUPS
        if GROUP_COLORS[group] in colors
    ]
    handles.append(Patch(color="#B5B5B5", label="reverse direction"))
    legend_below(figure, handles)
    return figure, axes


@with_style
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
    """Draw the pairs of classes whose confusion changed most between two training runs.

    The confusion of a pair is the share of objects of the true class that are predicted as the
    other class. For each pair, a line connects the shares in the two runs. The line is purple if
    the share grew, and dark if the share shrank.

    Args:
        before, after: Confusion matrices of the two runs, with the same classes: both (C, C), or
            both (C + 1, C + 1) for detections.
        names, frequency, pictures, count, min_objects: As in :func:`confused_pairs`, but
            ``frequency`` affects only the colours of the class names.
        title: Title of the figure; it should name the kind of matrix and the two runs.
        value_label: Label of the x axis.

    Returns:
        (figure, axes).

    Example:
        >>> old, new = np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([[0.9, 0.1], [0.1, 0.9]])
        >>> figure, axes = changed_pairs(old, new, ["a", "b"], ["f", "r"])
        >>> axes.texts[-1].get_text() == number_text(-30, "+.0f")
        True
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
    look: dict[str, Any] = {"s": points(6.8) ** 2, "zorder": 3, "clip_on": False}
    axes.scatter(old, place, facecolors="white", edgecolors=colors, linewidths=1.5, **look)
    axes.scatter(new, place, c=colors, **look)
    for row, pair in enumerate(pairs):
        right = max(old[row], new[row])
        look = {"xytext": (points(8), 0), "textcoords": "offset points", "va": "center"}
        text = number_text(100 * change[pair], "+.0f")
        axes.annotate(text, (right, row), color=colors[row], **look)
    axes.set_xlim(0, 1.15 * max(*old, *new))
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    axes.grid(axis="x")
    axes.set_xlabel(wrap_if_narrow(value_label, 40), loc="right" if is_narrow() else "center")
    return figure, axes


def _pair_axes(
    pairs: Sequence[tuple[int, int]],
    names: Sequence[str],
    groups: Sequence[str],
    pictures: Pictures | None,
    title: str,
    nothing: str,
) -> tuple[Figure, Axes]:
    """Create a figure with a row for each pair of classes; names and pictures are on the left.

    If there are no pairs, the figure shows the text in ``nothing`` instead.
    """
    size = canvas(10.5, 1.6 + 0.46 * max(len(pairs), 1), lines=True)
    figure, axes = plt.subplots(figsize=size)
    add_title(figure, title)  # the title also spans the columns of text
    true_place, arrow_place, predicted_place, letters = COLUMNS["narrow" if is_narrow() else "wide"]
    if not pairs:
        axes.text(0.5, 0.5, nothing, ha="center", transform=axes.transAxes)
        axes.axis("off")
        return figure, axes
    for row, pair in enumerate(pairs):
        for place, label in zip((true_place, predicted_place), pair, strict=True):
            color = GROUP_COLORS[groups[label]]
            name = short(names[label], letters)
            _annotate_beside(axes, name, (0, row), place + 26, color=color, va="center")
            picture = picture_of(pictures, label)
            if picture is not None:
                place_picture(
                    axes, picture, (0, row), size=points(20), offset=(points(place + 10), 0)
                )
    for row in range(len(pairs)):
        _annotate_beside(axes, "→", (0, row), arrow_place, color=MUTED, va="center")
    heads = ((true_place, "true class"), (predicted_place, "predicted"))
    for place, text in heads if is_narrow() else (heads[0], (predicted_place, "predicted class")):
        _annotate_beside(axes, text, (0, 1), place, 2, xycoords="axes fraction", color=MUTED)
    axes.set_yticks([])
    axes.set_ylim(len(pairs) - 0.4, -0.6)
    return figure, axes


def _annotate_beside(
    axes: Axes,
    text: str,
    xy: tuple[float, float],
    right: float,
    up: float = 0,
    xycoords: Any = None,
    **look: Any,
) -> None:
    """Write text beside a position on the axes.

    The arguments ``right`` and ``up`` are the distances from the position to the text, in points.
    Negative values move the text to the left or down.
    """
    xycoords = xycoords or axes.get_yaxis_transform()
    offset = {"xytext": (points(right), points(up)), "textcoords": "offset points"}
    place = {"xycoords": xycoords, **offset}
    axes.annotate(text, xy, **place, **look)
