"""Read and check the training and the validation file of a dataset, and their images."""

import dataclasses
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from pcb.datasets.lvis import AnnotationError, Annotations, read_annotations
from pcb.datasets.lvis.images import first_names
from pcb.datasets.lvis.reader import AnnotationReader
from pcb.datasets.lvis.rules import FEDERATED_KEYS
from pcb.messages.faults import numbered
from pcb.own_data.classes import shared_categories
from pcb.own_data.images import ImageFolder

_log = logging.getLogger("pcb")


def read_splits(
    files: Sequence[str | os.PathLike], folders: Sequence[Path], crowds: str | None, boxes: bool
) -> list[Annotations]:
    """Return the annotations of both files, with the same classes and with existing images.

    The image counts of all classes are those of the training file.

    Args:
        files: The annotation files of the training set and of the validation set.
        folders: The image folders of the two sets; they may be the same.
        crowds: How to read annotations marked as crowds.
        boxes: Whether masks may be missing.

    Raises:
        AnnotationError: The files or the images have faults, or the files do not agree. The error
            lists the faults of both files and of their images.
    """
    faults, read, images = [], [], []
    for file in files:
        try:
            read.append(read_annotations(file, crowds=crowds))
            images.append(read[-1].images)
        except AnnotationError as error:
            faults += error.faults
            images.append(_readable_images(file))
    if len(read) == len(files):
        categories, new_id, notes, problems = shared_categories(*read)
        faults += [*problems, *_faults_of_objects(read, boxes)]
    known = {folder: ImageFolder(folder) for folder in folders}
    names = [
        known[folder].find(os.fspath(file), records)
        for file, folder, records in zip(files, folders, images, strict=True)
    ]
    faults += [fault for folder in known.values() for fault in folder.faults]
    if faults:
        raise AnnotationError(numbered(faults))
    notes += [note for folder in known.values() for note in folder.notes]
    if leak := _leak(read, names, folders):
        notes.append(leak)
    for note in notes:
        _log.warning("%s", note)
    same_id = {category["id"]: category["id"] for category in read[0].categories}
    splits = [
        _with(annotations, categories, ids, found)
        for annotations, ids, found in zip(read, (same_id, new_id), names, strict=True)
    ]
    return [annotations.with_counts_of(splits[0]) for annotations in splits]


def _readable_images(file: str | os.PathLike) -> list[dict]:
    """Return the valid image records of a file that has faults."""
    try:
        return list(AnnotationReader(file, may_lack_annotations=True).images())
    except AnnotationError:
        return []


def _faults_of_objects(splits: Sequence[Annotations], boxes: bool) -> list[str]:
    """Return why the objects of both files do not suit a training, as text."""
    faults = [
        f"{data.path} has no object apart from crowds: use a file with objects, or read crowds as"
        " objects (--crowds objects)"
        for data in splits
        if not data.annotations
    ]
    train, val = splits
    if (train.images, train.annotations) == (val.images, val.annotations):
        faults.append(
            f"{train.path} and {val.path} have the same images and annotations: choose other images"
            " for validation"
        )
    lacking = [sum("segmentation" not in r for r in data.annotations) for data in splits]
    if not boxes and 0 < sum(lacking) < sum(len(data.annotations) for data in splits):
        counts = " and ".join(
            f"{count:,} of {len(data.annotations):,} in {data.path}"
            for count, data in zip(lacking, splits, strict=True)
        )
        faults.append(
            f"some annotations have no mask ({counts}): add the missing masks, or train boxes alone"
            " (--boxes)"
        )
    return faults


def _leak(
    splits: Sequence[Annotations], names: Sequence[Sequence[str]], folders: Sequence[Path]
) -> str | None:
    """Return a warning if validation images are also training images, otherwise None."""
    of_train, of_val = (
        [_identity(folder / name) for name in found]
        for found, folder in zip(names, folders, strict=True)
    )
    seen = set(of_train)
    shared = [name for name, file in zip(names[1], of_val, strict=True) if file in seen]
    if not shared:
        return None
    return (
        f"{splits[1].path}: {len(shared):,} of {len(of_val):,} images are also training images"
        f" ({first_names(shared)}). The validation overestimates what the detector does on new"
        " images: remove these images from one of the two files"
    )


def _identity(file: Path) -> tuple[int, int]:
    """Return what two paths of the same file have in common, also if one is a link."""
    status = file.stat()
    return status.st_dev, status.st_ino


def _with(
    annotations: Annotations, categories: list[dict], new_id: dict[int, int], names: list[str]
) -> Annotations:
    """Return annotations with other categories, category ids and image names."""
    images = []
    for image, name in zip(annotations.images, names, strict=True):
        # Without "./", a prefix such as COCO_val2014_ would be removed from the name.
        new = {**image, "file_name": f"./{name}" if name.startswith("COCO_") else name}
        for key in FEDERATED_KEYS:
            if key in image:
                new[key] = [new_id[value] for value in image[key] if value in new_id]
        images.append(new)
    objects, crowds = (
        [{**record, "category_id": new_id[record["category_id"]]} for record in records]
        for records in (annotations.annotations, annotations.crowds)
    )
    return dataclasses.replace(
        annotations, images=images, annotations=objects, crowds=crowds, categories=categories
    )
