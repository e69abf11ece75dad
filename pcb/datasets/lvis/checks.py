"""Checks that annotations and results share. Each `..._problem` returns a message, or None."""

from collections.abc import Iterable
from math import inf, isfinite

import numpy as np


def missing_keys(record, keys: Iterable[str]) -> list[str]:
    """The keys that the record lacks; all of them, if it is no dict."""
    return [key for key in keys if key not in record] if isinstance(record, dict) else list(keys)


def is_integer(value) -> bool:
    """Whether the value is an integer, Python's or NumPy's, and no bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_number(value) -> bool:
    """Whether the value is a finite number, Python's or NumPy's."""
    return isinstance(value, (int, float, np.number)) and isfinite(value)


def is_polygons(segmentation) -> bool:
    """Whether this is a list of polygons `[x1, y1, x2, y2, x3, y3, ...]` of finite numbers."""
    if not isinstance(segmentation, list) or not segmentation:
        return False
    for polygon in segmentation:
        # With fewer than three points the libraries would take it for a box.
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            return False
        try:
            if not isfinite(sum(polygon)):
                return False
        except (TypeError, OverflowError):
            return False
    return True


def is_rle(segmentation, image: dict) -> bool:
    """Whether this is a run-length encoded mask of the image's size."""
    return (
        isinstance(segmentation, dict)
        and "counts" in segmentation
        and list(segmentation.get("size", ())) == [image["height"], image["width"]]
    )


def box_problem(bbox) -> str | None:
    """What is wrong with a box, which must be `[x, y, width, height]` in pixels."""
    try:
        x, y, width, height = bbox
        if isfinite(x) and isfinite(y) and 0 <= width < inf and 0 <= height < inf:
            return None
    except (TypeError, ValueError):
        pass
    return (
        "bbox must be [x, y, width, height] with finite numbers and no negative size, got"
        f" {shortened(bbox)}"
    )


def id_problem(record: dict, image_of: dict[int, dict], label_of: dict[int, int]) -> str | None:
    """What is wrong with the record's `image_id` or `category_id`."""
    image_id, category_id = record["image_id"], record["category_id"]
    if not is_integer(image_id) or image_id not in image_of:
        return (
            f"image_id {image_id!r} is not among the {len(image_of)} images of the annotations;"
            " is this another split or dataset?"
        )
    if not is_integer(category_id) or category_id not in label_of:
        return (
            f"category_id {category_id!r} is not among the {len(label_of)} categories of the"
            f" annotations ({min(label_of)} to {max(label_of)}); is this another dataset, or a"
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
