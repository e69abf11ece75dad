"""A figure that shows a few classes of a confusion matrix, with numbers in the cells."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from pcb.metrics.groups import check_groups
from pcb.metrics.matrix import row_shares
from pcb.plots.annotated import annotated_heatmap
from pcb.plots.layout import add_title, canvas, is_narrow, text_size
from pcb.plots.style import GROUP_COLORS, MUTED, with_style
from pcb.plots.text import short


@with_style
def confusion_zoom(
    matrix: np.ndarray,
    classes: Sequence[int],
    names: Sequence[str],
    frequency: Sequence[str],
    title: str = "Close-up",
    value_label: str = "share of the true class (%)",
) -> tuple[Figure, Axes]:
    """Draw a few classes of a confusion matrix, with numbers in the cells.

    Args:
        matrix: (C, C) confusion matrix, or (C + 1, C + 1) for detections. Rows are true classes,
            and columns are predicted classes. The figure shows each row divided by its sum.
        classes: Labels of the classes, in the order in which they are drawn, for example from
            :func:`pcb.metrics.nearest_classes`. An additional column shows the sum over all other
            classes. For detections, a further column shows missed objects.
        names: (C,) class names.
        frequency: (C,) frequency group of each class: ``"f"``, ``"c"`` or ``"r"``. The names are
            coloured by group.
        title: Title of the figure; it should say which matrix is shown.
        value_label: Label of the colour bar; it should say what the numbers mean.

    Returns:
        (figure, axes).

    Raises:
        ValueError: If ``classes`` is empty.

    Example:
        >>> matrix = np.array([[8, 2, 0], [5, 4, 1], [0, 0, 9]])
        >>> figure, axes = confusion_zoom(matrix, [1, 0], ["a", "b", "c"], ["f", "c", "r"])
        >>> [text.get_text() for text in axes.texts]
        ['40', '50', '10', '20', '80', '0']
        >>> plt.close(figure)
    """
    classes = list(classes)
    if not classes:
        raise ValueError("`classes` is empty: pass at least one class")
    groups = check_groups(frequency)
    shares = row_shares(matrix)[classes]
    others = np.setdiff1d(np.arange(len(names)), classes)
    columns = [100 * shares[:, classes]]
    labels = [short(names[label]) for label in classes]
    beside = []
    if len(others):
        columns.append(100 * shares[:, others].sum(axis=1, keepdims=True))
        beside.append(f"{len(others)} other{'s' * (len(others) > 1)}")
    if shares.shape[1] > len(names):
        columns.append(100 * shares[:, -1:])
        beside.append("missed")
    values = np.concatenate(columns, axis=1)
    texts = np.vectorize(_short_percent, otypes=[object])(values)
    size = (2.9 + 0.62 * values.shape[1], 3.2 + 0.42 * len(classes))
    size = canvas(max(size[0], 7.5), max(size[1], 4.0), lines=True)
    figure, axes = plt.subplots(figsize=size)
    annotated_heatmap(
        np.maximum(np.nan_to_num(values), 0.1),
        axes,
        annot=texts,
        fmt="",
        mask=np.isnan(values),
        norm=LogNorm(0.1, 100),
        cmap="YlGnBu",
        annot_kws={"fontsize": text_size(11)},
        cbar=not is_narrow(),
        linewidths=1,
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
    add_title(figure, title)
    return figure, axes


def _short_percent(percent: float) -> str:
    """Format a percentage with at most three characters; nan becomes an empty string.

    Example:
        >>> [_short_percent(value) for value in (0.0, 0.04, 4.4, 40.4, float("nan"))]
        ['0', '<1', '4', '40', '']
    """
    if np.isnan(percent):
        return ""
    return "<1" if 0 < percent < 0.5 else f"{percent:.0f}"
