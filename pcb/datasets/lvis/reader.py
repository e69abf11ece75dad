"""Read annotation files in LVIS or COCO format, and check each record when it is decoded.

An uncompressed file is mapped into memory instead of being loaded. Records are decoded one by one,
so reading needs memory only for the records that the caller keeps.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from pcb.datasets.lvis.classes import repeated_names
from pcb.datasets.lvis.files import decode, load_json
from pcb.datasets.lvis.images import first_names, missing_images
from pcb.datasets.lvis.rules import (
    FEDERATED_KEYS,
    GROUP_KEYS,
    annotation_problem,
    category_problem,
    image_problem,
)
from pcb.datasets.lvis.run_lengths import RunLengthCheck
from pcb.messages.printable import short_repr

_KINDS = ("images", "annotations", "categories")


class AnnotationError(ValueError):
    """An error in an annotation file; the message names the file, the problem and the remedy."""


class _File(msgspec.Struct):
    """An annotation file whose image and annotation records have not been decoded yet."""

    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw]
    categories: list[Any]
    info: Any = {}
    licenses: Any = []


class AnnotationReader:
    """An open annotation file in LVIS or COCO format.

    The layout and the categories are checked when the file is opened. Each image and each
    annotation is checked when it is read.

    Args:
        path: A ``.json`` or ``.json.gz`` file.
        without_annotations: Whether to accept a file that lists images and categories but no
            annotations, such as the file of LVIS's test-dev images.

    Attributes:
        path: The path as a string.
        federated_keys: Which of the keys ``neg_category_ids`` and ``not_exhaustive_category_ids``
            occur in the images read so far.
        lists_classes: Whether any image read so far lists a category under one of these two keys.
        categories: One dict per class, sorted by id.
        label_of: A dict from category ids to labels. A label is an index in ``categories``.
        info: The file's ``info``; empty if the file does not have this key.
        licenses: The file's ``licenses``; empty if the file does not have this key.

    Raises:
        FileNotFoundError: The file does not exist.
        AnnotationError: The file is not a JSON file in LVIS or COCO format, or a category is
            invalid.
    """

    def __init__(self, path: str | os.PathLike, without_annotations: bool = False) -> None:
        self.path = os.fspath(path)
        data = load_json(self.path, AnnotationError, _File)
        if isinstance(data, _File):
            data = msgspec.structs.asdict(data)
        kinds = ("images", "categories") if without_annotations else _KINDS
        _check_layout(self.path, data, kinds)
        self._images, self._annotations = data["images"], data.get("annotations", [])
        self.federated_keys: set[str] = set()
        self.lists_classes = False
        categories = list(self._checked("category", data["categories"], category_problem))
        present = {key for category in categories for key in GROUP_KEYS if key in category}
        lacking = {k: c["id"] for c in reversed(categories) for k in GROUP_KEYS if k not in c}
        self._require_all_or_none("category", lacking, present)
        self.categories = sorted(categories, key=lambda category: category["id"])
        self.label_of = {category["id"]: label for label, category in enumerate(self.categories)}
        self.info = data.get("info", {})
        self.licenses = data.get("licenses", [])

    @property
    def num_images(self) -> int:
        """Number of image records in the file."""
        return len(self._images)

    @property
    def num_annotations(self) -> int:
        """Number of annotation records in the file."""
        return len(self._annotations)

    def images(self) -> Iterator[dict]:
        """Check the image records, and yield them in file order.

        Raises:
            AnnotationError: An image record is invalid, or two images have the same id.
        """
        lacking: dict[str, Any] = {}
        for image in self._checked("image", self._images, image_problem):
            for key in FEDERATED_KEYS:
                if key in image:
                    self.federated_keys.add(key)
                    self.lists_classes |= bool(image[key])
                else:
                    lacking.setdefault(key, image["id"])
            yield image
        self._require_all_or_none("image", lacking, self.federated_keys)

    def annotations(
        self, image_of: Mapping[int, dict], allow_short_polygons: bool = False
    ) -> Iterator[dict]:
        """Check the annotation records, and yield them in file order.

        Args:
            image_of: A dict from each image id to a dict with the image's ``width`` and ``height``.
            allow_short_polygons: Whether to accept empty segmentations and polygons with fewer than
                three points.

        Raises:
            AnnotationError: An annotation is invalid.
        """
        run_lengths = RunLengthCheck(
            lambda name, problem: AnnotationError(f"{self.path}: annotation {name}: {problem}")
        )
        for annotation in self._checked(
            "annotation",
            self._annotations,
            lambda annotation: annotation_problem(
                annotation, image_of, self.label_of, allow_short_polygons
            ),
        ):
            run_lengths.add(annotation["id"], annotation["segmentation"])
            yield annotation
        run_lengths.finish()

    def repeated_names_warning(self) -> str:
        """Return a warning about classes that share a name; "" if all names are unique."""
        repeated = repeated_names([category["name"] for category in self.categories])
        if not repeated:
            return ""
        return (
            f"several categories share a name: {first_names([repr(name) for name in repeated])}"
            " (a space and an underscore count as equal); they stay separate classes, and numbers"
            " (1), (2), ... are added to their names"
        )

    def check_images_exist(self, names: Iterable[str], image_dir: str | os.PathLike) -> None:
        """Check that every image of the annotation file exists.

        Args:
            names: Paths of the images, relative to the image folder.
            image_dir: The image folder.

        Raises:
            AnnotationError: Some images are missing.
        """
        missing = missing_images(names, image_dir)
        if missing:
            raise AnnotationError(
                f"{self.path}: the folder {os.fspath(image_dir)} lacks {len(missing):,} of"
                f" {self.num_images:,} images ({first_names(missing)}). Download the missing"
                " images, or choose the folder that contains all images"
            )

    def _require_all_or_none(
        self, kind: str, lacking: Mapping[str, Any], present: set[str]
    ) -> None:
        """Raise an error if some records have a key that other records lack.

        ``lacking`` maps each missing key to the id of a record without this key.
        """
        for key in present & lacking.keys():
            raise AnnotationError(
                f"{self.path}: {kind} {lacking[key]} has no {key!r}, although another {kind} has"
                f" this key. For LVIS format, add the key to every {kind}; for COCO format, remove"
                f" the key from every {kind}"
            )

    def _checked(
        self, kind: str, records: list, problem_of: Callable[[Any], str | None]
    ) -> Iterator[dict]:
        """Decode, check and yield the records of one kind: categories, images or annotations.

        An error is raised if a record is invalid, or if two images or two categories share an id.
        """
        ids = []
        for index, record in enumerate(decode(records, self.path, AnnotationError)):
            problem = problem_of(record)
            if problem:
                has_id = isinstance(record, dict) and "id" in record
                name = short_repr(record["id"]) if has_id else f"at index {index}"
                raise AnnotationError(f"{self.path}: {kind} {name}: {problem}")
            if kind != "annotation":
                ids.append(record["id"])
            yield record
        if len(set(ids)) < len(ids):
            duplicate, count = Counter(ids).most_common(1)[0]
            raise AnnotationError(
                f"{self.path}: {kind} id {duplicate} occurs {count} times: make the ids unique"
            )


def _check_layout(path: str, data: Any, kinds: Sequence[str]) -> None:
    """Check that ``data`` has a non-empty list for each kind of records."""
    if not isinstance(data, dict):
        raise AnnotationError(
            f"{path}: this is not an annotation file, because it contains a value of type"
            f" {type(data).__name__} instead of a dict. If it is a results file, pass the ground"
            " truth first and the results second"
        )
    for key in kinds:
        if not isinstance(data.get(key), list):
            raise AnnotationError(
                f"{path}: this is not an annotation file, because it has no list {key!r} (keys"
                f" found: {', '.join(sorted(data)) or 'none'}). Use a file in LVIS or COCO format"
            )
        if not data[key]:
            raise AnnotationError(
                f"{path}: {key!r} is empty: use a file with at least one record of each of"
                f" {', '.join(kinds)}"
            )
