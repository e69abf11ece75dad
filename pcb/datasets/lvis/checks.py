"""Checks that annotations and results share. Each `..._problem` returns a message, or None."""

from collections.abc import Iterable, Mapping
from math import hypot, isfinite

import numpy as np

# Ids go into 64 bit, sizes into 32, and pycocotools walks along the edges of a polygon in steps of
# a fifth of a pixel: farther than this it needs gigabytes.
MOST_ID = 2**63 - 1
MOST_PIXELS = 1_000_000
FARTHEST = 1e7


def missing_keys(record, keys: Iterable[str]) -> list[str]:
    """The keys that the record lacks; all of them, if it is no dict."""
    return [key for key in keys if key not in record] if isinstance(record, dict) else list(keys)


def is_integer(value) -> bool:
    """Whether the value is an integer, Python's or NumPy's, and no bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_id(value) -> bool:
    """Whether the value is an integer from 0 that fits into 64 bits."""
    return is_integer(value) and 0 <= value <= MOST_ID


def is_number(value) -> bool:
    """Whether the value is a finite number, Python's or NumPy's, and no bool."""
    try:
        is_one = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        return is_one and isfinite(value)
    except OverflowError:  # an integer beyond the largest float
        return False


def is_polygons(segmentation) -> bool:
    """Whether this is a list of polygons `[x1, y1, x2, y2, x3, y3, ...]` of finite numbers."""
    if not isinstance(segmentation, list):
        return False
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) % 2:
            return False
        try:
            if not hypot(*polygon) < FARTHEST:  # nor is nan
                return False
        except (TypeError, OverflowError):
            return False
    return True


def has_short_polygon(segmentation) -> bool:
    """Whether some polygon has fewer than three points, or there is none.

    Such a thing has no area, but pycocotools takes two points for a box and stumbles over one.
    """
    return not segmentation or (isinstance(segmentation, list) and min(map(len, segmentation)) < 6)


def is_rle(segmentation, image: dict) -> bool:
    """Whether this is a run-length encoded mask of the image's size, in text or as integers."""
    if not isinstance(segmentation, dict):
        return False
    counts, size = segmentation.get("counts"), segmentation.get("size")
    if not (isinstance(size, (list, tuple)) and all(map(is_integer, size))):
        return False
    if list(size) != [image["height"], image["width"]]:
        return False
    if isinstance(counts, (str, bytes)):
        return True  # their sum is looked at by RunLengthCheck
    return (
        isinstance(counts, list)
        and all(is_integer(count) and count >= 0 for count in counts)
        and sum(counts) == size[0] * size[1]
    )


def box_problem(bbox) -> str | None:
    """What is wrong with a box, which must be `[x, y, width, height]` in pixels."""
    try:
        x, y, width, height = bbox
        if isfinite(x + y + width + height) and width >= 0 and height >= 0:
            return None
    except (TypeError, ValueError, OverflowError):
        pass
    return (
        "bbox must be [x, y, width, height] with finite numbers and no negative size, got"
        f" {shortened(bbox)}"
    )


def id_problem(record: dict, image_of: Mapping, label_of: Mapping) -> str | None:
    """What is wrong with the record's `image_id` or `category_id`."""
    image_id, category_id = record["image_id"], record["category_id"]
    for key in ("image_id", "category_id"):
        if isinstance(record[key], str):
            return f"{key} is text, {shortened(record[key])}; write ids as numbers, without quotes"
    if not is_integer(image_id) or image_id not in image_of:
        return (
            f"image_id {shortened(image_id)} is not among the {len(image_of)} images of the"
            " annotations; is this another split or dataset?"
        )
    if not is_integer(category_id) or category_id not in label_of:
        return (
            f"category_id {shortened(category_id)} is not among the {len(label_of)} categories of"
            f" the annotations ({min(label_of)} to {max(label_of)}); is this another dataset, or a"
            " label (index of a class) instead of an id?"
        )
    return None


def quoted(keys: Iterable[str]) -> str:
    """The keys as a message shows them."""
    return ", ".join(repr(key) for key in keys)


def shortened(value, length: int = 80) -> str:
    """The value as a message shows it, cut to `length` characters."""
    text = repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."
