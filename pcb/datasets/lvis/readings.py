"""Read values in detection results that differ from the COCO format, but have only one meaning."""

import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from pcb.datasets.lvis.annotations import Annotations
from pcb.datasets.lvis.checks import has_short_polygon, is_number, is_polygons, is_rle
from pcb.datasets.lvis.ids import FIRST_TEXT_ID, id_number, text_id, whole_number
from pcb.datasets.lvis.images import image_path, path_ends
from pcb.messages.printable import short_repr

_AS_NUMBER, _AS_ID = "text and was read as a number", "text and was read as an id"


class Readings:
    """A reader of unusual values in detections, which counts what it reads.

    These values are read:

    - ``image_id`` as text: the id of an image, or else the file name, the end of the path, or the
      file name without extension of exactly one image
    - ``category_id`` as digits, or as the text that is the id of a category
    - ``image_id`` and ``category_id`` as floats without a fraction
    - ``score`` as the text of a finite number
    - ``segmentation`` as polygons or as an uncompressed RLE; it becomes a compressed RLE
    - ``bbox`` and ``segmentation`` that are None; they are left out

    Args:
        annotations: The ground truth for the detections.

    Example:
        >>> image = {"id": 7, "file_name": "val/42.jpg", "height": 50, "width": 50}
        >>> readings = Readings(Annotations("", [image], [], [{"id": 3, "name": "cat"}]))
        >>> readings.normalised({"image_id": "42", "category_id": 3.0, "score": "0.9"})
        {'image_id': 7, 'category_id': 3, 'score': 0.9}
    """

    def __init__(self, annotations: Annotations) -> None:
        self._annotations = annotations
        self._counts: Counter[tuple[str, str]] = Counter()
        self._by_name: tuple[Mapping[str, set[int]], Mapping[str, set[int]]] | None = None

    def normalised(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of a detection in the COCO results format.

        Values that have no single meaning are not changed.
        """
        result = {
            key: value
            for key, value in result.items()
            if value is not None or key not in ("bbox", "segmentation")
        }
        for key, read in (
            ("image_id", self._image_id),
            ("category_id", self._category_id),
            ("score", _score),
            ("segmentation", lambda value: self._segmentation(value, result.get("image_id"))),
        ):
            found = read(result[key]) if key in result else None
            if found is not None:
                result[key], how = found
                self._counts[key, how] += 1
        return result

    def text_problem(self, result: Mapping[str, Any]) -> str | None:
        """Return why an id of a normalised detection is still text, or None if no id is text."""
        image_id, category_id = result.get("image_id"), result.get("category_id")
        if isinstance(image_id, str):
            # One image with a matching name or id would have been read.
            several = len(self._images_meant(image_id)) > 1
            found = (
                "several images have this id or file name: write the id of the image as a number"
                if several
                else "no image of the annotation file has this id or file name: use annotations and"
                " results of the same dataset and split"
            )
            return f"image_id is text, {short_repr(image_id)}, and {found}"
        if isinstance(category_id, str):
            same = [c["id"] for c in self._annotations.categories if c["name"] == category_id]
            is_number = len(same) == 1 and same[0] < FIRST_TEXT_ID
            remedy = f" ({same[0]}) as a number" if is_number else ""
            return (
                f"category_id is text, {short_repr(category_id)}, and class names are not read:"
                f" write the id of the category{remedy}"
            )
        return None

    def log(self, source: str, total: int) -> None:
        """Log once how many values were read in each way.

        Args:
            source: Name of the results, for use in messages.
            total: Number of detections in the results.
        """
        for (key, how), count in self._counts.items():
            detections = "detection" if total == 1 else "detections"
            self._annotations.log(f"{key} of {count:,} of {total:,} {detections} was {how}", source)

    def _image_id(self, value: Any) -> tuple[int, str] | None:
        if not isinstance(value, str):
            return _integer(value)
        images = self._images_meant(value)
        if len(images) != 1:
            return None
        (image_id,) = images
        if image_id == text_id(value):
            return image_id, _AS_ID
        is_number = str(image_id) == value or not self._images_called(value)
        return image_id, _AS_NUMBER if is_number else "text and was read as a file name"

    def _images_meant(self, text: str) -> set[int]:
        """Return the ids of the images with this id or this name."""
        # "42" may be an id or a file name. If it is both, the images must be the same.
        number = id_number(text)
        called = self._images_called(text)
        return called if number not in self._annotations.image_of else called | {number}

    def _category_id(self, value: Any) -> tuple[int, str] | None:
        number = text_id(value)
        if number in self._annotations.label_of:
            return number, _AS_ID
        return _integer(value)

    def _images_called(self, text: str) -> set[int]:
        """Return the ids of the images with this path, end of a path, file name or stem."""
        if self._by_name is None:
            whole, ends = defaultdict(set), defaultdict(set)
            for image in self._annotations.images:
                for name in _names(image):
                    whole[name].add(image["id"])
                    for end in path_ends(name):
                        ends[end].add(image["id"])
            self._by_name = whole, ends
        whole, ends = self._by_name
        text = text.replace("\\", "/")
        if text in ends:
            return ends[text]
        # The results may have folders that the annotations lack, but no different folders.
        return next((whole[end] for end in path_ends(text) if end in whole), set())

    def _segmentation(self, value: Any, image_id: Any) -> tuple[dict, str] | None:
        try:
            image = self._annotations.image_of.get(image_id)
        except TypeError:  # a list
            return None
        if image is None:
            return None
        if is_polygons(value) and not has_short_polygon(value):
            how = "a list of polygons and was encoded as a mask"
        elif is_rle(value, image) and isinstance(value["counts"], list):
            how = "an uncompressed RLE and was compressed"
        else:
            return None
        from pcb.datasets.masks import encode_mask

        encoded = encode_mask(value, image["height"], image["width"])
        size = [image["height"], image["width"]]
        return {"size": size, "counts": encoded["counts"].decode()}, how


def _integer(value: Any) -> tuple[int, str] | None:
    """Return the integer that an id means, and how the id was read; None to keep the id."""
    number = whole_number(value)
    if number is None:
        return None
    return number, _AS_NUMBER if isinstance(value, str) else "a float and was read as an integer"


def _score(value: Any) -> tuple[float, str] | None:
    if not isinstance(value, str) or "_" in value:  # Python reads "1_0" as 10
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return (number, _AS_NUMBER) if is_number(number) else None


def _names(image: dict) -> set[str]:
    """Return the paths by which results may name an image, with and without extension."""
    paths = {image_path(image) if image.get("file_name") or image.get("coco_url") else ""}
    paths.add(image.get("file_name") or "")
    paths = {path.replace("\\", "/") for path in paths if path}
    return paths | {os.path.splitext(path)[0] for path in paths}
