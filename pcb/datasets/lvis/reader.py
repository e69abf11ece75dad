"""Reading LVIS and COCO annotation files, each record checked when it is decoded.

Formats: https://www.lvisdataset.org/dataset, https://cocodataset.org/#format-data. The file is
mapped rather than loaded, and its images and annotations are decoded one by one, so that a reader
needs the memory of what it keeps.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from pcb.datasets.lvis.checks import (
    MOST_PIXELS,
    box_problem,
    has_short_polygon,
    id_problem,
    is_id,
    is_integer,
    is_number,
    is_polygons,
    is_rle,
    missing_keys,
    quoted,
    shortened,
)
from pcb.datasets.lvis.classes import shared_names
from pcb.datasets.lvis.files import decoded, load_json
from pcb.datasets.lvis.run_lengths import RunLengthCheck

IMAGE_KEYS = ("id", "width", "height")
ANNOTATION_KEYS = ("id", "image_id", "category_id", "bbox", "area", "segmentation")
_CATEGORY_KEYS = ("id", "name")

# What LVIS states beyond COCO: all images, or categories, state it, or none.
FEDERATED_KEYS = ("neg_category_ids", "not_exhaustive_category_ids")
_GROUP_KEYS = ("frequency", "image_count", "instance_count")


class AnnotationError(ValueError):
    """An annotation file is not usable; says which file, which value and what to do."""


class _File(msgspec.Struct):
    """The members of an annotation file; those with many records stay undecoded."""

    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw]
    categories: list[Any]
    info: Any = {}
    licenses: Any = []


class AnnotationReader:
    """An LVIS or COCO annotation file, opened; layout and categories are checked.

    Args:
        path: A `.json` or `.json.gz` file.

    Attributes:
        path: The same, as a string.
        stated: Which of `FEDERATED_KEYS` the images have; known after `images` has ended.
        lists_any: Whether some image lists a category under one of them; likewise.
        categories: One dict a class, sorted by id.
        label_of: Label of each category id, its place in `categories`.
        info: The file's `info`, empty if it has none.
        licenses: The file's `licenses`, empty if it has none.

    Raises:
        FileNotFoundError: There is no such file.
        AnnotationError: It is not JSON, not LVIS or COCO, empty, or a category is wrong.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = os.fspath(path)
        data = load_json(self.path, AnnotationError, _File)
        if isinstance(data, _File):
            data = msgspec.structs.asdict(data)
        _check_layout(self.path, data)
        self._images, self._annotations = data["images"], data["annotations"]
        self.stated: set[str] = set()
        self.lists_any = False
        categories = list(self._checked("category", data["categories"], _category_problem))
        stated = {key for category in categories for key in _GROUP_KEYS if key in category}
        lacking = {k: c["id"] for c in reversed(categories) for k in _GROUP_KEYS if k not in c}
        self._require_alike("category", lacking, stated)
        self.categories = sorted(categories, key=lambda category: category["id"])
        self.label_of = {category["id"]: label for label, category in enumerate(self.categories)}
        self.info = data.get("info", {})
        self.licenses = data.get("licenses", [])

    @property
    def num_images(self) -> int:
        """Number of images, without decoding them."""
        return len(self._images)

    @property
    def num_annotations(self) -> int:
        """Number of annotations, without decoding them."""
        return len(self._annotations)

    def images(self) -> Iterator[dict]:
        """The images in the file's order; a wrong one raises an AnnotationError."""
        lacking: dict[str, Any] = {}
        for image in self._checked("image", self._images, _image_problem):
            for key in FEDERATED_KEYS:
                if key in image:
                    self.stated.add(key)
                    self.lists_any |= bool(image[key])
                else:
                    lacking.setdefault(key, image["id"])
            yield image
        self._require_alike("image", lacking, self.stated)

    def annotations(
        self, image_of: Mapping[int, dict], short_polygons: bool = False
    ) -> Iterator[dict]:
        """The annotations in the file's order; a wrong one raises an AnnotationError.

        Args:
            image_of: Image of each id, of which `width` and `height` are needed.
            short_polygons: Let polygons with fewer than three points pass, and masks without any.
        """
        label_of = self.label_of
        run_lengths = RunLengthCheck(
            lambda name, problem: AnnotationError(f"{self.path}: annotation {name}: {problem}")
        )
        for annotation in self._checked(
            "annotation",
            self._annotations,
            lambda annotation: _annotation_problem(annotation, image_of, label_of, short_polygons),
        ):
            run_lengths.add(annotation["id"], annotation["segmentation"])
            yield annotation
        run_lengths.finish()

    def shared_names_warning(self) -> str:
        """What to say of classes that share a name; "" if none do."""
        shared = shared_names([category["name"] for category in self.categories])
        if not shared:
            return ""
        return (
            f"several categories have the name {first_of([repr(name) for name in shared])}"
            " (blanks and _ are one); they stay classes of their own, numbered (1), (2), ..."
        )

    def check_images_exist(self, names: Iterable[str], image_dir: str | os.PathLike) -> None:
        """Raise an AnnotationError if the folder lacks images; names are relative to it."""
        missing = missing_images(names, image_dir)
        if missing:
            raise AnnotationError(
                f"{self.path}: {len(missing)} of {self.num_images} images are missing in"
                f" {os.fspath(image_dir)}: {first_of(missing)};"
                " download them, or give the folder that holds them"
            )

    def _require_alike(self, kind: str, lacking: Mapping[str, Any], stated: set[str]) -> None:
        """Raise if some records state what another one lacks; `lacking` has its id by key."""
        for key in stated & lacking.keys():
            raise AnnotationError(
                f"{self.path}: {kind} {lacking[key]}: no {key!r}, which others of its kind state;"
                " add it as in the LVIS format, or leave it out throughout, as a COCO file does"
            )

    def _checked(
        self, kind: str, records: list, problem_of: Callable[[Any], str | None]
    ) -> Iterator[dict]:
        """Yield the records, decoded; raise for one with a problem and for ids that recur.

        The ids of annotations may recur, since nothing refers to them.
        """
        ids = []
        for index, record in enumerate(decoded(records, self.path, AnnotationError)):
            problem = problem_of(record)
            if problem:
                has_id = isinstance(record, dict) and "id" in record
                name = shortened(record["id"]) if has_id else f"at index {index}"
                raise AnnotationError(f"{self.path}: {kind} {name}: {problem}")
            if kind != "annotation":
                ids.append(record["id"])
            yield record
        if len(set(ids)) < len(ids):
            duplicate, count = Counter(ids).most_common(1)[0]
            raise AnnotationError(
                f"{self.path}: {kind} id {duplicate} occurs {count} times; ids must be unique"
            )


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


