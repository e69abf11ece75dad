"""Figures that explain Pairwise Class Balance (PCB): small matrices, losses and gradients."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from pcb.metrics.groups import check_groups
from pcb.plots.annotated import annotated_heatmap
from pcb.plots.layout import (
    add_title,
    canvas,
    fit_columns,
    legend_below,
    points,
    text_size,
    wrap_if_narrow,
)
from pcb.plots.style import GROUP_COLORS, INK, MUTED, with_style
from pcb.plots.text import number_text, short

PLAIN = "#B5B5B5"  # bars of the loss without PCB


@with_style
def class_matrices(
    matrices: Mapping[str, np.ndarray],
    names: Sequence[str],
    frequency: Sequence[str],
    labels: Sequence[int] | None = None,
    title: str = "Predictions",
    xlabel: str = "predicted class",
) -> tuple[Figure, np.ndarray]:
    """Draw small matrices side by side, with numbers in the cells.

    Args:
        matrices: Dict from headings to matrices with entries from 0 to 1. The shape is (C, C),
            with one row per true class. If ``labels`` is given, the shape is (P, C), with one row
            per instance. A row of nan is shown as "none in this batch".
        names: (C,) class names.
        frequency: (C,) frequency group of each class: ``"f"``, ``"c"`` or ``"r"``. The names are
            coloured by group.
        labels: (P,) true class of each instance; None if the rows are classes.
        title: Title of the figure; empty for no title.
        xlabel: Label of the x axis.

    Returns:
        (figure, axes); axes is an array with one entry per matrix.

    Raises:
        ValueError: ``matrices`` is empty.

    Example:
        >>> figure, axes = class_matrices({"before": np.eye(2)}, ["fox", "wolf"], ["f", "r"])
        >>> [text.get_text() for text in axes[0].texts]
        ['1.00', '0.00', '0.00', '1.00']
        >>> plt.close(figure)
    """
    if not matrices:
        raise ValueError("`matrices` is empty: pass at least one matrix")
    groups = check_groups(frequency)
    rows = range(len(names)) if labels is None else labels
    width, height = 2.1 + 0.8 * len(names), 1.5 + 0.55 * len(rows)
    columns = fit_columns(width, len(matrices))
    lines = -(-len(matrices) // columns)
    size = canvas(max(width * columns, 6.0), height * lines + 0.4, lines=True)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False)
    for ax in axes.flat[len(matrices) :]:
        ax.axis("off")
    for ax, (heading, matrix) in zip(axes.flat, matrices.items(), strict=False):
        matrix = np.asarray(matrix, dtype=float)
        annotated_heatmap(
            matrix,
            ax,
            annot=True,
            fmt=".2f",
            mask=np.isnan(matrix),
            vmin=0,
            vmax=1,
            cmap="YlGnBu",
            annot_kws={"fontsize": text_size(11)},
            cbar=False,
            linewidths=1.5,
            xticklabels=[short(name) for name in names],
            yticklabels=[short(names[label]) for label in rows],
        )
        for row in np.flatnonzero(np.isnan(matrix).all(axis=1)):
            place = {"ha": "center", "va": "center", "color": MUTED}
            ax.text(len(names) / 2, row + 0.5, "none in this batch", **place)
        for ticks, of_ticks in (
            (ax.get_xticklabels(), range(len(names))),
            (ax.get_yticklabels(), rows),
        ):
            for tick, label in zip(ticks, of_ticks, strict=True):
                tick.set_color(GROUP_COLORS[groups[label]])
                tick.set_rotation(0)
        ax.tick_params(length=0)
        ax.set_title(wrap_if_narrow(heading, 40), fontsize=text_size(11.5))
        ax.set_xlabel(xlabel)
        ax.set_ylabel("true class" if labels is None else "instance of")
    add_title(figure, title)
    return figure, axes.ravel()[: len(matrices)]


@with_style
def loss_parts(
    plain: Sequence[float],
    hard: Sequence[float],
    soft: Sequence[float],
    labels: Sequence[int],
    names: Sequence[str],
    frequency: Sequence[str],
    title: str = "Loss of each instance",
) -> tuple[Figure, Axes]:
    """Draw two bars for each instance: its loss without PCB, and its loss with PCB.

    The loss with PCB (Pairwise Class Balance) has a part for the one-hot label and a part for a
    soft label. The second bar shows these two parts, stacked.

    Args:
        plain: (P,) losses of the instances, computed without PCB.
        hard: (P,) part of the PCB loss that is due to the one-hot label, such as
            ``(1 - alpha) * cross_entropy``.
        soft: (P,) part of the PCB loss that is due to the soft label, such as
            ``alpha * divergence``.
        labels: (P,) true class of each instance.
        names: (C,) class names.
        frequency: (C,) frequency group of each class: ``"f"``, ``"c"`` or ``"r"``. The names are
            coloured by group.
        title: Title of the figure; empty for no title.

    Returns:
        (figure, axes).

    Example:
        >>> figure, axes = loss_parts([1.0], [0.6], [0.1], [1], ["fox", "wolf"], ["f", "r"])
        >>> [text.get_text() for text in axes.texts]
        ['1.00', '0.70']
        >>> plt.close(figure)
    """
    groups = check_groups(frequency)
    plain, hard, soft = (np.asarray(part, dtype=float) for part in (plain, hard, soft))
    figure, axes = plt.subplots(figsize=canvas(8.5, 3.4))
    place = np.arange(len(labels))
    before = axes.bar(place - 0.2, plain, 0.36, color=PLAIN, label="cross-entropy")
    axes.bar(place + 0.2, hard, 0.36, color="#555555", label="PCB: one-hot part")
    after = axes.bar(
        place + 0.2, soft, 0.36, bottom=hard, color="#AA4499", label="PCB: soft-label part"
    )
    look = {"padding": points(3), "fontsize": text_size(10)}
    axes.bar_label(before, [f"{value:.2f}" for value in plain], **look)
    axes.bar_label(after, [f"{value:.2f}" for value in hard + soft], **look)
    _name_instances(axes, labels, names, groups)
    axes.set_ylim(0, 1.15 * max(*plain, *(hard + soft)))
    axes.set_ylabel("loss")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y")
    legend_below(figure, axes.get_legend_handles_labels()[0])
    add_title(figure, title, axes)
    return figure, axes


@with_style
def logit_pushes(
    pushes: Mapping[str, np.ndarray],
    labels: Sequence[int],
    names: Sequence[str],
    frequency: Sequence[str],
    title: str = "Where the gradient pushes each logit",
) -> tuple[Figure, np.ndarray]:
    """Draw how strongly two losses push the logits of each instance up or down.

    The push is the negative gradient of the loss with respect to the logit.

    Args:
        pushes: Dict from the name of each loss to its pushes, an array of shape (P, C). The loss
            without Pairwise Class Balance (PCB) comes first.
        labels: (P,) true class of each instance.
        names: (C,) class names.
        frequency: (C,) frequency group of each class: ``"f"``, ``"c"`` or ``"r"``. The bars are
            coloured by group.
        title: Title of the figure; empty for no title.

    Returns:
        (figure, axes); axes is an array with one entry per instance.

    Example:
        >>> push = {"plain": np.array([[0.4, -0.4]]), "PCB": np.array([[0.1, -0.1]])}
        >>> figure, axes = logit_pushes(push, [0], ["fox", "wolf"], ["f", "r"])
        >>> axes[0].get_title(loc="left")
        'an instance of: fox'
        >>> plt.close(figure)
    """
    groups = check_groups(frequency)
    (plain, before), (balanced, after) = pushes.items()
    columns = fit_columns(3.6, len(labels))
    lines = -(-len(labels) // columns)
    size = canvas(max(3.6 * columns, 6.0), 2.9 * lines + 0.6, lines=True)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False, sharey=True)
    for ax in axes.flat[len(labels) :]:
        ax.axis("off")
    place = np.arange(len(names))
    colors = [GROUP_COLORS[group] for group in groups]
    highest = 1.3 * max(np.abs(before).max(), np.abs(after).max())
    for ax, label, old, new in zip(axes.flat, labels, before, after, strict=False):
        look = {"padding": points(2), "fontsize": text_size(9.5)}
        bars = ax.bar(place - 0.2, old, 0.36, color="white", edgecolor=colors, linewidth=1.2)
        ax.bar_label(bars, [number_text(value, "+.2f") for value in old], color=MUTED, **look)
        bars = ax.bar(place + 0.2, new, 0.36, color=colors)
        ax.bar_label(bars, [number_text(value, "+.2f") for value in new], **look)
        ax.axhline(0, color=INK, lw=0.8)
        _name_instances(ax, range(len(names)), names, groups)
        ax.set_ylim(-highest, highest)
        head = {"fontsize": text_size(11.5), "color": GROUP_COLORS[groups[label]]}
        ax.set_title(f"an instance of: {short(names[label])}", **head)
        ax.grid(axis="y")
    for ax in axes[:, 0]:
        ax.set_ylabel("down     logit     up")
    handles = [Patch(fc="white", ec=INK, label=plain), Patch(fc=INK, ec=INK, label=balanced)]
    legend_below(figure, handles)
    add_title(figure, title)
    return figure, axes.ravel()[: len(labels)]


def _name_instances(
    axes: Axes, labels: Sequence[int], names: Sequence[str], groups: Sequence[str]
) -> None:
    """Label the positions 0, 1, ... of the x axis with class names, coloured by frequency group."""
    axes.set_xticks(range(len(labels)), [short(names[label]) for label in labels])
    axes.tick_params(axis="x", length=0)
    for tick, label in zip(axes.get_xticklabels(), labels, strict=True):
        tick.set_color(GROUP_COLORS[groups[label]])
