"""Annotations in LVIS or COCO format as the records of their file."""

import dataclasses
import logging
import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property

from pcb.datasets.lvis.boxes import record_warning
from pcb.datasets.lvis.classes import Classes
from pcb.datasets.lvis.notes import say
from pcb.datasets.lvis.reader import (
    ANNOTATION_KEYS,
    FEDERATED_KEYS,
    IMAGE_KEYS,
    AnnotationError,
    AnnotationReader,
    image_path,
)

EXHAUSTIVE_HINT = "--exhaustive (federated=False in Python and configs)"
FEDERATED_HINT = "--federated (federated=True in Python and configs)"


@dataclass(frozen=True, eq=False)
class Annotations(Classes):
    """A validated annotation file.

    The records are the dicts of the file; treat them as read-only, since they are shared.

    Attributes:
        path: Where the annotations were read from.
        images: One dict an image.
        annotations: One dict an instance.
        categories: One dict a class, sorted by id.
        info: The file's `info`, empty if it has none.
        licenses: The file's `licenses`, empty if it has none.
        federated: Whether an image judges only the classes that are annotated in it or listed as
            absent (LVIS), or every class (COCO).
        said: What was said of the annotations and of results on them.
    """

    path: str
    images: list[dict] = field(repr=False)
    annotations: list[dict] = field(repr=False)
    categories: list[dict] = field(repr=False)
    info: dict = field(default_factory=dict, repr=False)
    licenses: list[dict] = field(default_factory=list, repr=False)
    federated: bool = True
    said: set[str] = field(default_factory=set, repr=False)

    @cached_property
    def image_of(self) -> dict[int, dict]:
        """Image of each image id."""
        return {image["id"]: image for image in self.images}

    def to_dict(self) -> dict:
        """The annotations as one dict, as in the file. Shares the records, copies nothing."""
        return {
            "info": self.info,
            "licenses": self.licenses,
            "images": self.images,
            "annotations": self.annotations,
            "categories": self.categories,
        }

    def for_lvis(self) -> dict:
        """What evaluators of LVIS's format need of it, and nothing else.

        They stumble over whatever a file may hold beside, such as half a character or a licence
        that is text. Of exhaustive data every image lists every class as known, and where groups
        are unknown all classes are in one; metrics of groups mean nothing then.
        """
        everything = {"neg_category_ids": self.category_ids, "not_exhaustive_category_ids": []}
        defaults: dict[str, list] = {key: [] for key in FEDERATED_KEYS}
        groups = self.frequency if self.has_groups else ["f"] * len(self.categories)
        return {
            "images": [
                defaults | only(image, (*IMAGE_KEYS, *FEDERATED_KEYS))
                if self.federated
                else only(image, IMAGE_KEYS) | everything
                for image in self.images
            ],
            "annotations": [only(record, ANNOTATION_KEYS) for record in self.annotations],
            "categories": [
                {"id": category_id, "name": name, "frequency": group}
                for category_id, name, group in zip(
                    self.category_ids, self.class_names, groups, strict=True
                )
            ],
        }

    def judged_as(self, federated: bool | None) -> "Annotations":
        """The same annotations, federated or exhaustive; None leaves them as they are.

        Raises:
            AnnotationError: Federated, but no image says which classes it judges.
        """
        if federated is None or federated == self.federated:
            return self
        if federated:
            stated = {key for image in self.images for key in FEDERATED_KEYS if key in image}
            _require_federated_keys(self.path, stated)
        return dataclasses.replace(self, federated=federated)

    def counted_in(self, training: "Annotations") -> "Annotations":
        """The same annotations with the training counts of their classes, by category id.

        Example:
            >>> objects = [{"image_id": 7, "category_id": 3}] * 2
            >>> truth = Annotations("", [], objects, [{"id": 3, "name": "cat"}])
            >>> counted = truth.counted_in(truth)
            >>> counted.image_count, counted.instance_count, counted.frequency
            (array([1]), array([2]), ['r'])
        """
        if unknown := [id_ for id_ in self.category_ids if id_ not in training.label_of]:
            raise AnnotationError(
                f"{training.path}: {len(unknown)} of the {len(self.category_ids)} categories of "
                f"{self.path} are not in it (the first has id {unknown[0]}), so that it has no "
                "training counts for them: give both files the same categories"
            )
        objects = [(record["image_id"], record["category_id"]) for record in training.annotations]
        images = Counter(category_id for _, category_id in set(objects))
        instances = Counter(category_id for _, category_id in objects)
        categories = [
            {**c, "image_count": images[c["id"]], "instance_count": instances[c["id"]]}
            for c in self.categories
        ]
        return dataclasses.replace(self, categories=categories)


