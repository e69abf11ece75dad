"""A number of each class against its training images: the form of several figures."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pcb.plots.layout import canvas, entitle, fitted, legend_outside, narrow, text_size
from pcb.plots.placement import name_marks
from pcb.plots.style import (
    GROUP_COLORS,
    GROUP_MARKERS,
    GROUP_NAMES,
    GROUPS,
    MUTED,
    check_groups,
    dots,
    legend_mark,
    plain_numbers,
)


def scatter_by_image_count(
    values: Sequence[float],
    image_count: Sequence[int],
    frequency: Sequence[str],
    names: Sequence[str] | None,
    what: str,
    label: str,
    number_format: str,
    title: str | None,
) -> tuple[Figure, Axes]:
    """A point per class and a line at the mean of each group; each group's extremes are named.

    Args:
        values: (C,); nan where undefined, which is left out and counted.
        image_count: (C,) training images per class.
        frequency: (C,) 'r', 'c' or 'f' per class.
        names: (C,) class names; None names none.
        what: the value in a word, such as "AP".
        label: what stands at the axis, such as "AP (%)".
        number_format: of the means.
        title: the figure's title; none if empty.

    Returns:
        (figure, axes).
    """
    groups = np.array(check_groups(frequency))
    values = np.asarray(values, dtype=float)
    # A class without training images stays visible on the log axis.
    counts = np.maximum(np.asarray(image_count, dtype=float), 0.5)
    figure, axes = plt.subplots(figsize=canvas(9.5, 5))
    handles, means, extremes = [], [], []
    for group in GROUPS:
        chosen = np.flatnonzero((groups == group) & np.isfinite(values))
        if not len(chosen):
            continue
        x, y = counts[chosen], values[chosen]
        look = {"marker": GROUP_MARKERS[group], "color": GROUP_COLORS[group]}
        axes.scatter(x, y, linewidths=0, zorder=3, **look, **dots(len(values)))
        means.append((x.min() / 1.06, y.mean(), x.max() * 1.06, y.mean()))
        axes.hlines(y.mean(), means[-1][0], means[-1][2], color=GROUP_COLORS[group], lw=1.6)
        name = f"{GROUP_NAMES[group]}, mean {y.mean():{number_format}}"
        handles.append(legend_mark(name, **look))
        # Of many classes with AP 0, say, none is the worst.
        extremes += [chosen[y == end] for end in (y.max(), y.min()) if (y == end).sum() == 1]
    axes.set_xscale("log")
    plain_numbers(axes.xaxis)
    left, right = axes.get_xlim()
    axes.set_xlim(left / 1.1, right * 1.1)
    axes.set_ylim(bottom=-0.08 * axes.get_ylim()[1])  # room for names below zero
    axes.set_xlabel("training images of the class (log scale)")
    axes.grid()
    if undefined := int(np.isnan(values).sum()):
        text = f"{what} n/a: {undefined} of {len(values)} classes"
        if narrow():  # there is no room beside the axes
            handles.append(legend_mark(text, ""))
        else:
            look = {"color": MUTED, "fontsize": text_size(9.5)}
            axes.text(1.02, 0.02, text, transform=axes.transAxes, **look)
    legend_outside(axes, handles)
    if names is not None:
        named = {label.item(): names[label.item()] for label in extremes}
        radius = np.sqrt(dots(len(values))["s"]) / 2
        name_marks(axes, named, np.column_stack([counts, values]), radius, np.array(means))
    axes.set_ylabel(fitted(label, 20))
    entitle(figure, title, axes)
    return figure, axes
