"""Figures of a toy problem: the classification of points in the plane."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pcb.metrics.groups import GROUP_NAMES, check_groups
from pcb.plots.layout import add_title, canvas, fit_columns, legend_below, legend_outside, text_size
from pcb.plots.marks import dot_style, legend_mark
from pcb.plots.style import GROUP_COLORS, GROUP_MARKERS, INK, MUTED, tint, with_style

PLAIN, BALANCED = "#8A8A8A", "#AA4499"


@with_style
def decision_regions(
    decisions: Mapping[str, np.ndarray],
    extent: Sequence[float],
    points: np.ndarray,
    labels: Sequence[int],
    names: Sequence[str],
    frequency: Sequence[str],
    title: str = "Where each classifier decides for which class",
) -> tuple[Figure, np.ndarray]:
    """Colour the plane by predicted class, in one panel per classifier.

    Args:
        decisions: Dict from the name of each classifier to its predicted classes (H, W) on a grid
            of points, with the bottom row first.
        extent: Left, right, bottom and top edge of the grid.
        points: (N, 2) training points, drawn in each panel.
        labels: (N,) true class of each training point.
        names: (C,) class names.
        frequency: (C,) frequency group of each class: ``"f"``, ``"c"`` or ``"r"``. Each
            group may occur only once, because a class gets the colour and marker of its group.
        title: Title of the figure; empty for no title.

    Returns:
        (figure, axes); axes is an array with one entry per classifier.

    Example:
        >>> grid, points = {"plain": np.array([[0, 1]])}, np.zeros((1, 2))
        >>> figure, axes = decision_regions(grid, [0, 2, 0, 1], points, [0], ["fox", "wolf"], "fr")
        >>> axes[0].get_title(loc="left")
        'plain'
        >>> plt.close(figure)
    """
    groups, labels = check_groups(frequency), np.asarray(labels)
    colors = ListedColormap([tint(GROUP_COLORS[group], 0.3) for group in groups])
    columns = fit_columns(4.6, len(decisions))
    lines = -(-len(decisions) // columns)
    size = canvas(4.6 * columns, 4.2 * lines + 0.5, lines=True)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False)
    for ax in axes.flat[len(decisions) :]:
        ax.axis("off")
    for ax, (heading, predicted) in zip(axes.flat, decisions.items(), strict=False):
        bounds = {"vmin": -0.5, "vmax": len(names) - 0.5, "interpolation": "nearest"}
        ax.imshow(predicted, colors, origin="lower", extent=extent, aspect="equal", **bounds)
        for label, group in enumerate(groups):
            look = {**dot_style(len(labels)), "marker": GROUP_MARKERS[group], "linewidths": 0.4}
            own = points[labels == label]
            ax.scatter(*own.T, color=GROUP_COLORS[group], edgecolors="white", **look)
        ax.set_xlim(extent[0], extent[1])
        ax.set_ylim(extent[2], extent[3])
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_title(heading, fontsize=text_size(11.5))
    handles = [
        legend_mark(f"{name} ({GROUP_NAMES[g]})", GROUP_MARKERS[g], color=GROUP_COLORS[g])
        for name, g in zip(names, groups, strict=True)
    ]
    legend_below(figure, handles)
    add_title(figure, title)
    return figure, axes.ravel()[: len(decisions)]


@with_style
def mistaken_share(
    shares: Mapping[str, np.ndarray],
    steps: Sequence[int],
    start: int | None = None,
    ylabel: str = "share mistaken",
    title: str = "How often is the rare class mistaken for its look-alike?",
) -> tuple[Figure, Axes]:
    """Draw how often one class is mistaken for another during training, without and with PCB.

    Each pale line shows one training run. Each strong line shows the mean of all training runs
    with the same loss.

    Args:
        shares: Dict from the name of a loss to an array (R, T): the share of mistakes in each of R
            training runs at each of T steps. The first entry is the loss without Pairwise Class
            Balance (PCB); the second entry, if any, is the loss with PCB.
        steps: (T,) training steps.
        start: Step from which PCB is active, marked with a dotted line; None for no line.
        ylabel: Label of the y axis.
        title: Title of the figure; empty for no title.

    Returns:
        (figure, axes).

    Example:
        >>> figure, axes = mistaken_share({"plain": np.array([[0.9, 0.4]])}, [1, 2])
        >>> len(axes.get_lines())
        2
        >>> plt.close(figure)
    """
    figure, axes = plt.subplots(figsize=canvas(9.5, 3.8))
    for color, (name, values) in zip((PLAIN, BALANCED), shares.items(), strict=False):
        axes.plot(steps, np.transpose(values), color=color, lw=0.8, alpha=0.4)
        axes.plot(steps, np.mean(values, axis=0), color=color, lw=2.4, label=name)
    if start is not None:
        axes.axvline(start, color=INK, lw=1, ls=":")
        place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        look = {"ha": "right", "va": "top", "color": MUTED}
        axes.annotate("PCB begins to act", (start, 0.97), xytext=(-5, 0), **place, **look)
    axes.set_xlabel("training step")
    axes.set_ylabel(ylabel)
    axes.set_xlim(min(steps), max(steps))
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid()
    legend_outside(axes)
    add_title(figure, title, axes)
    return figure, axes
