"""Scatter plot of one value per class against the number of training images of the class."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pcb.metrics.groups import GROUP_NAMES, GROUPS, check_groups
from pcb.plots.layout import add_title, canvas, is_narrow, legend_outside, text_size, wrap_if_narrow
from pcb.plots.marks import dot_style, legend_mark
from pcb.plots.placement import name_marks
from pcb.plots.style import GROUP_COLORS, GROUP_MARKERS, MUTED
from pcb.plots.text import plain_numbers


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
    """Draw one value per class against the number of training images of the class.

    Each class has a dot, and each frequency group has a horizontal line at its mean. Class names
    are written beside the highest and the lowest dot of each group.

    Args:
        values: (C,) value of each class. Undefined values (nan) are left out, and a note in the
            figure states their number.
        image_count: (C,) number of training images of each class.
        frequency: (C,) frequency group of each class: ``"f"``, ``"c"`` or ``"r"``.
        names: (C,) class names; None to draw no names.
        what: Name of the values in one word, such as ``"AP"``.
        label: Label of the y axis, such as ``"AP (%)"``.
        number_format: Format specification for the means, such as ``".1f"``.
        title: Title of the figure; empty for no title.

    Returns:
        (figure, axes).
    """
    groups = np.array(check_groups(frequency))
    values = np.asarray(values, dtype=float)
    # A logarithmic axis has no 0, so draw classes without training images at 0.5.
    counts = np.maximum(np.asarray(image_count, dtype=float), 0.5)
    figure, axes = plt.subplots(figsize=canvas(9.5, 5))
    handles, means, extremes = [], [], []
    for group in GROUPS:
        chosen = np.flatnonzero((groups == group) & np.isfinite(values))
        if not len(chosen):
            continue
        x, y = counts[chosen], values[chosen]
        look = {"marker": GROUP_MARKERS[group], "color": GROUP_COLORS[group]}
        axes.scatter(x, y, linewidths=0, zorder=3, **look, **dot_style(len(values)))
        means.append((x.min() / 1.06, y.mean(), x.max() * 1.06, y.mean()))
        axes.hlines(y.mean(), means[-1][0], means[-1][2], color=GROUP_COLORS[group], lw=1.6)
        name = f"{GROUP_NAMES[group]}, mean {y.mean():{number_format}}"
        handles.append(legend_mark(name, **look))
        # If several classes have the highest or lowest value, such as AP 0, none of them is named.
        extremes += [chosen[y == end] for end in (y.max(), y.min()) if (y == end).sum() == 1]
    axes.set_xscale("log")
    plain_numbers(axes.xaxis)
    left, right = axes.get_xlim()
    axes.set_xlim(left / 1.1, right * 1.1)
    axes.set_ylim(bottom=-0.08 * axes.get_ylim()[1])  # leave room for names below zero
    axes.set_xlabel("training images of the class (log scale)")
    axes.grid()
    if undefined := int(np.isnan(values).sum()):
        text = f"{what} n/a: {undefined} of {len(values)} classes"
        if is_narrow():  # no room beside the axes
            handles.append(legend_mark(text, ""))
        else:
            place = {"transform": axes.transAxes, "fontsize": text_size(9.5)}
            axes.text(1.02, 0.02, text, color=MUTED, **place)
    legend_outside(axes, handles)
    if names is not None:
        named = {label.item(): names[label.item()] for label in extremes}
        radius = np.sqrt(dot_style(len(values))["s"]) / 2
        name_marks(axes, named, np.column_stack([counts, values]), radius, np.array(means))
    axes.set_ylabel(wrap_if_narrow(label, 20))
    add_title(figure, title, axes)
    return figure, axes
