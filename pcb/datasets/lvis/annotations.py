"""Read and check annotations in LVIS or COCO format."""

import dataclasses
import logging
import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property

from pcb.datasets.lvis.boxes import record_warning
from pcb.datasets.lvis.classes import Classes
from pcb.datasets.lvis.images import image_path
from pcb.datasets.lvis.notes import log_once
from pcb.datasets.lvis.reader import AnnotationError, AnnotationReader
from pcb.datasets.lvis.rules import ANNOTATION_KEYS, FEDERATED_KEYS, IMAGE_KEYS

_FOR_EVALUATORS = (*ANNOTATION_KEYS, "segmentation")

EXHAUSTIVE_HINT = "--exhaustive (federated=False in Python and configs)"
FEDERATED_HINT = "--federated (federated=True in Python and configs)"


@dataclass(frozen=True, eq=False)
class Annotations(Classes):
    """The content of an annotation file.

    Do not change the dicts in the lists, because other objects may share these dicts.

    Attributes:
        path: The file that was read.
        images: One dict per image.
        annotations: One dict per instance.
        categories: One dict per class, sorted by id.
        info: The file's ``info``; empty if the file does not have this key.
        licenses: The file's ``licenses``; empty if the file does not have this key.
        federated: True if each image was checked only for some classes (LVIS). False if every
            image was checked for every class (COCO).
        crowds: One dict per region to ignore (``iscrowd`` in COCO). Unmatched detections in such a
            region do not count if the region has the same class.
        logged: Messages that :meth:`log` has already logged.
    """

    path: str
    images: list[dict] = field(repr=False)
    annotations: list[dict] = field(repr=False)
    categories: list[dict] = field(repr=False)
    info: dict = field(default_factory=dict, repr=False)
    licenses: list[dict] = field(default_factory=list, repr=False)
    federated: bool = True
    crowds: list[dict] = field(default_factory=list, repr=False)
    logged: set[str] = field(default_factory=set, repr=False)

    @cached_property
    def image_of(self) -> dict[int, dict]:
        """A dict that maps each image id to the image's entry in ``images``."""
        return {image["id"]: image for image in self.images}

    @cached_property
    def has_masks(self) -> bool:
        """Whether every instance has a mask."""
        return all("segmentation" in record for record in self.annotations)

    def log(self, text: str, source: str | None = None, level: int = logging.WARNING) -> None:
        """Log a message, unless the same message was already logged.

        Args:
            text: The message.
            source: Name of the detection results that the message is about; None if the message is
                about the annotations.
            level: Level of the log record.
        """
        log_once(self.logged, self.path if source is None else source, text, level)

    def to_dict(self) -> dict:
        """Return the annotations as a dict in the format of an annotation file.

        The dict shares its lists with this object.
        """
        return {
            "info": self.info,
            "licenses": self.licenses,
            "images": self.images,
            "annotations": self.annotations,
            "categories": self.categories,
        }

    def for_lvis(self) -> dict:
        """Return the annotations as a dict with only the keys that LVIS evaluators need.

        If ``federated`` is False, every class is marked as checked in every image. If the frequency
        groups are unknown, every class is marked as frequent, and metrics by group are meaningless.
        """
        # Other keys are dropped, because their values can crash an evaluator.
        everything = {"neg_category_ids": self.category_ids, "not_exhaustive_category_ids": []}
        defaults: dict[str, list] = {key: [] for key in FEDERATED_KEYS}
        groups = self.frequency if self.has_groups else ["f"] * len(self.categories)
        return {
            "images": [
                defaults | keep_keys(image, (*IMAGE_KEYS, *FEDERATED_KEYS))
                if self.federated
                else keep_keys(image, IMAGE_KEYS) | everything
                for image in self.images
            ],
            "annotations": [
                *(keep_keys(record, _FOR_EVALUATORS) for record in self.annotations),
                *(keep_keys(record, (*_FOR_EVALUATORS, "iscrowd")) for record in self.crowds),
            ],
            "categories": [
                {"id": category_id, "name": name, "frequency": group}
                for category_id, name, group in zip(
                    self.category_ids, self.class_names, groups, strict=True
                )
            ],
        }

    def as_federated(self, federated: bool | None) -> "Annotations":
        """Return the same annotations, treated as federated or as exhaustive data.

        In federated data, each image was checked only for some classes. In exhaustive data, every
        image was checked for every class.

        Args:
            federated: True for federated, False for exhaustive; None to change nothing.

        Raises:
            AnnotationError: ``federated`` is True, but no image states which classes were checked.
        """
        if federated is None or federated == self.federated:
            return self
        if federated:
            present = {key for image in self.images for key in FEDERATED_KEYS if key in image}
            _require_federated_keys(self.path, present)
        return dataclasses.replace(self, federated=federated)

    def with_counts_of(self, training: "Annotations") -> "Annotations":
        """Return a copy of the annotations with image and instance counts from the training set.

        Args:
            training: The training annotations.

        Raises:
            AnnotationError: The training annotations lack a category, or have another name for it.

        Example:
            >>> objects = [{"image_id": 7, "category_id": 3}] * 2
            >>> truth = Annotations("", [], objects, [{"id": 3, "name": "cat"}])
            >>> counted = truth.with_counts_of(truth)
            >>> counted.image_count, counted.instance_count, counted.frequency
            (array([1]), array([2]), ['r'])
        """
        name_of = {c["id"]: c["name"] for c in training.categories}
        unknown = [id_ for id_ in self.category_ids if id_ not in name_of]
        renamed = [c["id"] for c in self.categories if name_of.get(c["id"], c["name"]) != c["name"]]
        for ids, fault in ((unknown, "lacks"), (renamed, "has other names for")):
            if ids:
                raise AnnotationError(
                    f"{training.path} {fault} {len(ids)} of the {len(self.category_ids)} categories"
                    f" of {self.path} (the first id is {ids[0]}). Use the same categories in both"
                    " files"
                )
        objects = [(record["image_id"], record["category_id"]) for record in training.annotations]
        images = Counter(category_id for _, category_id in set(objects))
        instances = Counter(category_id for _, category_id in objects)
        categories = [
            {**c, "image_count": images[c["id"]], "instance_count": instances[c["id"]]}
            for c in self.categories
        ]
        return dataclasses.replace(self, categories=categories)


