"""Draw emojis on a random background, and return the image with a mask of each emoji."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from pcb.datasets.openmoji.icons import Icon, Weighted, draw, renderings_of

OPAQUE = 128  # minimum alpha of a pixel that belongs to an instance
LEAST_VISIBLE = 0.65  # minimum fraction of an instance's pixels that are neither cropped nor hidden
LARGEST_ROTATION = 25.0  # degrees in either direction
_PLACES = 40  # places tried for an instance before the image is drawn again with smaller instances


@dataclass(frozen=True)
class Instance:
    """An emoji drawn in an image.

    Args:
        label: Label of the emoji's class.
        mask: (H, W) bool, the visible pixels of the emoji.
        rendering: Name of the style in which the emoji is drawn.
    """

    label: int
    mask: np.ndarray
    rendering: str


def compose(
    icons: Sequence[Icon],
    labels: Sequence[int],
    renderings: Weighted,
    image_size: int,
    instance_size: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[np.ndarray, list[Instance]]:
    """Draw an image with one instance for each entry of ``labels``.

    Later instances may hide parts of earlier instances, but at least the fraction ``LEAST_VISIBLE``
    of every instance stays visible. If an instance does not fit, the image is drawn again with all
    instances 10% smaller.

    Args:
        icons: Icon of each class, indexed by label.
        labels: Label of each instance to draw. A label may occur several times.
        renderings: Drawing styles to choose from, each with its relative probability.
        image_size: Side length of the image, in pixels.
        instance_size: Minimum and maximum length, in pixels, of the longer side of an instance
            before it is rotated.
        rng: Source of randomness.

    Returns:
        image: (image_size, image_size, 3) uint8, RGB.
        instances: The instances in the order in which they were drawn.
    """
    base = background(image_size, rng)
    labels = [int(labels[i]) for i in rng.permutation(len(labels))]
    shrink = 1.0
    while True:
        drawn = _lay_out(icons, labels, renderings, base, instance_size, shrink, rng)
        if drawn is not None:
            return drawn
        shrink *= 0.9


def background(size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a random background: a gradient of two muted colours, soft noise and a few shapes.

    Args:
        size: Side length of the image, in pixels.
        rng: Source of randomness.

    Returns:
        (size, size, 3) float32 in [0, 255].

    Example:
        >>> background(32, np.random.default_rng(0)).shape
        (32, 32, 3)
    """
    first, second = _muted(rng), _muted(rng)
    down, right = rng.normal(size=2)
    ramp = np.arange(size) / (size - 1)
    weight = down * ramp[:, None] + right * ramp[None, :]
    weight = (weight - weight.min()) / np.ptp(weight)
    canvas = first + weight[..., None] * (second - first)

    cells = int(rng.integers(3, 9))
    noise = Image.fromarray(rng.integers(0, 256, (cells, cells)).astype(np.uint8))
    noise = np.asarray(noise.resize((size, size), Image.Resampling.BICUBIC), dtype=float)
    canvas = canvas + rng.uniform(0.05, 0.25) * (noise[..., None] - 128)

    picture = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(2, 7))):
        _draw_shape(pen, size, rng)
    return np.asarray(picture, dtype=np.float32)


def pose(
    icon: Icon, renderings: Weighted, size: float, rng: np.random.Generator
) -> tuple[np.ndarray, str]:
    """Draw an icon in a random style, with a random reflection, rotation and colour cast.

    Args:
        icon: The icon.
        renderings: Drawing styles to choose from, each with its relative probability.
        size: Longer side of the icon before the rotation, in pixels.
        rng: Source of randomness.

    Returns:
        pixels: (h, w, 4) float32 in [0, 255], RGB premultiplied by alpha.
        rendering: Name of the chosen style.
    """
    found = renderings_of(icon, renderings)
    rendering, _ = found[int(rng.choice(len(found), p=[weight for _, weight in found]))]
    picture = Image.fromarray(draw(icon, rendering), mode="RGBa")
    picture = picture.crop(picture.getchannel("a").getbbox())
    scale = size / max(picture.size)
    width, height = (max(1, round(scale * side)) for side in picture.size)
    picture = picture.resize((width, height), Image.Resampling.BOX)
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    angle = rng.uniform(-LARGEST_ROTATION, LARGEST_ROTATION)
    pixels = np.array(
        picture.rotate(angle, Image.Resampling.BILINEAR, expand=True), dtype=np.float32
    )
    gain = rng.uniform(0.85, 1.15, 3).astype(np.float32)
    lift = np.float32(rng.uniform(-0.06, 0.10))
    alpha = pixels[..., 3:]
    pixels[..., :3] = np.clip(gain * pixels[..., :3] + lift * alpha, 0, alpha)
    return pixels, rendering.name


