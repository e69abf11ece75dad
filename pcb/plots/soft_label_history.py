"""How soft labels change over training, and when they begin to be trained towards."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from pcb.plots.layout import canvas, columns_of, entitle, legend_below, points, text_size
from pcb.plots.placement import spread
from pcb.plots.style import FAINT, GROUP_COLORS, INK, PALETTE, check_groups, percent, short, styled


@styled
def soft_label_history(
    history: Mapping[int, np.ndarray | Mapping[int, np.ndarray]],
    classes: Sequence[int],
    names: Sequence[str],
    frequency: Sequence[str],
    start_epoch: int | None = None,
    top: int = 4,
    columns: int = 2,
    title: str = "Soft labels over training",
) -> tuple[Figure, np.ndarray]:
    """Lines of what the label of a class gives to itself and to its largest receivers.

    Shaded are the epochs in which PCB acts, that is, trains towards these labels. A value stands
    at the end of its epoch, so that the label at the left edge is the first that is used.

    Args:
        history: soft labels by epoch (counted from 1), each (C, C), row y is the label of class y;
            a dict of the rows (C,) of ``classes`` does, too, and takes little memory.
        classes: labels of the classes to show, a panel each.
        names: (C,) class names.
        frequency: (C,) 'r', 'c' or 'f' per class; colours the names. The colours of lines tell
            classes apart and mean no group.
        start_epoch: first epoch in which PCB acts; None if it never does.
        top: other classes in a panel: those that receive most at any epoch.
        columns: panels in a row.
        title: the figure's title.

    Returns:
        (figure, axes), axes an array (rows, columns).

    >>> history = {1: np.array([[0.6, 0.4], [0.5, 0.5]]), 2: np.array([[0.9, 0.1], [0.2, 0.8]])}
    >>> figure, axes = soft_label_history(history, [0], ["cat", "dog"], ["f", "r"], start_epoch=2)
    >>> [line.get_ydata().tolist() for line in axes[0, 0].get_lines()]
    [[0.4, 0.1], [0.6, 0.9]]
    >>> plt.close(figure)
    """
    if not len(history):
        raise ValueError("history is empty: pass the soft labels of at least one epoch")
    if not len(classes):
        raise ValueError("classes is empty: name at least one class")
    groups = check_groups(frequency)
    epochs = sorted(history)
    columns = columns_of(5.8, min(columns, len(classes)))
    rows = -(-len(classes) // columns)
    size = canvas(max(5.8 * columns, 7), 2.9 * rows + 0.6, lines=True)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for ax in axes.flat[len(classes) :]:
        ax.axis("off")
    acts = start_epoch is not None and start_epoch <= epochs[-1]
    lines = []  # per panel: its axes, the colour of each class shown, the last values
    for ax, label in zip(axes.flat, classes, strict=False):
        values = np.array([history[epoch][label] for epoch in epochs], dtype=float)
        ranked = np.argsort(-np.nan_to_num(values).max(axis=0), kind="stable")
        colors = {label: INK}
        for other in ranked[ranked != label][:top]:
            colors[int(other)] = PALETTE[(len(colors) - 1) % len(PALETTE)]
        for other in reversed(colors):  # the class itself last, over the others
            look = {"color": colors[other], "lw": 2.4 if other == label else 1.7}
            ax.plot(epochs, values[:, other], marker="o", ms=points(3.5), **look)
        lines.append((ax, colors, values[-1]))
        ax.set_xlim(epochs[0] - 1, epochs[-1] + 0.02 * len(epochs))
        highest = np.nanmax(values[:, list(colors)], initial=0)
        ax.set_ylim(0, 1.12 * max(highest, 1e-3))
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
        ax.yaxis.set_major_locator(MaxNLocator(4))
        ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        ax.grid()
        look = {"color": GROUP_COLORS[groups[label]], "fontsize": text_size(11.5)}
        ax.set_title(f"true: {short(names[label])}", **look)
        if acts and start_epoch is not None:
            shade = {"color": FAINT, "lw": 0, "zorder": 0}
            ax.axvspan(start_epoch - 1, ax.get_xlim()[1], **shade)
        ax.set_xlabel("end of epoch")
    entitle(figure, title)
    if acts:
        handle = Patch(color=FAINT, label=f"PCB acts, from epoch {start_epoch} on")
        legend_below(figure, [handle])
    figure.draw_without_rendering()  # how high a panel is decides how far apart names must be
    for ax, colors, last in lines:
        texts = {o: f"{short(names[o])}  {percent(last[o])}" for o in colors}
        _name_ends(ax, texts, colors, groups, last)
    return figure, axes


def _name_ends(
    ax: Axes,
    texts: Mapping[int, str],
    colors: Mapping[int, str],
    groups: Sequence[str],
    last: np.ndarray,
) -> None:
    """Write each line's text right of the axes, as near to its end as the others let it."""
    ends = np.nan_to_num([last[label] for label in texts]) / ax.get_ylim()[1]
    line_height = text_size(12.5) * ax.figure.dpi / 72 / ax.bbox.height  # in fractions of the axes
    for (label, text), end, place in zip(
        texts.items(), ends, spread(ends, line_height), strict=True
    ):
        ax.annotate(
            text,
            (1, end),
            xycoords="axes fraction",
            xytext=(1.07, place),
            textcoords="axes fraction",
            va="center",
            fontsize=text_size(9.5),
            color=GROUP_COLORS[groups[label]],
            fontweight="bold" if colors[label] == INK else "normal",
            arrowprops={
                "arrowstyle": "-",
                "color": colors[label],
                "lw": 1.2,
                "shrinkA": 1,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )
