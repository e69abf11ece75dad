"""Average precision class by class: against training images, run by run, by role."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pcb.metrics.seeds import estimate
from pcb.plots.by_image_count import scatter_by_image_count
from pcb.plots.layout import (
    canvas,
    entitle,
    fitted,
    legend_below,
    legend_outside,
    most_names,
    points,
)
from pcb.plots.placement import name_marks
from pcb.plots.style import (
    GROUP_COLORS,
    GROUP_MARKERS,
    GROUPS,
    INK,
    MUTED,
    by_frequency,
    check_groups,
    dots,
    group_handles,
    interval_bar,
    legend_mark,
    name_ticks,
    styled,
    tint,
    written,
)


@styled
def ap_by_image_count(
    ap: Sequence[float],
    image_count: Sequence[int],
    frequency: Sequence[str],
    names: Sequence[str] | None = None,
    title: str = "AP of each class against its training images",
) -> tuple[Figure, Axes]:
    """A point per class: its AP against its training images, and the mean of each group.

    Args:
        ap: (C,) AP of each class as a fraction; nan where undefined, which is left out.
        image_count: (C,) training images per class.
        frequency: (C,) 'r', 'c' or 'f' per class.
        names: (C,) class names; the best and the worst of each group are named, if no other class
            of it is as good or as bad.
        title: the figure's title; none if empty.

    Returns:
        (figure, axes).

    >>> figure, axes = ap_by_image_count([0.5, 0.2, np.nan], [300, 40, 2], ["f", "c", "r"])
    >>> axes.get_xscale()
    'log'
    >>> plt.close(figure)
    """
    values = 100 * np.asarray(ap, dtype=float)
    what = {"what": "AP", "label": "AP (%)", "number_format": ".1f"}
    return scatter_by_image_count(values, image_count, frequency, names, **what, title=title)


@styled
def ap_by_class(
    ap: Mapping[str, Sequence[float]],
    image_count: Sequence[int],
    frequency: Sequence[str],
    names: Sequence[str],
    title: str = "AP of each class, most frequent first",
) -> tuple[Figure, Axes]:
    """A dot per class and run, joined by a line: who gains and who loses, class by class.

    Of more than 60 classes, fewer in a narrow figure, it shows those whose AP differs most between
    the runs, and says so.

    Args:
        ap: per run (C,) AP of each class as a fraction, nan where undefined (drawn as no dot).
            The last run has full dots, the others rings.
        image_count: (C,) training images per class, which orders them.
        frequency: (C,) 'r', 'c' or 'f' per class.
        names: (C,) class names.
        title: the figure's title; none if empty.

    Returns:
        (figure, axes).

    >>> figure, axes = ap_by_class({"plain": [0.5, 0.1]}, [300, 4], ["f", "r"], ["cat", "yak"])
    >>> [text.get_text() for text in axes.get_xticklabels()]
    ['cat', 'yak']
    >>> plt.close(figure)
    """
    groups = check_groups(frequency)
    per_run = 100 * np.array([np.asarray(own, dtype=float) for own in ap.values()])
    # fmin and fmax leave out nan, and stay quiet where every run is nan.
    spread = np.nan_to_num(np.fmax.reduce(per_run) - np.fmin.reduce(per_run))
    shown = np.argsort(-spread, kind="stable")[: most_names()]
    order = np.array([label for label in by_frequency(image_count) if label in set(shown)])
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
        axes.set_xlabel(fitted(text, 40))
    axes.grid(axis="y")
    legend_outside(axes, handles)
    entitle(figure, title, axes)
    return figure, axes


@styled
def gain_by_role(
    gain: Sequence[float],
    role: Sequence[str],
    frequency: Sequence[str],
    names: Sequence[str] | None = None,
    order: Sequence[str] | None = None,
    title: str = "Gain in AP by the class's role",
) -> tuple[Figure, Axes]:
    """A point per class: its gain in AP, in a row per role, with each role's mean.

    Args:
        gain: (C,) difference in AP of each class as a fraction, nan where undefined; or (S, C) of
            S seeds, of which a point is the mean. From two seeds on, the mean of a role has its
            95% interval over seeds.
        role: (C,) role of each class, such as "tail of a head-tail pair" or "singleton".
        frequency: (C,) 'r', 'c' or 'f' per class.
        names: (C,) class names; a role's largest gain and loss are named where they stand out.
        order: roles from top to bottom; by default as they first occur.
        title: the figure's title; none if empty.

    Returns:
        (figure, axes).

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
    # Fixed offsets instead of random ones: the same data give the same figure.
    height, named = np.full(len(gains), np.nan), []
    means: list[tuple[float, ...]] = [(0, -1, 0, len(roles))]
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
            axes.scatter(x[own], y[own], linewidths=0, zorder=3, **look, **dots(len(gains)))
        means.append((x.mean(), row - 0.38, x.mean(), row + 0.38))
        axes.vlines(x.mean(), row - 0.38, row + 0.38, color=INK, lw=2.2)
        text = f"mean {written(x.mean(), '+.1f')}"
        if len(by_seed) > 1:
            _, _, low, high, _ = estimate(by_seed[:, chosen].mean(axis=1))
            interval_bar(axes, (low, high), row + 0.38, limits, INK)
            text += f"\n[{written(low, '+.1f')}, {written(high, '+.1f')}]"
            means.append((low, row + 0.34, high, row + 0.42))
        look = {"xycoords": ("axes fraction", "data"), "va": "center", "fontweight": "bold"}
        axes.annotate(text, (1.01, row), **look)
        extremes = chosen[[x.argmin(), x.argmax()]]
        named += [int(label) for label in extremes if abs(gains[label]) > stands_out]
    labels = [f"{name} ({list(role).count(name)})" for name in roles]
    axes.set_yticks(range(len(roles)), [fitted(text, 16) for text in labels])
    axes.set_ylim(len(roles) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_xlabel("gain in AP (points)")
    legend_below(figure, group_handles(groups))
    entitle(figure, title, axes)
    if names is not None:
        named = {label: names[label] for label in named}
        radius = np.sqrt(dots(len(gains))["s"]) / 2
        name_marks(axes, named, np.column_stack([gains, height]), radius, np.array(means))
    return figure, axes
