"""Check the layout of files, and single categories, images, annotations and detections.

Each function returns a message that says what is wrong with a record, or None if the record is
valid. The formats are documented at https://www.lvisdataset.org/dataset,
https://cocodataset.org/#format-data and https://cocodataset.org/#format-results.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pcb.datasets.lvis.checks import (
    MOST_PIXELS,
    box_problem,
    has_short_polygon,
    is_compressed_rle,
    is_id,
    is_integer,
    is_number,
    is_polygons,
    is_rle,
    is_text_of_bytes,
    missing_problem,
    own_id_problem,
    reference_problem,
)
from pcb.datasets.lvis.images import image_path
from pcb.messages.printable import short_repr

CATEGORY_KEYS = ("id", "name")
IMAGE_KEYS = ("id", "width", "height")
ANNOTATION_KEYS = ("id", "image_id", "category_id", "bbox", "area")
DETECTION_KEYS = ("image_id", "category_id", "score", "bbox", "segmentation")

# Keys that LVIS adds to images and to categories in COCO format. If one image (or category) of a
# file has such a key, every image (or category) of the file must have it.
FEDERATED_KEYS = ("neg_category_ids", "not_exhaustive_category_ids")
GROUP_KEYS = ("frequency", "image_count", "instance_count")

TEXT_OF_BYTES = (
    "the counts of the segmentation are the text of a Python bytes object, such as \"b'P[2'\":"
    " convert bytes with .decode('ascii') before writing JSON"
)
_AS_IN_LVIS = "add every key that the LVIS and COCO formats require"


def layout_problem(data: Any, may_lack_annotations: bool) -> str | None:
    """Return why ``data`` does not have the layout of an annotation file, or None if it does.

    The layout is a dict with non-empty lists of images, annotations and categories.
    """
    start = "this is not an annotation file, because it"
    if not isinstance(data, dict):
        return (
            f"{start} contains a value of type {type(data).__name__} instead of a dict. If it is a"
            " results file, pass the ground truth first and the results second"
        )
    for key in ("images", "annotations", "categories"):
        if not isinstance(data.get(key), list):
            return (
                f"{start} has no list {key!r} (keys found: {', '.join(sorted(data)) or 'none'})."
                " Use a file in LVIS or COCO format"
            )
        if not data[key] and not (may_lack_annotations and key == "annotations"):
            return (
                f"{key!r} is empty: use a dataset with at least one image, one annotation and one"
                " category"
            )
    return None


def category_problem(category: Any) -> str | None:
    """Return what is wrong with a category record, or None if it is valid."""
    problem = missing_problem(category, CATEGORY_KEYS, _AS_IN_LVIS) or own_id_problem(category)
    if problem:
        return problem
    if not (isinstance(category["name"], str) and category["name"]):
        return f"name must be non-empty text, got {short_repr(category['name'])}"
    if category.get("frequency", "r") not in ("r", "c", "f"):
        return (
            f"frequency must be 'r' (rare), 'c' (common) or 'f' (frequent), got"
            f" {short_repr(category['frequency'])}"
        )
    for key in ("image_count", "instance_count"):
        if not is_id(category.get(key, 0)):
            return (
                f"{key}, the count in the training data, must be a non-negative integer, got"
                f" {short_repr(category[key])}"
            )
    return None


def image_problem(image: Any) -> str | None:
    """Return what is wrong with an image record, or None if it is valid."""
    remedy = "add the id and the size of each image, as in the LVIS and COCO formats"
    problem = missing_problem(image, IMAGE_KEYS, remedy) or own_id_problem(image)
    if problem:
        return problem
    if not (image.get("file_name") or image.get("coco_url")):
        return "no 'file_name' and no 'coco_url': add one of these keys"
    problem = _name_problem(image)
    if problem:
        return problem
    sizes = image["width"], image["height"]
    if not all(is_integer(size) and 0 < size <= MOST_PIXELS for size in sizes):
        return (
            f"width and height must be integers from 1 to {MOST_PIXELS} pixels, got"
            f" {' x '.join(map(short_repr, sizes))}"
        )
    for key in FEDERATED_KEYS:
        listed = image.get(key, [])
        if not (isinstance(listed, list) and all(map(is_integer, listed))):
            return f"{key} must be a list of category ids, got {short_repr(image[key])}"
    return None


def annotation_problem(
    annotation: Any,
    image_of: Mapping[int, dict],
    label_of: Mapping[int, int],
    allow_short_polygons: bool,
) -> str | None:
    """Return what is wrong with an annotation record, or None if it is valid.

    Args:
        annotation: The record.
        image_of: A dict from the id of each image to the record of the image.
        label_of: A dict from the id of each category to its label (class index).
        allow_short_polygons: Whether to accept empty segmentations and polygons with fewer than
            three points.
    """
    problem = (
        missing_problem(annotation, ANNOTATION_KEYS, _AS_IN_LVIS)
        or reference_problem(annotation["image_id"], annotation["category_id"], image_of, label_of)
        or own_id_problem(annotation)
        or box_problem(annotation["bbox"])
    )
    if problem:
        return problem
    area = annotation["area"]
    if not (is_number(area) and area >= 0):
        return f"area must be a non-negative number of pixels, got {short_repr(area)}"
    if annotation.get("ignore"):
        return "ignore is set, but LVIS has no ignored regions: remove this annotation"
    if annotation.get("iscrowd", 0) not in (0, 1):
        return f"iscrowd must be 0 or 1, got {short_repr(annotation['iscrowd'])}"
    if "segmentation" not in annotation:
        return None
    segmentation = annotation["segmentation"]
    image = image_of[annotation["image_id"]]
    if not (is_polygons(segmentation) or is_rle(segmentation, image)):
        if is_text_of_bytes(segmentation):
            return TEXT_OF_BYTES
        return (
            "segmentation must be a list of polygons [x1, y1, x2, y2, x3, y3, ...] or an RLE of"
            f" size {[image['height'], image['width']]}, got {short_repr(segmentation)}"
        )
    if not allow_short_polygons and has_short_polygon(segmentation):
        return (
            "segmentation must be a list of polygons with at least three points each, got"
            f" {short_repr(segmentation)}: remove polygons with fewer points"
        )
    return None


class DetectionRules:
    """The rules that a detection in COCO results format must satisfy.

    Args:
        image_of: A dict from the id of each image to the record of the image.
        label_of: A dict from the id of each category to its label (class index).
        required: Keys that every detection must have: 'bbox', 'segmentation', both or neither.
        has_bbox: Whether the first detection has a 'bbox'. If so, every detection must have one;
            otherwise, a 'bbox' is an error.
    """

    def __init__(
        self,
        image_of: Mapping[int, dict],
        label_of: Mapping[int, int],
        required: Sequence[str],
        has_bbox: bool,
    ) -> None:
        self._image_of, self._label_of = image_of, label_of
        self._required, self._has_bbox = required, has_bbox
        self._needs_bbox, self._needs_mask = "bbox" in required, "segmentation" in required

    def problem(self, result: Any) -> str | None:
        """Return what is wrong with a detection, or None if it is valid.

        ``result`` may be of any type.
        """
        keys = ("image_id", "category_id", "score")
        remedy = "add every key that the COCO results format requires"
        return missing_problem(result, keys, remedy) or self.values_problem(
            *(result.get(key, msgspec.UNSET) for key in DETECTION_KEYS)
        )

    def values_problem(
        self, image_id: Any, category_id: Any, score: Any, bbox: Any, segmentation: Any
    ) -> str | None:
        """Return what is wrong with the values of a detection, or None if they are valid.

        Pass ``msgspec.UNSET`` for each key that the detection does not have.
        """
        has_bbox, has_mask = bbox is not msgspec.UNSET, segmentation is not msgspec.UNSET
        if (self._needs_bbox and not has_bbox) or (self._needs_mask and not has_mask):
            absent = {"bbox": not has_bbox, "segmentation": not has_mask}
            missing = ", ".join(repr(key) for key in self._required if absent[key])
            return (
                f"no {missing}; add what is missing to every detection, or choose an IoU type that"
                " does not need it"
            )
        problem = reference_problem(image_id, category_id, self._image_of, self._label_of)
        if problem:
            return problem
        if not is_number(score):
            found = short_repr(score)
            return f"score must be a finite number, got {found}: check the model's output for NaN"
        if not has_bbox and not has_mask:
            return "neither 'bbox' nor 'segmentation': add one of these keys"
        if has_bbox != self._has_bbox:
            return (
                "only some results have a 'bbox': write a 'bbox' for all or for none of the results"
            )
        problem = box_problem(bbox) if has_bbox else None
        if problem:
            return problem
        image = self._image_of[image_id]
        if has_mask and not is_compressed_rle(segmentation, image):
            if is_text_of_bytes(segmentation):
                return TEXT_OF_BYTES
            return (
                "segmentation must be polygons [[x1, y1, x2, y2, x3, y3, ...], ...] or an RLE"
                f" {{'size': {[image['height'], image['width']]}, 'counts': string}}, got"
                f" {short_repr(segmentation)}: encode the mask with pycocotools.mask"
            )
        return None


def _name_problem(image: dict) -> str | None:
    """Return what is wrong with the file name of an image, or None if the name is valid.

    The file name must be a path inside the image folder.
    """
    for key in ("file_name", "coco_url"):
        if not isinstance(image.get(key) or "", str):
            return f"{key} must be text, got {short_repr(image[key])}"
    name = image_path(image)
    if name.startswith("/") or ".." in name.split("/") or "\0" in name:
        return (
            f"file {short_repr(name)} is outside the image folder: write paths relative to the"
            " folder that contains all images, and pass that folder"
        )
    return None
