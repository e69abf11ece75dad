"""Measure the visual similarity of icons that are scaled to 28 x 28 pixels."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image

from pcb.datasets.openmoji.icons import COLOURS_ALONE, DRAWN_SIZE, PLAIN, Icon, draw

SIDE = 28  # pixels
_RENDERINGS = (PLAIN, COLOURS_ALONE)
_MARGIN = 1.06  # the view is larger than the icon by this factor, so that rotation cuts off little
_ANGLES = range(0, 360, 15)
_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def similarity(first: Icon, second: Icon) -> float:
    """Return the visual similarity of two icons: 1 for equal icons, 0 if nothing overlaps.

    The overlap of two pictures is the sum of the pixelwise minima of colour and alpha, divided by
    the sum of the pixelwise maxima. The similarity is the mean of two overlaps: one with the
    outlines of the icons, and one without.

    Example:
        >>> taxi, car, apple = (Icon(code, "") for code in ("1F696", "1F698", "1F34E"))
        >>> similarity(taxi, taxi), similarity(taxi, car) > similarity(taxi, apple)
        (1.0, True)
    """
    return float(_overlap(_views(first), _views(second)).mean())


def similarities(icons: Sequence[Icon]) -> np.ndarray:
    """Return an (n, n) float32 array with the :func:`similarity` of every pair of icons.

    Example:
        >>> similarities([Icon("1F696", "taxi"), Icon("1F698", "car")]).shape
        (2, 2)
    """
    views = np.stack([_views(icon) for icon in icons])
    return np.stack([_overlap(one, views).mean(-1) for one in views]).astype(np.float32)


def congruence(first: Icon, second: Icon) -> float:
    """Return how similar two icons are if the first may be rotated, mirrored and recoloured.

    Both icons are drawn in grey. The result is the largest overlap, as defined in
    :func:`similarity`. A value close to 1 means that augmentation can make the icons look the same.

    Example:
        >>> left, right, apple = (Icon(code, "") for code in ("1F91B", "1F91C", "1F34E"))
        >>> congruence(left, right) > 0.97 > similarity(left, right)
        True
        >>> congruence(left, apple) < 0.9
        True
    """
    return float(_overlap(_positions(first), _grey(_views(second))[:, None]).max())


@cache
def _views(icon: Icon) -> np.ndarray:
    """Draw an icon with and without outlines, centred and scaled to a fixed size.

    Returns:
        Array of shape (2, SIDE, SIDE, 4): premultiplied RGBA in [0, 1].
    """
    views = []
    for rendering in _RENDERINGS:
        picture = Image.fromarray(draw(icon, rendering), mode="RGBa")
        opaque = picture.getchannel("a").point(lambda alpha: 255 * (alpha > 127))
        left, top, right, bottom = opaque.getbbox()
        extent = _MARGIN * max(right - left, bottom - top)
        step = extent / DRAWN_SIZE
        x, y = (left + right - extent) / 2, (top + bottom - extent) / 2
        picture = picture.transform(
            picture.size,
            Image.Transform.AFFINE,
            (step, 0, x, 0, step, y),
            Image.Resampling.BILINEAR,
        )
        views.append(np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX)))
    return np.stack(views).astype(np.float32) / 255


@cache
def _positions(icon: Icon) -> np.ndarray:
    """Draw an icon in grey, in 24 rotations, each with and without mirroring.

    Returns:
        Array of shape (2, 48, SIDE, SIDE, 2): luminance and alpha in [0, 1]. On the first axis,
        index 0 is the icon with outlines, and index 1 is the icon without outlines.
    """
    positions = []
    for view in _views(icon):
        upright = Image.fromarray(np.rint(255 * view).astype(np.uint8), mode="RGBa")
        for picture in (upright, upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT)):
            turned = (picture.rotate(angle, Image.Resampling.BILINEAR) for angle in _ANGLES)
            positions.extend(map(np.asarray, turned))
    grey = _grey(np.stack(positions).astype(np.float32) / 255)
    return grey.reshape(len(_RENDERINGS), -1, *grey.shape[1:])


def _grey(pixels: np.ndarray) -> np.ndarray:
    return np.stack([pixels[..., :3] @ _LUMINANCE, pixels[..., 3]], axis=-1)


def _overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the overlap of each pair of pictures, as defined in :func:`similarity`."""
    difference = np.abs(first - second).sum((-3, -2, -1))
    total = first.sum((-3, -2, -1)) + second.sum((-3, -2, -1))
    return (total - difference) / (total + difference)
