"""Figures that show the probabilities, the strength and the entropy of soft labels."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pcb.metrics.groups import GROUP_NAMES, GROUPS, check_groups
from pcb.plots.by_image_count import scatter_by_image_count
from pcb.plots.layout import (
    add_title,
    canvas,
    fit_columns,
    fit_panels,
    is_narrow,
    legend_below,
    legend_outside,
    points,
    text_size,
    wrap_if_narrow,
)
from pcb.plots.marks import Pictures, legend_mark, picture_of, place_picture
from pcb.plots.style import GROUP_COLORS, INK, MUTED, PALETTE, ink_on, with_style
from pcb.plots.text import percent, short


@with_style
def soft_label_bars(
    soft_labels: np.ndarray,
    classes: Sequence[int],
    names: Sequence[str],
    frequency: Sequence[str],
    icons: Pictures | None = None,
    top: int = 6,
    columns: int = 3,
    title: str = "Soft labels",
) -> tuple[Figure, np.ndarray]:
    """Draw the soft labels of some classes as bars, with the most probable classes first.

    Args:
        soft_labels: (C, C) array whose row y is the soft label of true class y. With a sigmoid
            loss, a row need not sum to 1.
        classes: Labels of the classes to show, each in its own panel.
        names: (C,) class names.
        frequency: (C,) frequency group of each class: ``"f"``, ``"c"`` or ``"r"``. The bars are
            coloured by group.
        icons: Pictures of the classes, drawn beside the names; None to draw no pictures.
        top: Maximum number of bars in a panel. If the figure would not fit on a page, fewer bars
            are drawn. A note below each panel states the sum over the classes without a bar. If
            the soft labels do not sum to 1, the note states the sum over all classes instead.
        columns: Maximum number of panels in a row.
        title: Title of the figure; empty for no title.

    Returns:
        (figure, axes); axes is an array of shape (rows, columns).

    Raises:
        ValueError: If ``classes`` is empty.

    Example:
        >>> q = np.array([[0.7, 0.3], [0.0, 1.0]])
        >>> figure, axes = soft_label_bars(q, [0], ["cat", "dog"], ["f", "r"])
        >>> axes[0, 0].get_title(loc="left")
        'true: cat'
        >>> plt.close(figure)
    """
    if not len(classes):
        raise ValueError("`classes` is empty: pass at least one class")
    groups = check_groups(frequency)
    totals = np.asarray(soft_labels)[classes].sum(axis=1)
    sums_to_one = np.allclose(totals[np.isfinite(totals)], 1, atol=1e-3)
    with_icons = icons is not None
    columns = fit_columns(4.6, min(columns, len(classes)))
    rows = -(-len(classes) // columns)
    panel = fit_panels(1.2 + 0.34 * top, rows, 0.9)
    top = min(max(2, int((panel - 1.2) / 0.34 + 1e-6)), top, len(names))
    size = canvas(max(4.6 * columns, 6.2), (1.2 + 0.34 * top) * rows + 0.9, lines=True)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for ax in axes.flat[len(classes) :]:
        ax.axis("off")
    highest = max(float(np.nanmax(np.asarray(soft_labels)[classes], initial=0)), 1e-3)
    for ax, label in zip(axes.flat, classes, strict=False):
        values = np.asarray(soft_labels[label], dtype=float)
        ranked = np.argsort(-values, kind="stable")[:top]
        if label not in ranked:
            ranked[-1] = label  # always show the true class for comparison
        bars = ax.barh(
            range(len(ranked)),
            values[ranked],
            height=0.7,
            color=[GROUP_COLORS[groups[other]] for other in ranked],
            edgecolor=[INK if other == label else "none" for other in ranked],
            linewidth=1.6,
        )
        ax.bar_label(
            bars, [percent(v) for v in values[ranked]], padding=points(3), fontsize=text_size(10)
        )
        ax.set_yticks(range(len(ranked)), [short(names[other], 20) for other in ranked])
        ax.tick_params(axis="y", length=0, pad=points(28 if with_icons else 5))
        for tick, other in zip(ax.get_yticklabels(), ranked, strict=True):
            tick.set_fontweight("bold" if other == label else "normal")
        if with_icons:
            for row, other in enumerate(ranked):
                if (icon := picture_of(icons, int(other))) is not None:
                    place_picture(ax, icon, (0, row), size=points(20), offset=(points(-15), 0))
        ax.invert_yaxis()
        ax.set_xlim(0, 1.2 * highest)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        look = {"color": GROUP_COLORS[groups[label]], "fontsize": text_size(11.5)}
        ax.set_title(f"true: {short(names[label], 19)}", **look)
        rest = np.delete(values, ranked).sum()
        more = len(names) - top
        note = f"{_more_classes(more)}: {percent(rest)}" if more else ""
        if not sums_to_one:
            note = f"all {len(names)} classes: {percent(values.sum())}"
        ax.set_xlabel(note, loc="right", fontsize=text_size(9.5), color=MUTED)
    handles = [
        legend_mark(GROUP_NAMES[group], color=GROUP_COLORS[group])
        for group in GROUPS
        if group in groups
    ]
    handles.append(legend_mark("the true class", mfc="none", mec=INK, mew=1.5))
    legend_title = None if sums_to_one else "Values of a sigmoid loss need not sum to 100%."
    legend_below(figure, handles, legend_title)
    add_title(figure, title)
    figure.get_layout_engine().set(h_pad=0.08)
    return figure, axes


def _more_classes(count: int) -> str:
    """Format a number of further classes, for example as "3 more classes".

    Example:
        >>> _more_classes(1), _more_classes(34)
        ('1 more class', '34 more classes')
    """
    return f"{count} more class{'es' * (count > 1)}"


@with_style
def soft_label_strength(
    soft_label: np.ndarray,
    label: int,
    names: Sequence[str],
    strengths: Sequence[float] = (0.0, 0.1, 0.2, 0.4, 0.7, 1.0),
    top: int = 5,
    title: str | None = None,
) -> tuple[Figure, Axes]:
    """Draw the training target of a class for several strengths alpha of its soft label.

    The target is ``alpha * q + (1 - alpha) * onehot``, where q is the soft label.

    Args:
        soft_label: (C,) soft label q of the class; with a sigmoid loss, it need not sum to 1.
        label: Label of the true class.
        names: (C,) class names.
        strengths: Values of alpha, each drawn as one bar.
        top: Maximum number of classes, besides the true class, that get a segment of their own.
            The remaining classes share one segment.
        title: Title of the figure; empty for no title. Default:
            ``"Target for <class> as the strength grows"``.

    Returns:
        (figure, axes).

    Example:
        >>> q = np.array([0.7, 0.3])
        >>> figure, axes = soft_label_strength(q, 0, ["cat", "dog"], strengths=[0.0, 0.5])
        >>> [text.get_text() for text in axes.get_yticklabels()]
        ['0', '0.5']
        >>> plt.close(figure)
    """
    soft_label = np.asarray(soft_label, dtype=float)
    alpha = np.asarray(strengths, dtype=float)[:, None]
    onehot = np.zeros_like(soft_label)
    onehot[label] = 1
    target = alpha * soft_label + (1 - alpha) * onehot
    others = [c for c in np.argsort(-soft_label, kind="stable") if c != label and soft_label[c] > 0]
    # Draw a separate segment only for classes whose segment is large enough to see.
    top = min(top, int((soft_label[others] >= 0.003 * max(1.0, soft_label.sum())).sum()))
    segments = [(short(names[label]), target[:, label], "#555555")]
    for number, other in enumerate(others[:top]):
        segments.append((short(names[other]), target[:, other], PALETTE[number % len(PALETTE)]))
    if len(others) > top:
        rest = target[:, others[top:]].sum(axis=1)
        segments.append((_more_classes(len(others) - top), rest, "#C8C8C8"))
    figure, axes = plt.subplots(figsize=canvas(9.5, 1.5 + 0.42 * len(alpha), lines=True))
    left = np.zeros(len(alpha))
    totals = target.sum(axis=1)
    width = max(1.0, totals.max())
    least = width * (0.13 if is_narrow() else 0.045)  # smallest segment with room for a number
    for name, values, color in segments:
        bars = axes.barh(
            range(len(alpha)), values, left=left, height=0.72, color=color, ec="white", label=name
        )
        texts = [f"{100 * value:.0f}%" if value > least else "" for value in values]
        look = {"color": ink_on(color), "fontsize": text_size(9.5)}
        axes.bar_label(bars, texts, label_type="center", **look)
        left += values
    axes.set_yticks(range(len(alpha)), [f"{value:g}" for value in alpha[:, 0]])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, width)
    axes.set_ylabel("strength alpha")
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    if np.allclose(totals, 1, atol=1e-3):
        axes.set_xlabel("probability in the target")
    else:
        text = "targets of the classes, side by side; they need not sum to 100%"
        axes.set_xlabel(wrap_if_narrow(text, 40))
    legend_outside(axes)
    default = f"Target for {names[label]} as the strength grows"
    add_title(figure, default if title is None else title, axes)
    return figure, axes


@with_style
def soft_label_entropy(
    entropy: Sequence[float],
    image_count: Sequence[int],
    frequency: Sequence[str],
    names: Sequence[str] | None = None,
    title: str = "How spread out is the soft label of each class?",
) -> tuple[Figure, Axes]:
    """Draw the entropy of each class's soft label against the class's number of training images.

    A one-hot label has an entropy of 0 bits. A label that gives each of k classes the same
    probability has an entropy of log2(k) bits.

    Args:
        entropy: (C,) entropy of the soft label of each class, in bits; nan if undefined. A note in
            the figure states the number of undefined values.
        image_count: (C,) number of training images of each class.
        frequency: (C,) frequency group of each class: ``"f"``, ``"c"`` or ``"r"``.
        names: (C,) class names; None to draw no names. The figure names the classes with the
            highest and the lowest entropy in each frequency group. If several classes share the
            highest or the lowest entropy, none of them is named.
        title: Title of the figure; empty for no title.

    Returns:
        (figure, axes).

    Example:
        >>> figure, axes = soft_label_entropy([0.5, 2.0, 1.5], [300, 40, 2], ["f", "c", "r"])
        >>> axes.get_xscale()
        'log'
        >>> plt.close(figure)
    """
    what = {"what": "entropy", "label": "entropy of the soft label (bits)", "number_format": ".2f"}
    return scatter_by_image_count(entropy, image_count, frequency, names, **what, title=title)
