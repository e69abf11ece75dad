"""LVIS annotation files; format: https://www.lvisdataset.org/dataset."""

import os
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from pcb.datasets.lvis.checks import (
    box_problem,
    id_problem,
    is_integer,
    is_number,
    is_polygons,
    is_rle,
    missing_keys,
    quoted,
    shortened,
)
from pcb.datasets.lvis.files import load_json

_IMAGE_KEYS = ("id", "width", "height", "neg_category_ids", "not_exhaustive_category_ids")
_ANNOTATION_KEYS = ("id", "image_id", "category_id", "bbox", "area", "segmentation")
_CATEGORY_KEYS = ("id", "name", "frequency", "image_count", "instance_count")


class AnnotationError(ValueError):
    """An annotation file is not usable; says which file, which value and what to do."""


@dataclass(frozen=True, eq=False)
class Annotations:
    """A validated LVIS annotation file.

    A *label* is the index of a class, `0..C-1`: its place in `categories`, which are sorted by id.
    The records are the dicts of the file; treat them as read-only, since they are shared.

    Attributes:
        path: Where the annotations were read from.
        images: One dict an image.
        annotations: One dict an instance.
        categories: One dict a class, sorted by id.
        info: The file's `info`, empty if it has none.
        licenses: The file's `licenses`, empty if it has none.
    """

    path: str
    images: list[dict] = field(repr=False)
    annotations: list[dict] = field(repr=False)
    categories: list[dict] = field(repr=False)
    info: dict = field(default_factory=dict, repr=False)
    licenses: list[dict] = field(default_factory=list, repr=False)

    @cached_property
    def class_names(self) -> list[str]:
        """Name of each class, in label order."""
        return [category["name"] for category in self.categories]

    @cached_property
    def category_ids(self) -> list[int]:
        """Id of each class, in label order, hence ascending."""
        return [category["id"] for category in self.categories]

    @cached_property
    def label_of(self) -> dict[int, int]:
        """Label of each category id."""
        return {category_id: label for label, category_id in enumerate(self.category_ids)}

    @cached_property
    def image_of(self) -> dict[int, dict]:
        """Image of each image id."""
        return {image["id"]: image for image in self.images}

    @cached_property
    def frequency(self) -> list[str]:
        """Group of each class in label order: 'r' (rare), 'c' (common) or 'f' (frequent)."""
        return [category["frequency"] for category in self.categories]

    @cached_property
    def image_count(self) -> np.ndarray:
        """Number of *training* images of each class, shape (C,).

        LVIS states the training counts in the categories of every file, validation included.
        """
        return np.array([category["image_count"] for category in self.categories])

    @cached_property
    def instance_count(self) -> np.ndarray:
        """Number of *training* instances of each class, shape (C,); see `image_count`."""
        return np.array([category["instance_count"] for category in self.categories])

    def to_dict(self) -> dict:
        """The annotations as one dict in LVIS format. Shares the records, copies nothing."""
        return {
            "info": self.info,
            "licenses": self.licenses,
            "images": self.images,
            "annotations": self.annotations,
            "categories": self.categories,
        }


def read_annotations(
    path: str | os.PathLike, image_dir: str | os.PathLike | None = None
) -> Annotations:
    """Read and check an LVIS annotation file (v0.5 and v1 alike).

    Args:
        path: A `.json` or `.json.gz` file.
        image_dir: Folder that must hold every image of the file; None leaves images unchecked.

    Raises:
        FileNotFoundError: There is no such file.
        AnnotationError: It is not JSON, not LVIS, empty or inconsistent, or images are missing.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +ELLIPSIS
        ...     path = pathlib.Path(folder, "empty.json")
        ...     _ = path.write_text('{"images": [], "annotations": [], "categories": []}')
        ...     read_annotations(path)
        Traceback (most recent call last):
        ...
        pcb.datasets.lvis.annotations.AnnotationError: ...empty.json: 'images' is empty; ...
    """
    path = os.fspath(path)
    data = load_json(path, AnnotationError)
    _check_layout(path, data)
    categories, images, annotations = data["categories"], data["images"], data["annotations"]
    _check_records(path, "category", categories, _category_problem)
    _check_records(path, "image", images, _image_problem)
    result = Annotations(
        path=path,
        images=images,
        annotations=annotations,
        categories=sorted(categories, key=lambda category: category["id"]),
        info=data.get("info", {}),
        licenses=data.get("licenses", []),
    )
    image_of, label_of = result.image_of, result.label_of
    _check_records(
        path,
        "annotation",
        annotations,
        lambda annotation: _annotation_problem(annotation, image_of, label_of),
    )
    if image_dir is not None:
        _check_images_exist(path, images, os.fspath(image_dir))
    return result


def image_path(image: dict) -> str:
    """Path of an image relative to the image folder, as MMDetection resolves it.

    LVIS v1 names its images by `coco_url`, whose last folder (`train2017`, `val2017`) counts:
    its validation images come from both. LVIS v0.5 still has COCO 2014's file names, while the
    images are distributed under COCO 2017's.

    Example:
        >>> image_path({"file_name": "000012.png"})
        '000012.png'
        >>> image_path({"coco_url": "http://images.cocodataset.org/train2017/000000391895.jpg"})
        'train2017/000000391895.jpg'
        >>> image_path({"file_name": "COCO_val2014_000000000042.jpg"})
        '000000000042.jpg'
    """
    name = image.get("file_name")
    if not name:
        return "/".join(image["coco_url"].split("/")[-2:])
    return name.rpartition("_")[2] if name.startswith("COCO_") else name