def missing_images(names: Iterable[str], image_dir: str | os.PathLike) -> list[str]:
    """The images that are not below the folder; names are relative to it."""
    # One listing a folder: asking for 100,000 files one by one takes minutes on network storage.
    listings: dict[str, set[str]] = {}
    missing = []
    for relative in names:
        folder, name = os.path.split(os.path.join(image_dir, relative))
        if folder not in listings:
            listings[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        if name not in listings[folder]:
            missing.append(relative)
    return missing


def first_of(names: list[str], count: int = 3) -> str:
    """The first few names, as a message shows them.

    Example:
        >>> first_of(["a", "b", "c", "d"])
        'a, b, c, ...'
    """
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


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


def _category_problem(category) -> str | None:
    missing = missing_keys(category, _CATEGORY_KEYS)
    if missing:
        return f"no {quoted(missing)}; add it as in the LVIS and COCO formats"
    if not is_id(category["id"]):
        return f"id must be an integer from 0, got {shortened(category['id'])}"
    if not (isinstance(category["name"], str) and category["name"]):
        return f"name must be a text, got {shortened(category['name'])}"
    if category.get("frequency", "r") not in ("r", "c", "f"):
        return (
            f"frequency must be 'r' (rare), 'c' (common) or 'f' (frequent), got"
            f" {shortened(category['frequency'])}"
        )
    for key in ("image_count", "instance_count"):
        if not is_id(category.get(key, 0)):
            return f"{key} must be a count of training data, got {shortened(category[key])}"
    return None


def _image_problem(image) -> str | None:
    missing = missing_keys(image, IMAGE_KEYS)
    if missing:
        return f"no {quoted(missing)}; LVIS and COCO state id and size of each image"
    if not is_id(image["id"]):
        return f"id must be an integer from 0, got {shortened(image['id'])}"
    if not (image.get("file_name") or image.get("coco_url")):
        return "no 'file_name' and no 'coco_url'; one of them must name the image"
    problem = _name_problem(image)
    if problem:
        return problem
    sizes = image["width"], image["height"]
    if not all(is_integer(size) and 0 < size <= MOST_PIXELS for size in sizes):
        return (
            f"width and height must be positive and at most {MOST_PIXELS} pixels, got"
            f" {' x '.join(map(shortened, sizes))}"
        )
    for key in FEDERATED_KEYS:
        listed = image.get(key, [])
        if not (isinstance(listed, list) and all(map(is_integer, listed))):
            return f"{key} must be a list of category ids, got {shortened(image[key])}"
    return None


def _name_problem(image: dict) -> str | None:
    """What is wrong with the name of an image: a file of other people names no file elsewhere."""
    for key in ("file_name", "coco_url"):
        if not isinstance(image.get(key) or "", str):
            return f"{key} must be a text, got {shortened(image[key])}"
    name = image_path(image)
    if name.startswith("/") or ".." in name.split("/") or "\0" in name:
        return (
            f"its file {shortened(name)} is outside of the image folder; name images relative to"
            " the folder that holds all of them, and give that folder"
        )
    return None


def _annotation_problem(
    annotation, image_of: Mapping, label_of: Mapping, short_polygons: bool
) -> str | None:
    missing = missing_keys(annotation, ANNOTATION_KEYS)
    if missing:
        return f"no {quoted(missing)}; add it as in the LVIS and COCO formats"
    problem = id_problem(annotation, image_of, label_of)
    if problem:
        return problem
    if not is_id(annotation["id"]):
        return f"id must be an integer from 0, got {shortened(annotation['id'])}"
    problem = box_problem(annotation["bbox"])
    if problem:
        return problem
    area = annotation["area"]
    if not (is_number(area) and area >= 0):
        return f"area must be a number of pixels, got {shortened(area)}"
    segmentation = annotation["segmentation"]
    image = image_of[annotation["image_id"]]
    if not (is_polygons(segmentation) or is_rle(segmentation, image)):
        return (
            "segmentation must be a list of polygons [x1, y1, x2, y2, x3, y3, ...] or an RLE of"
            f" size {[image['height'], image['width']]}, got {shortened(segmentation)}"
        )
    if not short_polygons and has_short_polygon(segmentation):
        return (
            "segmentation must be a list of polygons of at least three points each, got"
            f" {shortened(segmentation)}; remove those of fewer, and annotations without any"
        )
    # The two backends would treat such regions differently.
    for key in ("iscrowd", "ignore"):
        if annotation.get(key):
            return f"{key} is set, but LVIS has no such regions; remove this annotation"
    return None