def only(record: dict, keys: Collection[str]) -> dict:
    """The record without other keys; the record itself if it has none.

    Example:
        >>> only({"id": 1, "note": "mine"}, ("id", "area"))
        {'id': 1}
    """
    if record.keys() <= set(keys):
        return record
    return {key: record[key] for key in keys if key in record}


def read_annotations(
    path: str | os.PathLike,
    image_dir: str | os.PathLike | None = None,
    federated: bool | None = None,
) -> Annotations:
    """Read and check an annotation file in LVIS (v0.5 and v1 alike) or COCO format.

    In COCO's data every class is annotated in every image: it is *exhaustive*. LVIS is *federated*:
    an image says nothing of the classes that are neither annotated in it nor listed under
    `neg_category_ids`. A file is federated if some image lists a category under that key or under
    `not_exhaustive_category_ids`. Where the keys are there, but nothing is listed, a line in the
    log says that it is read as exhaustive.

    The log also says if annotation ids are numbered again (0, or one that recurs; evaluators would
    lose matches), if classes share a name (they are numbered), and if boxes look like corners.

    Args:
        path: A `.json` or `.json.gz` file.
        image_dir: Folder that must hold every image of the file; None leaves images unchecked.
        federated: Whether the data is federated, instead of what the file suggests.

    Raises:
        FileNotFoundError: There is no such file.
        AnnotationError: It is not JSON, not LVIS or COCO, empty or inconsistent, images are
            missing, or it is to be federated and does not say what an image judges.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +ELLIPSIS
        ...     path = pathlib.Path(folder, "empty.json")
        ...     _ = path.write_text('{"images": [], "annotations": [], "categories": []}')
        ...     read_annotations(path)
        Traceback (most recent call last):
        ...
        pcb.datasets.lvis.reader.AnnotationError: ...empty.json: 'images' is empty; ...
    """
    reader = AnnotationReader(path)
    images = list(reader.images())
    image_of = {image["id"]: image for image in images}
    annotations = list(reader.annotations(image_of))
    if image_dir is not None:
        reader.check_images_exist(map(image_path, images), image_dir)
    if federated:
        _require_federated_keys(reader.path, reader.stated)
    found = Annotations(
        path=reader.path,
        images=images,
        annotations=annotations,
        categories=reader.categories,
        info=reader.info,
        licenses=reader.licenses,
        federated=reader.lists_any if federated is None else federated,
    )
    if federated is None and not reader.lists_any:
        _say_exhaustive(found, bool(reader.stated))
    if renumbered := _number_again(annotations):
        say(found.said, found.path, renumbered)
    if warning := record_warning(annotations, image_of):
        say(found.said, found.path, warning)
    if shared := reader.shared_names_warning():
        say(found.said, found.path, shared)
    return found


def _say_exhaustive(annotations: Annotations, empty_lists: bool) -> None:
    if empty_lists:
        text = (
            "no image lists a category as absent or not exhaustively annotated: read as exhaustive,"
            f" every class judged in every image; if it is federated, use {FEDERATED_HINT}"
        )
        say(annotations.said, annotations.path, text)
        return
    text = "in COCO format: every class is judged in every image"
    say(annotations.said, annotations.path, text, logging.INFO)


def _require_federated_keys(path: str, stated: set[str]) -> None:
    if not stated:
        raise AnnotationError(
            f"{path}: the images state no 'neg_category_ids', the classes known to be absent, so"
            " this is no federated data; evaluate it as exhaustive (the default)"
        )


def _number_again(annotations: list[dict]) -> str:
    """Number the annotations from 1 if an id is 0 or recurs; return what was wrong, or "".

    Nothing refers to these ids, but evaluators mark a match by them: 0 is "no match" to them.
    """
    counts = Counter(annotation["id"] for annotation in annotations)
    recurring = sum(count for count in counts.values() if count > 1)
    problems = ["one is 0"] if 0 in counts else []
    if recurring:
        problems.append(f"{recurring:,} of {len(annotations):,} share theirs with another")
    if not problems:
        return ""
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    return f"annotation ids are numbered again from 1: {', '.join(problems)}"
