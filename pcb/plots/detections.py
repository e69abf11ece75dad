"""Pictures of the detections in one image."""

import os
from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from pcb.plots.dataset import image_grid
from pcb.plots.text import short
from pcb.storage.files import open_atomically

_SOFTWARE = "pcb predict"  # recorded in each file
_DPI = 150
_SMALLEST, _LARGEST = 800, 1600  # pixels, approximate length of the longer side of a picture


def draw_detections(
    path: str | os.PathLike[str],
    image: np.ndarray,
    boxes: Sequence[Sequence[float]],
    masks: Iterable[np.ndarray],
    names: Sequence[str],
    scores: Sequence[float],
) -> None:
    """Draw the n detections in an image, and write the picture to a PNG file.

    The longer side of the picture has about 800 to 1600 pixels.

    Args:
        path: The PNG file. Missing folders are created.
        image: (H, W, 3) uint8, RGB.
        boxes: (n, 4) boxes as x, y, width, height in pixels.
        masks: (n, H, W) bool, or nothing if there are no masks.
        names: (n,) class names.
        scores: (n,) scores. If there is no room for all names, those of the first detections are
            written, so pass the best detections first.

    Example:
        >>> import tempfile
        >>> file = f"{tempfile.mkdtemp()}/fox.png"
        >>> image, box = np.zeros((40, 60, 3), np.uint8), [4, 4, 30, 30]
        >>> draw_detections(file, image, [box], [], ["fox"], [0.9])
        >>> is_drawing_of_detections(file)
        True
    """
    longest = max(image.shape[:2])
    factor = min(1.0, _LARGEST / longest)
    shown = [_shrunk(mask, factor) for mask in masks]
    captions = [
        f"{short(name.replace('_', ' '), 16)} {score:.2f}"
        for name, score in zip(names, scores, strict=True)
    ]
    figure, _ = image_grid(
        [_shrunk(image, factor)],
        masks=[shown],
        boxes=[factor * np.asarray(boxes, float).reshape(-1, 4)],
        captions=[captions],
        columns=1,
        size=float(np.clip(longest, _SMALLEST, _LARGEST)) / _DPI,
    )
    try:
        with open_atomically(path) as file:
            figure.savefig(
                file,
                format="png",
                dpi=_DPI,
                bbox_inches="tight",
                pad_inches=0.03,
                metadata={"Software": _SOFTWARE},
            )
    finally:
        plt.close(figure)


def is_drawing_of_detections(path: str | os.PathLike[str]) -> bool:
    """Return whether :func:`draw_detections` wrote a file.

    Raises:
        OSError: The file is not an image.
    """
    with Image.open(path) as image:
        return image.info.get("Software") == _SOFTWARE


def _shrunk(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Scale an image (H, W, 3) or a mask (H, W) down; ``factor`` is at most 1."""
    if factor == 1:
        return pixels
    size = [max(1, round(factor * side)) for side in pixels.shape[1::-1]]
    kind = Image.Resampling.LANCZOS if pixels.ndim == 3 else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(pixels).resize(size, kind))
