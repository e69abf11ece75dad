"""A figure that shows how soft labels change during training."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from pcb.metrics.groups import check_groups
from pcb.plots.layout import (
    add_title,
    canvas,
    fit_columns,
    fit_panels,
    legend_below,
    points,
    text_size,
)
from pcb.plots.placement import spread
from pcb.plots.style import FAINT, GROUP_COLORS, INK, PALETTE, with_style
from pcb.plots.text import percent, short


@with_style
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
    """Draw how the soft labels of some classes change during training.

    Each panel shows the soft label of one class: the probabilities of the class itself and of the
    most probable other classes. Shading marks the epochs in which Pairwise Class Balance (PCB) is
    active.

    Args:
        history: Dict of the soft labels at the end of each epoch. The keys are epochs, counted from
            1. The values are arrays (C, C), in which row y is the soft label of class y. To save
            memory, a value may instead be a dict that maps each label in ``classes`` to its soft
            label (C,).
        classes: Labels of the classes to show, each in its own panel.
        names: (C,) class names.
        frequency: (C,) frequency group of each class: ``"f"``, ``"c"`` or ``"r"``. Class names are
            coloured by group.
        start_epoch: First epoch in which PCB is active; None if PCB is never active.
        top: Number of other classes in each panel. The other classes are ranked by their highest
            probability in any epoch.
        columns: Maximum number of panels per row.
        title: Title of the figure; empty for no title.

    Returns:
        (figure, axes); axes is an array of shape (rows, columns).

    Raises:
        ValueError: If ``history`` or ``classes`` is empty.

    Example:
        >>> history = {1: {0: np.array([0.6, 0.4])}, 2: {0: np.array([0.9, 0.1])}}
        >>> figure, axes = soft_label_history(history, [0], ["cat", "dog"], "fr", start_epoch=2)
        >>> [line.get_ydata().tolist() for line in axes[0, 0].get_lines()]
        [[0.4, 0.1], [0.6, 0.9]]
        >>> plt.close(figure)
    """
    if not len(history):
        raise ValueError("`history` is empty: pass the soft labels of at least one epoch")
    if not len(classes):
        raise ValueError("`classes` is empty: pass at least one class")
    groups = check_groups(frequency)
    epochs = sorted(history)
    columns = fit_columns(5.8, min(columns, len(classes)))
    rows = -(-len(classes) // columns)
    size = canvas(max(5.8 * columns, 7), fit_panels(2.9, rows, 0.6) * rows + 0.6, lines=True)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for ax in axes.flat[len(classes) :]:
        ax.axis("off")
    if start_epoch is not None and start_epoch > epochs[-1]:
        start_epoch = None
    lines = []  # for each panel: the axes, the colour of each class, values of the last epoch
    for ax, label in zip(axes.flat, classes, strict=False):
        values = np.array([history[epoch][label] for epoch in epochs], dtype=float)
        ranked = np.argsort(-np.nan_to_num(values).max(axis=0), kind="stable")
        colors = {label: INK}
        for other in ranked[ranked != label][:top]:
            colors[int(other)] = PALETTE[(len(colors) - 1) % len(PALETTE)]
        for other in reversed(colors):  # draw the class itself last, on top of the others
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
        if start_epoch is not None:
            shade = {"color": FAINT, "lw": 0, "zorder": 0}
            ax.axvspan(start_epoch - 1, ax.get_xlim()[1], **shade)
        ax.set_xlabel("end of epoch")
    add_title(figure, title)
    if start_epoch is not None:
        handle = Patch(color=FAINT, label=f"PCB acts, from epoch {start_epoch} on")
        legend_below(figure, [handle])
    figure.draw_without_rendering()  # the distance between names depends on the final height
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
    """Write the label of each line to the right of the axes, close to the end of the line."""
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
