"""Whether boxes that are read as `[x, y, width, height]` in pixels are something else."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import numpy as np

_SLACK_PIXELS, _SLACK_SHARE = 2.0, 0.05  # by which a box may stick out of its image unnoticed
_LEAVING, _FITTING = 0.2, 0.95  # shares of boxes from which they look like corners
MASKS_COMPARED = 1000  # masks that are compared with their boxes, spread over all
_FORMAT = "[x, y, width, height] in pixels of the image"


def box_warning(boxes: np.ndarray, sizes: np.ndarray) -> str | None:
    """What boxes seem to be, if not `[x, y, width, height]` in pixels.

    Boxes that stick out by less than 5% of their image (or two pixels) are left in peace.

    Args:
        boxes: (n, 4).
        sizes: (n, 2), width and height of each box's image, in pixels.

    Example:
        >>> corners = np.array([[35, 5, 45, 15], [10, 10, 30, 30]])
        >>> box_warning(corners, np.array([[60, 40], [60, 40]]))
        '1 of 2 boxes leave their images by their own size, as corners x1, y1, x2, y2 would: \
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
    count = f"{np.count_nonzero(leaves):,} of {len(boxes):,} boxes leave their images"
    if leaves.mean() >= _LEAVING and fits_as_corners.mean() >= _FITTING:
        return f"{count} by their own size, as corners x1, y1, x2, y2 would: write {_FORMAT}"
    if leaves.mean() > 0.5:
        return f"{count}; are they {_FORMAT} as annotated, not as resized?"
    if (np.abs(boxes) <= 1 + 2 * _SLACK_SHARE).all() and extent.any() and sizes.min() > 4:
        return (
            f"all {len(boxes):,} boxes lie within the first pixel of their image, as shares of its"
            f" size from 0 to 1 would: write {_FORMAT}"
        )
    return None


def record_warning(records: Sequence[dict], image_of: Mapping[int, dict]) -> str | None:
    """What the boxes of annotations, or of results, seem to be; those with masks betray it, too.

    Args:
        records: Checked; either all have a 'bbox' or none.
        image_of: Image of each id.
    """
    if not records or "bbox" not in records[0]:
        return None
    boxes = np.fromiter(chain.from_iterable(record["bbox"] for record in records), np.float64)
    size_of = {key: (image["width"], image["height"]) for key, image in image_of.items()}
    sizes = chain.from_iterable(size_of[record["image_id"]] for record in records)
    sizes = np.fromiter(sizes, np.float64, 2 * len(records)).reshape(-1, 2)
    chosen = records[:: max(1, len(records) // MASKS_COMPARED)]
    masks = ((record["bbox"], record.get("segmentation")) for record in chosen)
    return box_warning(boxes.reshape(-1, 4), sizes) or mask_warning(masks)


def mask_warning(pairs: Iterable[tuple[Sequence[float], list | dict | None]]) -> str | None:
    """What boxes seem to be that end where their masks do not; of pairs of box and mask."""
    ours, others = 0, 0
    for (x, y, width, height), segmentation in pairs:
        if not segmentation or max(x, y) <= 2 * _SLACK_PIXELS:  # there both readings are alike
            continue
        right, bottom = _end(segmentation)
        as_sizes = max(abs(x + width - right), abs(y + height - bottom))
        as_corners = max(abs(width - right), abs(height - bottom))
        ours += as_sizes <= as_corners
        others += as_corners <= _SLACK_PIXELS < as_sizes
    if others < _FITTING * (ours + others) or not others:
        return None
    return (
        f"{others:,} of {ours + others:,} boxes that were compared with their masks end at width"
        f" and height, as corners x1, y1, x2, y2 do: write {_FORMAT}"
    )


def _end(segmentation: list | dict) -> tuple[float, float]:
    """Right and lower end of a mask."""
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
