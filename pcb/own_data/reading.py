"""Read and check the training and the validation file of a dataset, and their images."""

import dataclasses
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from pcb.datasets.lvis import AnnotationError, Annotations, read_annotations
from pcb.datasets.lvis.images import first_names, image_path
from pcb.datasets.lvis.reader import AnnotationReader
from pcb.datasets.lvis.rules import FEDERATED_KEYS
from pcb.datasets.masks import mask_area
from pcb.messages.faults import numbered
from pcb.own_data.classes import shared_categories
from pcb.own_data.images import ImageFolder, spelling_key

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
    shared: list[str] = []
    confused: list[str] = []
    if len(read) == len(files) and not faults:
        shared, confused = _shared_images(read, names, folders)
    if confused:
        faults.append(
            f"different images of the two files are the same image file ({first_names(confused)}):"
            " name one folder for each of the two files (--images TRAIN VAL), or correct the names"
        )
    if faults:
        raise AnnotationError(numbered(faults))
    notes += [note for folder in known.values() for note in folder.notes]
    if shared:
        notes.append(
            f"{read[1].path}: {len(shared):,} of {len(names[1]):,} images are also training images"
            f" ({first_names(shared)}). The validation overestimates what the detector does on new"
            " images"
        )
    same_id = {category["id"]: category["id"] for category in read[0].categories}
    splits = []
    for annotations, ids, found in zip(read, (same_id, new_id), names, strict=True):
        complete, count = _with_areas(annotations)
        if count:
            notes.append(
                f"{annotations.path}: 'area' is 0 and was computed from the mask or the box:"
                f" {count:,} of {len(annotations.annotations):,} annotations"
            )
        listed = [
            value for i in annotations.images for k in FEDERATED_KEYS for value in i.get(k, [])
        ]
        if unknown := sum(value not in ids for value in listed):
            notes.append(
                f"{annotations.path}: ids of no class are dropped from"
                f" {' and '.join(FEDERATED_KEYS)}: {unknown:,} of {len(listed):,}"
            )
        splits.append(_with(complete, categories, ids, found))
    for note in notes:
        _log.warning("%s", note)
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
    for data in splits if not boxes else ():
        empty = [
            str(record["id"])
            for record in data.annotations
            if isinstance(mask := record.get("segmentation"), dict)
            and not mask_area(mask, *mask["size"])
        ]
        if empty:
            faults.append(
                f"{data.path}: {len(empty):,} of {len(data.annotations):,} masks have no pixel"
                f" (annotations {first_names(empty)}): draw them again, remove these annotations,"
                " or train boxes alone (--boxes)"
            )
    return faults


def _shared_images(
    splits: Sequence[Annotations], names: Sequence[Sequence[str]], folders: Sequence[Path]
) -> tuple[list[str], list[str]]:
    """Find validation images that are training images.

    Returns:
        Their names, and pairs of different stated names for which the same file was found.
    """
    of_train, of_val = (
        [(folder / name, image_path(image)) for name, image in zip(found, data.images, strict=True)]
        for data, found, folder in zip(splits, names, folders, strict=True)
    )
    known = {_identity(file): (file, stated) for file, stated in of_train}
    shared: list[str] = []
    confused: list[str] = []
    for file, stated in of_val:
        if (identity := _identity(file)) in known:
            shared.append(stated)
            same, theirs = known[identity]
            if file == same and spelling_key(stated) != spelling_key(theirs):
                confused.append(f"{theirs} and {stated}")
    return shared, confused


def _identity(file: Path) -> tuple[int, int]:
    """Return what two paths of the same file have in common, also if one is a link."""
    status = file.stat()
    return status.st_dev, status.st_ino


def _with_areas(annotations: Annotations) -> tuple[Annotations, int]:
    """Compute areas that are 0 beside a real mask or box; return how many were computed.

    Evaluation and training leave out objects with area 0, as the lvis package does.
    """
    records, count = [], 0
    for record in annotations.annotations:
        if not record["area"]:
            image = annotations.image_of[record["image_id"]]
            if "segmentation" in record:
                area = mask_area(record["segmentation"], image["height"], image["width"])
            else:
                area = record["bbox"][2] * record["bbox"][3]
            count += area > 0
            record = {**record, "area": float(area)}
        records.append(record)
    return dataclasses.replace(annotations, annotations=records), count


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
