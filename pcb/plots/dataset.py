"""Figures of a dataset: its long tail, annotated images, and icons of classes that look alike."""

import itertools
import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pcb.metrics.groups import GROUP_NAMES, check_groups, most_frequent_first
from pcb.plots.layout import add_title, canvas, fit_columns, most_names, points, text_size
from pcb.plots.marks import group_handles
from pcb.plots.placement import free_place
from pcb.plots.style import FAINT, GROUP_COLORS, INK, MUTED, PALETTE, ink_on, with_style
from pcb.plots.text import name_ticks, plain_numbers, short


@with_style
def class_tail(
    image_count: Sequence[int],
    frequency: Sequence[str],
    names: Sequence[str] | None = None,
    title: str = "Training images per class",
) -> tuple[Figure, Axes]:
    """Draw a bar for the number of training images of each class, on a log scale.

    The bars are sorted by descending number of images.

    Args:
        image_count: (C,) number of training images that contain each class.
        frequency: (C,) frequency group of each class: ``"f"``, ``"c"`` or ``"r"``.
        names: (C,) class names, written below the bars if all of them fit.
        title: Title of the figure; empty for no title.

    Returns:
        (figure, axes).

    Example:
        >>> figure, axes = class_tail([500, 40, 3], ["f", "c", "r"], ["cat", "fox", "yak"])
        >>> [text.get_text() for text in axes.get_xticklabels()]
        ['cat', 'fox', 'yak']
        >>> plt.close(figure)
    """
    counts = np.asarray(image_count, dtype=float)
    groups = check_groups(frequency)
    order = most_frequent_first(counts)
    named = names is not None and len(counts) <= most_names()
    width = max(8.0, 0.27 * len(counts)) if named else 10
    figure, axes = plt.subplots(figsize=canvas(width, 4.4, lines=named))
    position = np.arange(len(counts))
    axes.bar(
        position,
        counts[order],
        width=0.82 if named else 1.0,
        color=[GROUP_COLORS[groups[label]] for label in order],
    )
    axes.set_yscale("log")
    plain_numbers(axes.yaxis)
    axes.set_ylim(0.7, max(counts.max() * 1.6, 10))
    axes.grid(axis="y")
    axes.set_xlim(-0.7, len(counts) - 0.3)
    axes.set_ylabel("training images")
    if names is not None and named:
        name_ticks(axes, [names[label] for label in order])
    else:
        axes.set_xlabel("classes, most frequent first")
    axes.legend(handles=group_handles(groups, marker=False), loc="upper right")
    add_title(figure, title, axes)
    return figure, axes


