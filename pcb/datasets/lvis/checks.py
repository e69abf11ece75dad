"""Check single values in annotation files and in detection results.

A function whose name ends in ``_problem`` returns what is wrong with a value, or None if the
value is valid.
"""

from collections.abc import Iterable, Mapping
from math import hypot, isfinite
from typing import Any

import numpy as np

from pcb.datasets.lvis.ids import FIRST_TEXT_ID, MOST_ID
from pcb.messages.printable import short_repr

# Sizes are stored in 32 bits. pycocotools follows the edges of a polygon in steps of a fifth of a
# pixel. Points farther away than ``FARTHEST`` would take gigabytes of memory.
MOST_PIXELS = 1_000_000
FARTHEST = 1e7


def missing_keys(record: Any, keys: Iterable[str]) -> list[str]:
    """Return which of the given keys are missing from a record.

    If the record is not a dict, all keys are missing.
    """
    return [key for key in keys if key not in record] if isinstance(record, dict) else list(keys)


def missing_problem(record: Any, keys: Iterable[str], remedy: str) -> str | None:
    """Return a message that names the missing keys of a record and ends with ``remedy``.

    If no key is missing, the result is None.
    """
    missing = missing_keys(record, keys)
    return f"no {', '.join(map(repr, missing))}; {remedy}" if missing else None


def is_integer(value: Any) -> bool:
    """Return whether a value is a Python or NumPy integer, but not a bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_id(value: Any) -> bool:
    """Return whether a value is a non-negative integer that fits into a signed 64-bit integer."""
    return is_integer(value) and 0 <= value <= MOST_ID


def is_number(value: Any) -> bool:
    """Return whether a value is a finite Python or NumPy number, but not a bool."""
    if type(value) is float:
        return isfinite(value)
    try:
        is_one = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        return is_one and isfinite(value)
    except OverflowError:  # an integer beyond the largest float
        return False


def own_id_problem(record: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the ``id`` of a record, or None if the id is valid."""
    if is_id(record["id"]):
        return None
    return f"id must be a non-negative integer or text, got {short_repr(record['id'])}"


def reference_problem(
    image_id: Any, category_id: Any, image_of: Mapping[int, dict], label_of: Mapping[int, int]
) -> str | None:
    """Return a message if a record's image id or category id is invalid, otherwise None."""
    is_plain = type(image_id) is type(category_id) is int  # the usual case, checked fast
    if is_plain and image_id in image_of and category_id in label_of:
        return None
    for kind, value in (("image", image_id), ("category", category_id)):
        if isinstance(value, str):
            return (
                f"{kind}_id is text, {short_repr(value)}, and no {kind} of the annotation file has"
                " this id: correct the id"
            )
    if not is_integer(image_id) or image_id not in image_of:
        return (
            f"image_id {short_repr(image_id)} is not the id of any image in the annotation file:"
            " correct the id, or use annotations and results of the same dataset and split"
        )
    if not is_integer(category_id) or category_id not in label_of:
        first, last = min(label_of), max(label_of)
        ids = f" (ids {first} to {last})" if last < FIRST_TEXT_ID else ""
        return (
            f"category_id {short_repr(category_id)} is not the id of any category in the annotation"
            f" file{ids}: write category ids, not labels (class indices from 0), or use annotations"
            " and results of the same dataset"
        )
    return None


def box_problem(bbox: Any) -> str | None:
    """Return what is wrong with a box, or None if it is a valid ``[x, y, width, height]``."""
    try:
        x, y, width, height = bbox
        if isfinite(x + y + width + height) and width >= 0 and height >= 0:
            return None
    except (TypeError, ValueError, OverflowError):
        pass
    return (
        "bbox must be [x, y, width, height] with finite numbers and no negative size, got"
        f" {short_repr(bbox)}"
    )


def is_polygons(segmentation: Any) -> bool:
    """Return whether a value is a list of polygons of the form ``[x1, y1, x2, y2, ...]``.

    The coordinates must be finite and not extremely large.
    """
    if not isinstance(segmentation, list):
        return False
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) % 2:
            return False
        try:
            if not hypot(*polygon) < FARTHEST:  # rejects NaN, too
                return False
        except (TypeError, OverflowError):
            return False
    return True


def has_short_polygon(segmentation: Any) -> bool:
    """Return whether a segmentation is empty or has a polygon with fewer than three points.

    pycocotools fails on a polygon with one point, and interprets a polygon with two points as a
    box.
    """
    return not segmentation or (isinstance(segmentation, list) and min(map(len, segmentation)) < 6)


def is_rle(segmentation: Any, image: Mapping[str, Any]) -> bool:
    """Return whether a value is a run-length encoding (RLE) whose size matches the image.

    The run lengths may be stored as text (compressed) or as a list of integers.
    """
    if not isinstance(segmentation, dict):
        return False
    counts, size = segmentation.get("counts"), segmentation.get("size")
    if not (isinstance(size, (list, tuple)) and all(map(is_integer, size))):
        return False
    if list(size) != [image["height"], image["width"]]:
        return False
    if isinstance(counts, (str, bytes)):  # RunLengthCheck checks the sum of the runs
        return counts.isascii() and not is_text_of_bytes(segmentation)
    return (
        isinstance(counts, list)
        and all(is_integer(count) and count >= 0 for count in counts)
        and sum(counts) == size[0] * size[1]
    )


def is_text_of_bytes(segmentation: Any) -> bool:
    """Return whether the run lengths of a mask are text such as ``"b'P[2'"``."""
    counts = segmentation.get("counts") if isinstance(segmentation, dict) else None
    return isinstance(counts, str) and counts[:2] in ("b'", 'b"') and counts[-1:] in ("'", '"')


def is_compressed_rle(segmentation: Any, image: Mapping[str, Any]) -> bool:
    """Return whether a value is a compressed run-length encoding whose size matches the image."""
    return is_rle(segmentation, image) and isinstance(segmentation["counts"], (str, bytes))
