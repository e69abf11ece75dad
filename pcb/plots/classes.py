"""Figures of the average precision (AP) of each class."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pcb.metrics.groups import GROUPS, check_groups, most_frequent_first
from pcb.metrics.seeds import estimate
from pcb.plots.by_image_count import scatter_by_image_count
from pcb.plots.layout import (
    add_title,
    canvas,
    legend_below,
    legend_outside,
    most_names,
    points,
    wrap_if_narrow,
)
from pcb.plots.marks import dot_style, group_handles, interval_bar, legend_mark
from pcb.plots.placement import name_marks
from pcb.plots.style import GROUP_COLORS, GROUP_MARKERS, INK, MUTED, tint, with_style
from pcb.plots.text import name_ticks, number_text


@with_style
def ap_by_image_count(
    ap: Sequence[float],
    image_count: Sequence[int],
    frequency: Sequence[str],
    names: Sequence[str] | None = None,
    title: str = "AP of each class against its training images",
) -> tuple[Figure, Axes]:
    """Draw the AP of each class against its number of training images.

    Args:
        ap: (C,) AP of each class as a fraction. Classes whose AP is undefined (nan) are left out.
        image_count: (C,) number of training images of each class.
        frequency: (C,) frequency group of each class: ``"f"``, ``"c"`` or ``"r"``.
        names: (C,) class names; None to draw no names. The figure names the classes with the
            highest and the lowest AP in each group.
        title: Title of the figure; empty for no title.

    Returns:
        (figure, axes).

    Example:
        >>> figure, axes = ap_by_image_count([0.5, 0.2, np.nan], [300, 40, 2], ["f", "c", "r"])
        >>> axes.get_xscale()
        'log'
        >>> plt.close(figure)
    """
    values = 100 * np.asarray(ap, dtype=float)
    what = {"what": "AP", "label": "AP (%)", "number_format": ".1f"}
    return scatter_by_image_count(values, image_count, frequency, names, **what, title=title)


@with_style
def ap_by_class(
    ap: Mapping[str, Sequence[float]],
    image_count: Sequence[int],
    frequency: Sequence[str],
    names: Sequence[str],
    title: str = "AP of each class, most frequent first",
) -> tuple[Figure, Axes]:
    """Draw the AP of each class in one or several training runs.

    Each class has one dot for each run, and a vertical line connects the dots of the class.

    The figure shows at most 60 classes: those whose AP differs most between the runs.

    Args:
        ap: Dict from the name of each run to the (C,) AP of each class, as a fraction. No dot is
            drawn for an undefined AP (nan). The dots of the last run are filled; the dots of the
            other runs are rings.
        image_count: (C,) number of training images of each class. Classes with more images are
            drawn further to the left.
        frequency: (C,) frequency group of each class: ``"f"``, ``"c"`` or ``"r"``.
        names: (C,) class names.
        title: Title of the figure; empty for no title.

    Returns:
        (figure, axes).

    Example:
        >>> figure, axes = ap_by_class({"plain": [0.5, 0.1]}, [300, 4], ["f", "r"], ["cat", "yak"])
        >>> [text.get_text() for text in axes.get_xticklabels()]
        ['cat', 'yak']
        >>> plt.close(figure)
    """
    groups = check_groups(frequency)
    per_run = 100 * np.array([np.asarray(own, dtype=float) for own in ap.values()])
    # fmin and fmax ignore nan, and do not warn if the AP of a class is nan in every run.
    spread = np.nan_to_num(np.fmax.reduce(per_run) - np.fmin.reduce(per_run))
    shown = np.argsort(-spread, kind="stable")[: most_names()]
    order = np.array([label for label in most_frequent_first(image_count) if label in set(shown)])
    colors = [GROUP_COLORS[groups[label]] for label in order]
    per_run = per_run[:, order]
    figure, axes = plt.subplots(figsize=canvas(max(8.0, 0.27 * len(order)), 4.6, lines=True))
    position = np.arange(len(order))
    low, high = np.fmin.reduce(per_run), np.fmax.reduce(per_run)
    axes.vlines(position, low, high, colors=colors, lw=2.2)
    handles = group_handles(groups, marker=False)
    for number, (run, values) in enumerate(zip(ap, per_run, strict=True), start=1):
        full = 1.0 if number == len(ap) else 0.0
        faces = [tint(color, full) for color in colors]
        axes.scatter(
            position, values, s=points(6.6) ** 2, color=faces, edgecolors=colors, lw=1.4, zorder=3
        )
        if len(ap) > 1:
            handles.append(legend_mark(run, "o", mfc=tint("#555555", full), mec="#555555"))
    name_ticks(axes, [names[label] for label in order])
    axes.set_xlim(-0.7, len(order) - 0.3)
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    axes.set_ylabel("AP (%)")
    if len(order) < len(groups):
        text = f"the {len(order)} of {len(groups)} classes that differ most between runs"
        axes.set_xlabel(wrap_if_narrow(text, 40))
    axes.grid(axis="y")
    legend_outside(axes, handles)
    add_title(figure, title, axes)
    return figure, axes


@with_style
def gain_by_role(
    gain: Sequence[float],
    role: Sequence[str],
    frequency: Sequence[str],
    names: Sequence[str] | None = None,
    order: Sequence[str] | None = None,
    title: str = "Gain in AP by class role",
) -> tuple[Figure, Axes]:
    """Draw the gain in AP of each class over a baseline; classes with the same role share a row.

    Each row has one dot per class, and a vertical line at the mean of the row.

    Args:
        gain: (C,) AP of each class minus its AP in the baseline, as a fraction; nan if undefined.
            For several seeds, pass an (S, C) array. Each dot then shows the mean over the S seeds,
            and each row shows the 95% confidence interval of its mean.
        role: (C,) role of each class, such as ``"tail of a head-tail pair"`` (the rarer class of
            two look-alikes) or ``"singleton"`` (a class without a look-alike).
        frequency: (C,) frequency group of each class: ``"f"``, ``"c"`` or ``"r"``.
        names: (C,) class names; None to draw no names. In each row, the figure names the classes
            with the lowest and the highest gain, unless the gain is close to 0.
        order: Roles of the rows, from top to bottom. By default, the roles are in the order in
            which they first occur in ``role``.
        title: Title of the figure; empty for no title.

    Returns:
        (figure, axes).

    Example:
        >>> figure, axes = gain_by_role([0.02, -0.01], ["tail", "single"], ["r", "f"])
        >>> [text.get_text() for text in axes.get_yticklabels()]
        ['tail (1)', 'single (1)']
        >>> plt.close(figure)
    """
    groups = np.array(check_groups(frequency))
    by_seed = 100 * np.atleast_2d(np.asarray(gain, dtype=float))
    gains = by_seed.mean(axis=0)
    roles = [name for name in order or dict.fromkeys(role) if name in role]
    stands_out = 0.25 * np.nanmax(np.abs([*gains, 0.0]))
    limits = np.nanmin([*gains, 0.0]) - 2 * stands_out, np.nanmax([*gains, 0.0]) + 2 * stands_out
    # Fixed vertical offsets, not random ones, so that the same data give the same figure.
    height, outstanding = np.full(len(gains), np.nan), []
    lines: list[tuple[float, float, float, float]] = [(0, -1, 0, len(roles))]
    figure, axes = plt.subplots(figsize=canvas(9.5, 1.9 + 0.85 * len(roles), lines=True))
    axes.axvline(0, color=INK, lw=1)
    for row, name in enumerate(roles):
        chosen = np.flatnonzero((np.array(role) == name) & np.isfinite(gains))
        if not len(chosen):
            axes.text(0, row, "  n/a", va="center", color=MUTED)
            continue
        height[chosen] = row + 0.22 * (np.arange(len(chosen)) % 3 - 1)
        x, y = gains[chosen], height[chosen]
        for group in reversed(GROUPS):
            own = groups[chosen] == group
            look = {"marker": GROUP_MARKERS[group], "color": GROUP_COLORS[group]}
            axes.scatter(x[own], y[own], linewidths=0, zorder=3, **look, **dot_style(len(gains)))
        lines.append((x.mean(), row - 0.38, x.mean(), row + 0.38))
        axes.vlines(x.mean(), row - 0.38, row + 0.38, color=INK, lw=2.2)
        text = f"mean {number_text(x.mean(), '+.1f')}"
        if len(by_seed) > 1:
            _, _, low, high, _ = estimate(by_seed[:, chosen].mean(axis=1))
            interval_bar(axes, (low, high), row + 0.38, limits, INK)
            text += f"\n[{number_text(low, '+.1f')}, {number_text(high, '+.1f')}]"
            lines.append((low, row + 0.34, high, row + 0.42))
        place = {"xycoords": ("axes fraction", "data"), "va": "center"}
        axes.annotate(text, (1.01, row), fontweight="bold", **place)
        extremes = chosen[[x.argmin(), x.argmax()]]
        outstanding += [int(label) for label in extremes if abs(gains[label]) > stands_out]
    labels = [f"{name} ({list(role).count(name)})" for name in roles]
    axes.set_yticks(range(len(roles)), [wrap_if_narrow(text, 16) for text in labels])
    axes.set_ylim(len(roles) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_xlabel("gain in AP (percentage points)")
    legend_below(figure, group_handles(groups))
    add_title(figure, title, axes)
    if names is not None:
        named = {label: names[label] for label in outstanding}
        radius = np.sqrt(dot_style(len(gains))["s"]) / 2
        name_marks(axes, named, np.column_stack([gains, height]), radius, np.array(lines))
    return figure, axes