@with_style
def image_grid(
    images: Sequence[np.ndarray],
    titles: Sequence[str] | None = None,
    masks: Sequence[np.ndarray] | None = None,
    boxes: Sequence[np.ndarray] | None = None,
    captions: Sequence[Sequence[str]] | None = None,
    colors: Sequence[Sequence[str]] | None = None,
    columns: int = 4,
    size: float = 2.9,
) -> tuple[Figure, np.ndarray]:
    """Draw images in a grid, with the masks, boxes and captions of their instances on top.

    Args:
        images: Images of shape (H, W, 3), either uint8 or floats in [0, 1].
        titles: One title per image.
        masks: For each image, (n, H, W) masks of its n instances, drawn with a light fill and an
            outline.
        boxes: For each image, (n, 4) boxes of its n instances as x, y, width, height in pixels.
        captions: For each image, one text per instance, written at the instance's box. If some
            texts do not fit, they are left out, and a note below the image states their number.
        colors: For each image, one colour per instance; None for default colours.
        columns: Maximum number of images in a row.
        size: Width of each image in inches.

    Raises:
        ValueError: If ``images`` is empty, or if captions are passed without masks or boxes.

    Returns:
        (figure, axes); axes is an array of shape (rows, columns).

    Example:
        >>> image, box = np.zeros((8, 8, 3)), [1, 1, 4, 4]
        >>> figure, axes = image_grid([image], boxes=[[box]], captions=[["cat"]])
        >>> axes.shape
        (1, 1)
        >>> plt.close(figure)
    """
    if not len(images):
        raise ValueError("`images` is empty: pass at least one image")
    if captions is not None and masks is None and boxes is None:
        raise ValueError("captions were passed without masks or boxes: pass masks or boxes as well")
    columns = fit_columns(size, min(columns, len(images)))
    rows = -(-len(images) // columns)
    shape = canvas(size * columns, size * rows)
    shape = (shape[0], rows * (shape[0] / columns + 0.3 * points(1)))  # images are about square
    figure, axes = plt.subplots(rows, columns, figsize=shape, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for index, (ax, image) in enumerate(zip(axes.flat, images, strict=False)):
        ax.imshow(image)
        ax.autoscale(False)  # what is drawn later must not change the limits
        if titles is not None:
            look = {"fontsize": text_size(10.5), "fontweight": "normal", "pad": 4}
            ax.set_title(titles[index], **look)
        own_masks = [] if masks is None else masks[index]
        own_boxes = [] if boxes is None else boxes[index]
        for number in range(max(len(own_masks), len(own_boxes))):
            color = PALETTE[number % len(PALETTE)] if colors is None else colors[index][number]
            if len(own_masks):
                _draw_mask(ax, np.asarray(own_masks[number], dtype=bool), color)
            if len(own_boxes):
                x, y, width, height = own_boxes[number]
                ax.add_patch(
                    Rectangle((x - 0.5, y - 0.5), width, height, fill=False, ec=color, lw=1.3)
                )
    if captions is not None:
        figure.draw_without_rendering()  # captions need the final positions of the images
        for index, (ax, image) in enumerate(zip(axes.flat, images, strict=False)):
            own_masks = [] if masks is None else masks[index]
            own = _boxes_of(own_masks) if boxes is None else np.asarray(boxes[index], float)
            own_colors = itertools.cycle(PALETTE) if colors is None else colors[index]
            _draw_captions(ax, image.shape[:2], captions[index], own, own_colors)
    return figure, axes


def _draw_mask(ax, mask: np.ndarray, color: str) -> None:
    """Draw a mask (H, W) with a light fill and an outline; draw nothing for an empty mask."""
    if not mask.any():
        return
    # Draw only the part around the object: a large image may have a hundred masks.
    (top, bottom), (left, right) = (
        (max(found[0] - 1, 0), found[-1] + 2)
        for found in (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    )
    part = mask[top:bottom, left:right]
    height, width = part.shape
    layer = np.zeros((height, width, 4))
    layer[..., :3] = plt.matplotlib.colors.to_rgb(color)
    layer[..., 3] = 0.15 * part
    extent = (left - 0.5, left + width - 0.5, top + height - 0.5, top - 0.5)
    ax.imshow(layer, interpolation="nearest", extent=extent)
    if min(part.shape) > 1:
        xs, ys = left + np.arange(width), top + np.arange(height)
        ax.contour(xs, ys, part, levels=[0.5], colors=[color], linewidths=1.3)


def _boxes_of(masks: Sequence[np.ndarray]) -> np.ndarray:
    """Return the box (x, y, width, height) of each mask (H, W); zeros if the mask is empty."""
    boxes = np.zeros((len(masks), 4))
    for box, mask in zip(boxes, masks, strict=True):
        ys, xs = np.nonzero(mask)
        if len(xs):
            box[:] = xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1
    return boxes


def _draw_captions(ax, shape, captions, boxes, colors) -> None:
    """Write a caption at each box (x, y, width, height) if there is room for the caption."""
    height, width = shape
    scale = width / ax.bbox.width  # image pixels per figure pixel
    pad = 1.2 * ax.figure.dpi / 72 * scale
    taken, left_out = np.empty((0, 4)), 0
    for caption, (x, y, w, h), color in zip(captions, boxes, colors, strict=False):
        look = {"fontsize": text_size(8), "color": ink_on(color), "va": "top"}
        text = ax.text(0, 0, short(caption), **look)
        text.set_in_layout(False)  # captions must not move the images
        # In a saved file with a different resolution, text is slightly wider or narrower.
        size = 1.06 * scale * np.array(text.get_window_extent().size) + 2 * pad
        # Candidate positions along the box, those nearest to the upper left corner first.
        left = np.linspace(x - size[0], x + w, 25).clip(0, max(width - size[0], 0))
        top = np.linspace(y - size[1], y + h, 25).clip(0, max(height - size[1], 0))
        corners = np.stack(np.meshgrid([x, *left], [y, *top]), axis=-1).reshape(-1, 2)
        nearest = np.abs(corners - (x, y)).sum(axis=1).argsort(kind="stable")
        corners = corners[nearest]
        place = free_place(np.hstack([corners, corners + size]), taken, (0, 0, width, height))
        if place is None:
            text.remove()
            left_out += 1
            continue
        text.set_position(corners[place] + pad - 0.5)
        look = {"facecolor": color, "edgecolor": "none", "alpha": 0.9}
        text.set_bbox({"boxstyle": "square,pad=0.15", **look})
        taken = np.vstack([taken, [*corners[place], *corners[place] + size]])
    if left_out:
        note = f"no room for {left_out} more name{'s' * (left_out > 1)}"
        look = {"ha": "right", "va": "top", "fontsize": text_size(8), "color": MUTED}
        ax.text(1, -0.01, note, transform=ax.transAxes, **look)


@with_style
def icon_pairs(
    pairs: Sequence[Sequence[int]],
    icons: Sequence[np.ndarray],
    names: Sequence[str],
    frequency: Sequence[str],
    image_count: Sequence[int],
    titles: Sequence[str] | None = None,
    columns: int = 4,
) -> tuple[Figure, np.ndarray]:
    """Draw pairs of look-alike classes: the icons side by side, with names and image counts.

    Args:
        pairs: For each pair, a tuple with the labels of the two classes. A tuple with a single
            label shows a class without a look-alike.
        icons: For each of C classes, a picture of shape (h, w, 3 or 4).
        names: (C,) class names.
        frequency: (C,) frequency group of each class: ``"f"``, ``"c"`` or ``"r"``.
        image_count: (C,) number of training images of each class.
        titles: One title per pair, such as ``"head-tail"``.
        columns: Maximum number of pairs in a row.

    Returns:
        (figure, axes); axes is an array of shape (rows, columns).

    Raises:
        ValueError: If ``pairs`` is empty.

    Example:
        >>> icon = np.zeros((8, 8, 3))
        >>> figure, axes = icon_pairs([(0, 1)], [icon, icon], ["cat", "fox"], ["f", "r"], [300, 4])
        >>> axes.shape
        (1, 1)
        >>> plt.close(figure)
    """
    if not len(pairs):
        raise ValueError("`pairs` is empty: pass at least one pair of labels")
    groups = check_groups(frequency)
    columns = fit_columns(3.3, min(columns, len(pairs)))
    rows = -(-len(pairs) // columns)
    lines = {label: _two_lines(names[label]) for pair in pairs for label in pair}
    deepest = 0.26 + 0.13 * max(text.count("\n") + 1 for text in lines.values())
    size = canvas(3.3 * columns, (1.7 + 1.3 * deepest) * rows, lines=True)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for index, (ax, pair) in enumerate(zip(axes.flat, pairs, strict=False)):
        if titles is not None:
            look = {"fontsize": text_size(10.5), "color": MUTED, "fontweight": "normal", "pad": 2}
            ax.set_title(titles[index], **look)
        for place, label in enumerate(pair):
            ax.add_patch(
                Rectangle((place + 0.04, 0.04), 0.92, 0.92, facecolor="#F7F7F7", edgecolor=FAINT)
            )
            ax.imshow(icons[label], extent=(place + 0.1, place + 0.9, 0.1, 0.9), zorder=2)
            text = {"ha": "center", "fontsize": text_size(9.5)}
            ax.text(place + 0.5, -0.04, lines[label], va="top", color=INK, **text)
            group = groups[label]
            below = max(lines[other].count("\n") + 1 for other in pair)
            ax.text(
                place + 0.5,
                -0.07 - 0.13 * below,
                f"{GROUP_NAMES[group]}, {int(image_count[label])}",
                va="top",
                fontweight="bold",
                color=GROUP_COLORS[group],
                **text,
            )
        ax.set_xlim(0, max(2, len(pair)))  # imshow has changed the limits
        ax.set_ylim(-deepest - 0.02, 1)
        ax.set_aspect("equal")
    return figure, axes


def _two_lines(name: str) -> str:
    """Break a class name into at most two lines, and shorten a name that is too long.

    Example:
        >>> _two_lines("hear no evil monkey")
        'hear no evil\\nmonkey'
    """
    return "\n".join(textwrap.wrap(name, 16, max_lines=2, placeholder="…"))