def keep_keys(record: dict, keys: Collection[str]) -> dict:
    """Return a record with only the given keys.

    If no key has to be removed, the record itself is returned instead of a copy.

    Example:
        >>> keep_keys({"id": 1, "note": "mine"}, ("id", "area"))
        {'id': 1}
    """
    if record.keys() <= set(keys):
        return record
    return {key: record[key] for key in keys if key in record}


def read_annotations(
    path: str | os.PathLike,
    image_dir: str | os.PathLike | None = None,
    federated: bool | None = None,
    crowds: str | None = None,
    may_lack_annotations: bool = False,
) -> Annotations:
    """Read and check an annotation file in LVIS (v0.5 and v1) or COCO format.

    COCO is *exhaustive*: every image was checked for every class. LVIS is *federated*: a class that
    is neither annotated in an image nor listed in its ``neg_category_ids`` may be present. By
    default, a file is read as federated if at least one image lists a category in
    ``neg_category_ids`` or ``not_exhaustive_category_ids``, and as exhaustive otherwise.

    Values with only one possible meaning are corrected; for example, the id ``"3"`` is read as 3. A
    warning with a count is logged for each kind of correction, and for each probable mistake. All
    other invalid values are reported in one error.

    Args:
        path: A ``.json`` or ``.json.gz`` file.
        image_dir: Folder that must contain all images listed in the file; None to skip this check.
        federated: Whether to read the file as federated; None to decide from its content.
        crowds: How to read annotations marked as crowds (``iscrowd``): 'ignore' to read them as
            regions to ignore, as COCO does; 'objects' to read each as one object. If None, crowds
            are ignored, but it is an error if they are more than a tenth of the annotations.
        may_lack_annotations: Whether to accept a file without annotations.

    Returns:
        The annotations. Instances without a mask have no key ``segmentation``.

    Raises:
        FileNotFoundError: The file does not exist.
        AnnotationError: The file is invalid, or an image is missing from ``image_dir``. The error
            is also raised if ``federated`` is True, but no image states which classes were checked.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +ELLIPSIS
        ...     path = pathlib.Path(folder, "empty.json")
        ...     _ = path.write_text('{"images": [], "annotations": [], "categories": []}')
        ...     read_annotations(path)
        Traceback (most recent call last):
        ...
        pcb.datasets.lvis.reader.AnnotationError: ...empty.json: 'images' is empty: ...
    """
    reader = AnnotationReader(path, crowds, may_lack_annotations)
    images = list(reader.images())
    image_of = {image["id"]: image for image in images}
    annotations = list(reader.annotations(image_of))
    if image_dir is not None:
        reader.check_images_exist(map(image_path, images), image_dir)
    reader.finish()
    if federated:
        _require_federated_keys(reader.path, reader.federated_keys)
    found = Annotations(
        path=reader.path,
        images=images,
        annotations=annotations,
        categories=reader.categories,
        info=reader.info,
        licenses=reader.licenses,
        federated=reader.lists_classes if federated is None else federated,
        crowds=reader.crowds,
    )
    if federated is None and not reader.lists_classes:
        _log_exhaustive(found, bool(reader.federated_keys))
    for warning in (
        *reader.warnings(),
        _renumber([*annotations, *reader.crowds]),
        record_warning(annotations, image_of),
    ):
        if warning:
            found.log(warning)
    return found


def _log_exhaustive(annotations: Annotations, has_empty_lists: bool) -> None:
    if has_empty_lists:
        annotations.log(
            "no image lists a category in 'neg_category_ids' or 'not_exhaustive_category_ids', so"
            " every class is evaluated in every image; if each image was checked only for some"
            f" classes, use {FEDERATED_HINT}"
        )
        return
    text = "the file is in COCO format, so every class is evaluated in every image"
    annotations.log(text, level=logging.INFO)


def _require_federated_keys(path: str, present: set[str]) -> None:
    if not present:
        raise AnnotationError(
            f"{path}: no image has 'neg_category_ids' (a list of the classes known to be absent)."
            " Federated evaluation needs this key: add it to every image, or do not use"
            f" {FEDERATED_HINT}"
        )


def _renumber(annotations: list[dict]) -> str:
    """Number the annotations from 1 if an id is 0 or repeated.

    Evaluators need unique ids, and use 0 for detections that match no annotation.

    Returns:
        A warning that states what was wrong with the ids, or "" if the ids were not changed.
    """
    counts = Counter(annotation["id"] for annotation in annotations)
    repeated = sum(count for count in counts.values() if count > 1)
    problems = ["an id is 0"] if 0 in counts else []
    if repeated:
        problems.append(f"{repeated:,} of {len(annotations):,} annotations do not have a unique id")
    if not problems:
        return ""
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    return f"annotation ids are renumbered from 1, because {' and '.join(problems)}"
