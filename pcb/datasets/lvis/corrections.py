"""Correct invalid values of annotation files if only one meaning is possible.

Annotation tools write ids as text or as decimal numbers, and leave out values that can be computed.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pcb.datasets.lvis.checks import has_short_polygon, is_number, is_polygons, is_rle
from pcb.datasets.lvis.ids import text_id, whole_number
from pcb.datasets.lvis.rules import FEDERATED_KEYS, GROUP_KEYS
from pcb.datasets.lvis.run_lengths import fills

_INTEGERS = {
    "category": ("id", "image_count", "instance_count"),
    "image": ("id", "width", "height"),
    "annotation": ("id", "image_id", "category_id", "iscrowd"),
}
_OPTIONAL = {
    "category": GROUP_KEYS,
    "image": FEDERATED_KEYS,
    "annotation": ("bbox", "area", "segmentation", "iscrowd", "ignore"),
}
_PLURAL = {"category": "categories", "image": "images", "annotation": "annotations"}


class Corrections:
    """Corrector of records that counts what it has corrected.

    Example:
        >>> corrections = Corrections()
        >>> corrections.correct("category", {"id": "3", "name": "cat"})
        {'id': 3, 'name': 'cat'}
        >>> corrections.notes({"category": 5})
        ["'id' is not an integer but could be converted: 1 of 5 categories"]
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._texts: dict[int, str] = {}

    def correct(
        self,
        kind: str,
        record: Mapping[str, Any],
        image_of: Mapping[int, dict] | None = None,
        label_of: Mapping[int, int] | None = None,
    ) -> dict:
        """Return a copy of a record in which all values with only one meaning are corrected.

        Args:
            kind: 'category', 'image' or 'annotation'.
            record: The record.
            image_of: For annotations: a dict from each image id to the record of the image.
            label_of: For images and annotations: a dict from each category id to the label of the
                category.
        """
        new = dict(record)
        done = []
        for key in _OPTIONAL[kind]:
            if key in new and (new[key] is None or (key == "segmentation" and not new[key])):
                del new[key]  # an empty value means the same as no value
        for key in _INTEGERS[kind]:
            if key in new and (number := whole_number(new[key])) is not None:
                new[key] = number
                done.append(f"{key!r} is not an integer but could be converted")
        # A text that refers to nothing stays as it is, so that the message about it quotes it.
        for key, known in (("id", None), ("image_id", image_of), ("category_id", label_of)):
            number = text_id(new.get(key))
            if number is not None and (key == "id" or number in (known or {})):
                self._texts[number] = new[key]
                new[key] = number
                done.append(f"{key!r} is text and was replaced by a number")
        if kind == "image":
            name = new.get("file_name")
            if isinstance(name, str) and name.startswith(("/", "\\")):
                new["file_name"] = name.lstrip("/\\")
                done.append("'file_name' is an absolute path, but was read as one in the folder")
            for key in FEDERATED_KEYS:
                if isinstance(new.get(key), list):
                    numbers = [_listed(value, label_of or {}) for value in new[key]]
                    if [*map(type, numbers)] != [*map(type, new[key])]:
                        done.append(f"{key!r} contains ids that are no integers but were converted")
                    new[key] = numbers
        if kind == "annotation":
            done += _complete(new, image_of or {})
        self._counts.update((kind, text) for text in done)
        return new

    def stated(self, value: Any) -> Any:
        """Return the text that was replaced by an id, or the id itself, for use in messages."""
        return self._texts.get(value, value) if isinstance(value, int) else value

    def notes(self, totals: Mapping[str, int]) -> list[str]:
        """Return one text for each kind of correction, with its count.

        Args:
            totals: Number of records of each kind in the file.
        """
        return [
            f"{text}: {count:,} of {totals[kind]:,} {_PLURAL[kind]}"
            for (kind, text), count in self._counts.items()
        ]


def _listed(value: Any, label_of: Mapping[int, int]) -> Any:
    """Return the category id that a value in a list stands for, or else the value itself."""
    number = whole_number(value)
    if number is None and (replaced := text_id(value)) in label_of:
        number = replaced
    return value if number is None else number


def _complete(annotation: dict, image_of: Mapping[int, dict]) -> list[str]:
    """Compute missing values of an annotation in place, and return what was done."""
    done = []
    box = annotation.get("bbox")
    if isinstance(box, list) and any(isinstance(value, str) for value in box):
        try:
            annotation["bbox"] = [float(value) for value in box]
            done.append("'bbox' contains text that was converted to numbers")
        except (TypeError, ValueError):
            return done  # the check of the corrected annotation reports the box
    if isinstance(area := annotation.get("area"), str):
        try:
            annotation["area"] = float(area)
            done.append("'area' is text that was converted to a number")
        except ValueError:
            return done  # the check of the corrected annotation reports the area
    image_id = annotation.get("image_id")
    image = image_of.get(image_id) if isinstance(image_id, int) else None
    mask = annotation.get("segmentation")
    has_mask = image is not None and _is_mask(mask, image)
    if has_mask and ("bbox" not in annotation or "area" not in annotation):
        from pycocotools import mask as run_lengths  # not needed for most files

        from pcb.datasets.masks import encode_mask

        encoded = encode_mask(mask, image["height"], image["width"])  # type: ignore[index,arg-type]
        if "bbox" not in annotation:
            annotation["bbox"] = run_lengths.toBbox(encoded).tolist()
            done.append("'bbox' is missing and was computed from the mask")
        if "area" not in annotation:
            annotation["area"] = float(run_lengths.area(encoded))
            done.append("'area' is missing and was computed from the mask")
    elif (
        "area" not in annotation
        and "segmentation" not in annotation
        and _is_box(annotation.get("bbox"))
    ):
        annotation["area"] = float(annotation["bbox"][2] * annotation["bbox"][3])
        done.append("'area' is missing and was computed from the box")
    return done


def _is_mask(mask: Any, image: Mapping[str, Any]) -> bool:
    """Return whether pycocotools can decode a segmentation."""
    if is_polygons(mask):
        return bool(mask) and not has_short_polygon(mask)
    if not is_rle(mask, image):
        return False
    if isinstance(mask["counts"], list):
        return True
    return bool(fills([mask["counts"]], [image["height"] * image["width"]])[0])


def _is_box(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(map(is_number, box))
