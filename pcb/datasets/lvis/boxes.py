"""Recognise boxes that were probably not written as ``[x, y, width, height]`` in pixels."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

_SLACK_PIXELS, _SLACK_SHARE = 2.0, 0.05  # a box may extend beyond its image by the larger of these
# Boxes look like corners if at least 20% of them extend beyond their images, and at least 95% of
# them are valid when they are read as corners.
_LEAVING, _FITTING = 0.2, 0.95
_MASKS_COMPARED = 1000  # number of masks to compare with their boxes
_FORMAT = "[x, y, width, height] in pixels of the image"


def box_warning(boxes: np.ndarray, sizes: np.ndarray) -> str | None:
    """Return a warning if boxes do not look like ``[x, y, width, height]`` in pixels.

    Boxes may extend slightly beyond their images.

    Args:
        boxes: (n, 4), boxes that should be ``[x, y, width, height]`` in pixels.
        sizes: (n, 2), width and height of each box's image, in pixels.

    Example:
        >>> corners = np.array([[35, 5, 45, 15], [10, 10, 30, 30]])
        >>> box_warning(corners, np.array([[60, 40], [60, 40]]))
        'boxes extend beyond their images (1 of 2 boxes) and look like corners x1, y1, x2, y2: \
write [x, y, width, height] in pixels of the image'
        >>> box_warning(np.array([[35, 5, 10, 10]]), np.array([[60, 40]])) is None
        True
    """
    if not len(boxes):
        return None
    start, extent = boxes[:, :2], boxes[:, 2:]
    limit = sizes + np.maximum(_SLACK_PIXELS, _SLACK_SHARE * sizes)
    leaves = (start + extent > limit).any(axis=1)
    fits_as_corners = ((extent >= start) & (extent <= limit)).all(axis=1)
    leaving = f"{np.count_nonzero(leaves):,} of {len(boxes):,} boxes"
    count = f"boxes extend beyond their images ({leaving})"
    if leaves.mean() >= _LEAVING and fits_as_corners.mean() >= _FITTING:
        return f"{count} and look like corners x1, y1, x2, y2: write {_FORMAT}"
    if leaves.mean() > 0.5:
        return f"{count}: write {_FORMAT} before it is resized"
    if (np.abs(boxes) <= 1 + 2 * _SLACK_SHARE).all() and extent.any() and sizes.min() > 4:
        return (
            "every box lies within the first pixel of its image and looks like fractions of the"
            f" image size: write {_FORMAT}"
        )
    return None


def region_warning(
    boxes: np.ndarray, sizes: np.ndarray, mask_of: Callable[[int], list | dict | None]
) -> str | None:
    """Return a warning if boxes seem to be in a wrong format.

    Args:
        boxes: (n, 4), boxes that should be ``[x, y, width, height]`` in pixels.
        sizes: (n, 2), width and height of each box's image, in pixels.
        mask_of: Function that takes the index of a box and returns the segmentation of the same
            object, or None if the object has no segmentation.
    """
    chosen = range(0, len(boxes), max(1, len(boxes) // _MASKS_COMPARED))
    return box_warning(boxes, sizes) or _mask_warning(
        (boxes[index].tolist(), mask_of(index)) for index in chosen
    )


def record_warning(records: Sequence[dict[str, Any]], image_of: Mapping[int, dict]) -> str | None:
    """Return a warning if annotations or detections contain boxes in an unexpected format.

    The expected format is ``[x, y, width, height]`` in pixels. Boxes are also compared with their
    masks.

    Args:
        records: Valid annotations or detections, either all with the key 'bbox' or all without it.
        image_of: Dict from the id of each image to the image's entry in the annotation file.
    """
    if not records or "bbox" not in records[0]:
        return None
    boxes = np.fromiter(chain.from_iterable(record["bbox"] for record in records), np.float64)
    size_of = {key: (image["width"], image["height"]) for key, image in image_of.items()}
    sizes = chain.from_iterable(size_of[record["image_id"]] for record in records)
    return region_warning(
        boxes.reshape(-1, 4),
        np.fromiter(sizes, np.float64, 2 * len(records)).reshape(-1, 2),
        lambda index: records[index].get("segmentation"),
    )


def _mask_warning(pairs: Iterable[tuple[Sequence[float], list | dict | None]]) -> str | None:
    """Return a warning if masks show that boxes were written as corners x1, y1, x2, y2.

    ``pairs`` yields the box and the segmentation of each object.
    """
    as_sizes_fit, as_corners_fit = 0, 0
    for (x, y, width, height), segmentation in pairs:
        # Near the origin, corners and sizes are nearly the same numbers.
        if not segmentation or max(x, y) <= 2 * _SLACK_PIXELS:
            continue
        right, bottom = _end(segmentation)
        as_sizes = max(abs(x + width - right), abs(y + height - bottom))
        as_corners = max(abs(width - right), abs(height - bottom))
        as_sizes_fit += as_sizes <= as_corners
        as_corners_fit += as_corners <= _SLACK_PIXELS < as_sizes
    total = as_sizes_fit + as_corners_fit
    if as_corners_fit < _FITTING * total or not as_corners_fit:
        return None
    return (
        "boxes look like corners x1, y1, x2, y2 when compared with their masks"
        f" ({as_corners_fit:,} of {total:,} boxes): write {_FORMAT}"
    )


def _end(segmentation: list | dict) -> tuple[float, float]:
    """Return the largest x coordinate and the largest y coordinate of a mask, in pixels."""
    if isinstance(segmentation, list):
        return (
            max(chain.from_iterable(polygon[0::2] for polygon in segmentation)),
            max(chain.from_iterable(polygon[1::2] for polygon in segmentation)),
        )
    from pycocotools import mask

    if isinstance(segmentation["counts"], list):
        segmentation = mask.frPyObjects(segmentation, *segmentation["size"])
    x, y, width, height = mask.toBbox(segmentation).tolist()
    return x + width, y + height