def _lay_out(
    icons: Sequence[Icon],
    labels: Sequence[int],
    renderings: Weighted,
    base: np.ndarray,
    instance_size: tuple[int, int],
    shrink: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, list[Instance]] | None:
    """Draw all instances, scaled by ``shrink``; return None if an instance does not fit."""
    canvas = base.copy()
    side = len(canvas)
    owner = np.full((side, side), -1)  # index of the topmost instance at each pixel
    visible = np.zeros(len(labels), dtype=np.int64)  # number of visible pixels of each instance
    needed = np.zeros(len(labels))
    names = []
    smallest, largest = instance_size
    for index, label in enumerate(labels):
        size = shrink * smallest * (largest / smallest) ** rng.random()
        pixels, name = pose(icons[label], renderings, size, rng)
        names.append(name)
        opaque = pixels[..., 3] >= OPAQUE
        needed[index] = LEAST_VISIBLE * opaque.sum()
        for _ in range(_PLACES):
            # The centre lies in the image; parts beyond the border are cropped.
            corner = (int(rng.uniform(0, side) - extent / 2) for extent in opaque.shape)
            spans = [
                _overlap(start, extent, side)
                for start, extent in zip(corner, opaque.shape, strict=True)
            ]
            patch, region = zip(*spans, strict=True)
            shown, below = opaque[patch], owner[region]
            hidden = np.bincount(below[shown & (below >= 0)], minlength=len(labels))
            left = visible - hidden
            left[index] = shown.sum()
            if (left >= needed).all():
                break
        else:
            return None
        visible = left
        below[shown] = index  # a view, so this writes into owner
        over = pixels[patch]
        canvas[region] = canvas[region] * (1 - over[..., 3:] / 255) + over[..., :3]
    image = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
    return image, [Instance(y, owner == i, names[i]) for i, y in enumerate(labels)]


def _overlap(start: int, extent: int, side: int) -> tuple[slice, slice]:
    """Return the overlap of a patch and an image along one axis, as two slices.

    The patch is ``extent`` pixels long and begins at pixel ``start`` of the image; ``start`` may be
    negative. The image is ``side`` pixels long. The first slice selects the overlap in the patch,
    and the second slice selects the overlap in the image.

    Example:
        >>> _overlap(-2, 5, 10)
        (slice(2, 5, None), slice(0, 3, None))
    """
    first, last = max(start, 0), min(start + extent, side)
    return slice(first - start, last - start), slice(first, last)


def _muted(rng: np.random.Generator) -> np.ndarray:
    """Choose a random colour close to grey."""
    return np.clip(rng.uniform(60, 235) + rng.uniform(-45, 45, 3), 20, 250)


def _draw_shape(pen: ImageDraw.ImageDraw, size: int, rng: np.random.Generator) -> None:
    """Draw one random shape: an ellipse, a polygon or a line."""
    colour = tuple(int(channel) for channel in _muted(rng))
    x, y = rng.uniform(0, size, 2)
    reach = rng.uniform(0.05, 0.35) * size
    kind = int(rng.integers(3))
    if kind == 0:
        pen.ellipse((x - reach, y - reach / 2, x + reach, y + reach / 2), fill=colour)
    elif kind == 1:
        corners = np.array([x, y]) + rng.uniform(-reach, reach, (int(rng.integers(3, 6)), 2))
        pen.polygon([tuple(corner) for corner in corners], fill=colour)
    else:
        end = rng.uniform(0, size, 2)
        pen.line((x, y, *end), fill=colour, width=int(rng.integers(1, max(2, size // 24))))
