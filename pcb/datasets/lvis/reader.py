"""Read annotation files in LVIS or COCO format, and check each record when it is decoded.

An uncompressed file is mapped into memory instead of being loaded. Records are decoded one by one,
so reading needs memory only for the records that the caller keeps.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from pcb.datasets.lvis.classes import repeated_names
from pcb.datasets.lvis.corrections import Corrections
from pcb.datasets.lvis.files import decode, load_json
from pcb.datasets.lvis.images import first_names, missing_images, similar_file
from pcb.datasets.lvis.rules import (
    FEDERATED_KEYS,
    GROUP_KEYS,
    annotation_problem,
    category_problem,
    image_problem,
    layout_problem,
)
from pcb.datasets.lvis.run_lengths import RunLengthCheck
from pcb.messages.faults import Faults
from pcb.messages.printable import short_repr

CROWDS = ("ignore", "objects")
_MOST_CROWDS = 0.1  # share of annotations; in COCO it is 0.012


class AnnotationError(ValueError):
    """An error in an annotation file; the message names the file, the problem and the remedy.

    Attributes:
        faults: The faults, one text each; each text names the file.
    """

    def __init__(self, message: str, faults: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.faults = list(faults) or [message]


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
    annotation is checked when it is read. Faulty records are skipped, and :meth:`finish` reports
    all faults together. Values with only one possible meaning, such as the id ``"3"``, are
    corrected. Ids that are other text become numbers, see :func:`pcb.datasets.lvis.ids.text_id`.

    Args:
        path: A ``.json`` or ``.json.gz`` file.
        crowds: What to do with annotations that are marked as crowds (``iscrowd``): 'ignore' to
            read these annotations as regions to ignore, 'objects' to read each as one object. If
            None, crowds are ignored if they are few, and are reported as a fault otherwise.
        may_lack_annotations: Whether to accept a file without annotations.

    Attributes:
        path: The path as a string.
        faults: The faults found so far.
        crowds: The annotations read so far that are regions to ignore.
        federated_keys: Which of the keys ``neg_category_ids`` and ``not_exhaustive_category_ids``
            occur in the images read so far.
        lists_classes: Whether any image read so far lists a category under one of these two keys.
        categories: One dict per class, sorted by id.
        label_of: A dict from category ids to labels. A label is an index in ``categories``.
        info: The file's ``info``; empty if the file does not have this key.
        licenses: The file's ``licenses``; empty if the file does not have this key.

    Raises:
        FileNotFoundError: The file does not exist.
        AnnotationError: The file is not a JSON file in LVIS or COCO format.
        ValueError: ``crowds`` is invalid.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        crowds: str | None = None,
        may_lack_annotations: bool = False,
    ) -> None:
        if crowds not in (None, *CROWDS):
            raise ValueError(f"crowds must be {' or '.join(map(repr, CROWDS))}, got {crowds!r}")
        self.path = os.fspath(path)
        data = load_json(self.path, AnnotationError, _File)
        if isinstance(data, _File):
            data = msgspec.structs.asdict(data)
        elif isinstance(data, dict) and may_lack_annotations:
            data.setdefault("annotations", [])
        if problem := layout_problem(data, may_lack_annotations):
            raise AnnotationError(f"{self.path}: {problem}")
        self._images, self._annotations = data["images"], data["annotations"]
        self._num_categories = len(data["categories"])
        self._crowds, self._num_crowds = crowds, 0
        self._corrections = Corrections()
        self._backslashes = 0
        self._faulty: dict[str, set[str]] = {"category": set(), "image": set()}
        self.faults = Faults()
        self.label_of: dict[int, int] = {}
        self.crowds: list[dict] = []
        self.federated_keys: set[str] = set()
        self.lists_classes = False
        categories = list(self._checked("category", data["categories"], category_problem))
        present = {key for category in categories for key in GROUP_KEYS if key in category}
        stated = self._corrections.stated
        lacking = {
            k: stated(c["id"]) for c in reversed(categories) for k in GROUP_KEYS if k not in c
        }
        self._require_all_or_none("category", lacking, present)
        self.categories = sorted(categories, key=lambda category: category["id"])
        self.label_of = {category["id"]: label for label, category in enumerate(self.categories)}
        info, licenses = data.get("info"), data.get("licenses")
        self.info = info if isinstance(info, dict) else {}
        self.licenses = licenses if isinstance(licenses, list) else []

    @property
    def num_images(self) -> int:
        """Number of image records in the file."""
        return len(self._images)

    @property
    def num_annotations(self) -> int:
        """Number of annotation records in the file."""
        return len(self._annotations)

    def images(self) -> Iterator[dict]:
        """Check the image records, and yield the valid ones in file order."""
        lacking: dict[str, Any] = {}
        for image in self._checked("image", self._images, image_problem):
            self._backslashes += "\\" in (image.get("file_name") or "")
            for key in FEDERATED_KEYS:
                if key in image:
                    self.federated_keys.add(key)
                    self.lists_classes |= bool(image[key])
                else:
                    lacking.setdefault(key, self._corrections.stated(image["id"]))
            yield image
        self._require_all_or_none("image", lacking, self.federated_keys)

    def annotations(
        self, image_of: Mapping[int, dict], allow_short_polygons: bool = False
    ) -> Iterator[dict]:
        """Check the annotation records, and yield the valid objects in file order.

        Regions to ignore are not yielded, but added to ``crowds``.

        Args:
            image_of: A dict from each image id to a dict with the image's ``width`` and ``height``.
            allow_short_polygons: Whether to accept polygons with fewer than three points.
        """
        if not self.categories:
            self.finish()
        stated = self._corrections.stated
        run_lengths = RunLengthCheck(partial(self.faults.add, "annotation"))
        for annotation in self._checked(
            "annotation",
            self._annotations,
            lambda annotation: annotation_problem(
                annotation, image_of, self.label_of, allow_short_polygons
            ),
            image_of,
        ):
            run_lengths.add(stated(annotation["id"]), annotation.get("segmentation"))
            if annotation.get("iscrowd"):
                self._num_crowds += 1
                if self._crowds != "objects":
                    self.crowds.append(annotation)
                    continue
            yield annotation
        run_lengths.finish()
        share = self._num_crowds / max(1, self.num_annotations)
        if self._crowds is None and share > _MOST_CROWDS:
            self.faults.add_general(
                f"{self._num_crowds:,} of {self.num_annotations:,} annotations are marked as crowds"
                " (iscrowd). CVAT marks every mask drawn with its brush in this way. Choose"
                " --crowds objects to read them as single objects, or --crowds ignore to ignore"
                " these regions (crowds= in Python and configs)"
            )

    def finish(self) -> None:
        """Raise an error that lists all faults, if there are any.

        Raises:
            AnnotationError: The file has faults.
        """
        if self.faults:
            each = [f"{self.path}: {fault}" for fault in self.faults]
            raise AnnotationError(f"{self.path}: {self.faults}", each)

    def warnings(self) -> list[str]:
        """Return warnings about corrected values, crowds and class names."""
        totals = {
            "category": self._num_categories,
            "image": self.num_images,
            "annotation": self.num_annotations,
        }
        found = self._corrections.notes(totals)
        if self._backslashes:
            found.append(
                "file names contain backslashes, which are read as slashes:"
                f" {self._backslashes:,} of {self.num_images:,} images"
            )
        if self._num_crowds:
            meaning = "single objects" if self._crowds == "objects" else "regions to ignore"
            found.append(
                f"annotations marked as crowds (iscrowd) are read as {meaning}:"
                f" {self._num_crowds:,} of {self.num_annotations:,}"
            )
        repeated = repeated_names([category["name"] for category in self.categories])
        if repeated:
            found.append(
                f"several categories share a name: {first_names([repr(name) for name in repeated])}"
                " (a space and an underscore count as equal); they stay separate classes, and"
                " numbers (1), (2), ... are added to their names"
            )
        return found

    def check_images_exist(self, names: Iterable[str], image_dir: str | os.PathLike) -> None:
        """Add a fault if images of the annotation file do not exist.

        Args:
            names: Paths of the images, relative to the image folder.
            image_dir: The image folder.
        """
        missing = missing_images(names, image_dir)
        if missing:
            found = similar_file(missing[0], image_dir)
            hint = f"; it contains {found}" if found else ""
            self.faults.add_general(
                f"the folder {os.fspath(image_dir)} lacks {len(missing):,} of"
                f" {self.num_images:,} images ({first_names(missing)}{hint}). Download the missing"
                " images, or choose the folder that contains all images"
            )

    def _require_all_or_none(
        self, kind: str, lacking: Mapping[str, Any], present: set[str]
    ) -> None:
        """Add a fault if some records have a key that other records lack.

        ``lacking`` maps each missing key to the id of a record without this key.
        """
        for key in sorted(present & lacking.keys()):
            self.faults.add_general(
                f"{kind} {lacking[key]} has no {key!r}, although another {kind} has this key. For"
                f" LVIS format, add the key to every {kind}; for COCO format, remove the key from"
                f" every {kind}"
            )

    def _checked(
        self,
        kind: str,
        records: list,
        problem_of: Callable[[Any], str | None],
        image_of: Mapping[int, dict] | None = None,
    ) -> Iterator[dict]:
        """Decode, check and correct the records of one kind, and yield the valid ones.

        A fault is added if a record is invalid, or if two images or two categories share an id.
        """
        ids = []
        for index, record in enumerate(decode(records, self.path, AnnotationError)):
            problem = problem_of(record)
            if problem and isinstance(record, dict):
                record = self._corrections.correct(kind, record, image_of, self.label_of)
                problem = problem_of(record)
            if problem:
                self._add_fault(kind, index, record, problem)
                continue
            if kind != "annotation":
                ids.append(record["id"])
            yield record
        if len(set(ids)) < len(ids):
            duplicate, count = Counter(ids).most_common(1)[0]
            name = self._corrections.stated(duplicate)
            self.faults.add_general(f"{kind} id {name} occurs {count} times: make the ids unique")

    def _add_fault(self, kind: str, index: int, record: Any, problem: str) -> None:
        has_id = isinstance(record, dict) and "id" in record
        if kind == "annotation" and isinstance(record, dict):
            if any(str(record.get(f"{k}_id")) in ids for k, ids in self._faulty.items()):
                return  # the fault of the image or category is already reported
        elif has_id:
            self._faulty[kind].add(str(self._corrections.stated(record["id"])))
        name = short_repr(self._corrections.stated(record["id"])) if has_id else f"at index {index}"
        self.faults.add(kind, name, problem)