def _check_layout(path: str, data) -> None:
    """Check that `data` has the three lists of a COCO-like annotation file, none empty."""
    if not isinstance(data, dict):
        raise AnnotationError(
            f"{path}: not an LVIS annotation file: it holds a {type(data).__name__}, as a results"
            " file does; the ground truth comes first, the results second"
        )
    for key in ("images", "annotations", "categories"):
        if not isinstance(data.get(key), list):
            raise AnnotationError(
                f"{path}: not an LVIS annotation file: it has no list {key!r} (its keys:"
                f" {', '.join(sorted(data)) or 'none'})"
            )
        if not data[key]:
            raise AnnotationError(
                f"{path}: {key!r} is empty; give a dataset with at least one image, annotation"
                " and category"
            )


def _check_records(path: str, kind: str, records: list, problem_of) -> None:
    """Raise for the first record with a problem, and for ids that occur twice."""
    for index, record in enumerate(records):
        problem = problem_of(record)
        if problem:
            name = record.get("id", f"at index {index}") if isinstance(record, dict) else index
            raise AnnotationError(f"{path}: {kind} {name}: {problem}")
    if len({record["id"] for record in records}) < len(records):
        duplicate, count = Counter(record["id"] for record in records).most_common(1)[0]
        raise AnnotationError(
            f"{path}: {kind} id {duplicate} occurs {count} times; ids must be unique"
        )


def _category_problem(category) -> str | None:
    missing = missing_keys(category, _CATEGORY_KEYS)
    if missing and "frequency" in missing:
        return (
            f"no {quoted(missing)}, so this looks like a COCO file; LVIS states for each category"
            " its frequency group ('r', 'c' or 'f') and its training counts: use the LVIS"
            " annotations, or add them"
        )
    if missing:
        return f"no {quoted(missing)}; add it as in the LVIS format"
    if not (is_integer(category["id"]) and category["id"] >= 0):
        return f"id must be an integer from 0, got {category['id']!r}"
    if category["frequency"] not in ("r", "c", "f"):
        return (
            f"frequency must be 'r' (rare), 'c' (common) or 'f' (frequent), got"
            f" {category['frequency']!r}"
        )
    for key in ("image_count", "instance_count"):
        if not (is_integer(category[key]) and category[key] >= 0):
            return f"{key} must be a count of training data, got {category[key]!r}"
    return None


def _image_problem(image) -> str | None:
    missing = missing_keys(image, _IMAGE_KEYS)
    if missing:
        return (
            f"no {quoted(missing)}; LVIS states size, neg_category_ids and"
            " not_exhaustive_category_ids of each image (empty lists if every class is annotated"
            " and nothing is known to be absent)"
        )
    if not (is_integer(image["id"]) and image["id"] >= 0):
        return f"id must be an integer from 0, got {image['id']!r}"
    if not (image.get("file_name") or image.get("coco_url")):
        return "no 'file_name' and no 'coco_url'; one of them must name the image"
    if not all(is_integer(image[key]) and image[key] > 0 for key in ("width", "height")):
        return f"width and height must be positive, got {image['width']!r} x {image['height']!r}"
    for key in ("neg_category_ids", "not_exhaustive_category_ids"):
        if not isinstance(image[key], list):
            return f"{key} must be a list of category ids, got {shortened(image[key])}"
    return None


def _annotation_problem(annotation, image_of: dict, label_of: dict) -> str | None:
    missing = missing_keys(annotation, _ANNOTATION_KEYS)
    if missing:
        return f"no {quoted(missing)}; add it as in the LVIS format"
    problem = id_problem(annotation, image_of, label_of)
    if problem:
        return problem
    if not (is_integer(annotation["id"]) and annotation["id"] > 0):
        # The lvis package takes a match with annotation 0 for no match.
        return f"id must be a positive integer, got {annotation['id']!r}"
    problem = box_problem(annotation["bbox"])
    if problem:
        return problem
    area = annotation["area"]
    if not (is_number(area) and area >= 0):
        return f"area must be a number of pixels, got {area!r}"
    segmentation = annotation["segmentation"]
    image = image_of[annotation["image_id"]]
    if not (is_polygons(segmentation) or is_rle(segmentation, image)):
        return (
            "segmentation must be a list of polygons [x1, y1, x2, y2, x3, y3, ...] or an RLE of"
            f" size {[image['height'], image['width']]}, got {shortened(segmentation)}"
        )
    # The two backends would treat such regions differently.
    for key in ("iscrowd", "ignore"):
        if annotation.get(key):
            return f"{key} is set, but LVIS has no such regions; remove this annotation"
    return None


def _check_images_exist(path: str, images: list[dict], image_dir: str) -> None:
    # One listing a folder: asking for 100,000 files one by one takes minutes on network storage.
    listings: dict[str, set[str]] = {}
    missing = []
    for image in images:
        relative = image_path(image)
        folder, name = os.path.split(os.path.join(image_dir, relative))
        if folder not in listings:
            listings[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        if name not in listings[folder]:
            missing.append(relative)
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise AnnotationError(
            f"{path}: {len(missing)} of {len(images)} images are missing in {image_dir}: {shown};"
            " download them, or give the folder that holds them"
        )
