"""Import a dataset: check it, complete it, and write annotations, configs and a grid."""

import dataclasses
import json
import logging
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pcb.datasets.headers import check_images
from pcb.datasets.lvis import AnnotationError, Annotations, read_annotations
from pcb.datasets.lvis.annotations import keep_keys
from pcb.datasets.lvis.images import first_names
from pcb.datasets.lvis.rules import ANNOTATION_KEYS, FEDERATED_KEYS
from pcb.messages.faults import numbered
from pcb.own_data.classes import shared_categories
from pcb.own_data.configs import config_files
from pcb.own_data.images import ImageFolder
from pcb.own_data.settings import Settings, derive_settings
from pcb.storage.files import write_atomically
from pcb.storage.repository import repository_root

_MARK = "Written by `pcb data import`"
_log = logging.getLogger("pcb")


def import_data(
    train: str | os.PathLike,
    val: str | os.PathLike,
    images: Sequence[str | os.PathLike],
    name: str,
    crowds: str | None = None,
    federated: bool = False,
    epochs: int = 24,
    images_per_step: int | None = None,
    weights: str | None = None,
    boxes: bool = False,
    replace: bool = False,
    root: Path | None = None,
) -> Settings:
    """Import annotations in COCO or LVIS format, so that all baselines can be trained on them.

    Annotations are written to ``data/<name>/``, configs to ``configs/<name>/`` and
    ``configs/_base_/``, and a grid to ``workflow/grids/<name>.yaml``. Images are not copied. All
    faults are reported in one error, before anything is written.

    Args:
        train: Annotation file of the training set.
        val: Annotation file of the validation set.
        images: The image folder, or one folder for each of the two sets.
        name: Name of the dataset: lower-case letters, digits and underscores.
        crowds: How to read annotations marked as crowds; see
            :func:`pcb.datasets.lvis.read_annotations`.
        federated: Whether each image was checked only for the classes annotated in it. By default,
            every image counts as checked for every class, unless the files say otherwise.
        epochs: Number of epochs of the training.
        images_per_step: Number of images per training step; None for the default of the model.
        weights: Checkpoint of a detector with ResNet-50 to start from (``load_from``). If None,
            training starts from scratch or, for photographs, from ImageNet weights.
        boxes: Whether to train boxes only, even if there are masks.
        replace: Whether to replace an earlier import with the same name.
        root: Root of the repository; None for PCB-kit's own repository.

    Returns:
        The settings that the configs contain.

    Raises:
        FileNotFoundError: An annotation file does not exist.
        AnnotationError: The files have faults, or they do not agree.
        ValueError: The name or another argument is invalid, or the name is taken.
    """
    root = repository_root() if root is None else root
    _check_arguments(name, root, replace, images, weights)
    folders = [Path(folder).expanduser().absolute() for folder in images]
    folders = [folders[0], folders[-1]]
    splits = _read((train, val), folders, crowds)
    if not splits[0].annotations:
        raise AnnotationError(f"{train} has no object to train on, apart from crowds")
    has_masks = _has_masks(splits, boxes)
    family = None if weights is None else "photographs"
    settings = derive_settings(splits[0], epochs, images_per_step, has_masks, family)
    files = {
        f"data/{name}/annotations/{split}.json": json.dumps(_content(annotations, federated))
        for split, annotations in zip(("train", "val"), splits, strict=True)
    }
    files |= config_files(
        name,
        settings,
        [_prefix(folder, root) for folder in folders],
        crowds=crowds,
        federated=federated,
        weights=weights and str(Path(weights).expanduser().absolute()),
    )
    for path, text in files.items():
        write_atomically(root / path, text)
    return settings


def _check_arguments(
    name: str, root: Path, replace: bool, images: Sequence[Any], weights: str | None
) -> None:
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise ValueError(
            f"name must consist of lower-case letters, digits and underscores, got {name!r}"
        )
    if len(images) not in (1, 2):
        raise ValueError(f"images must be one or two folders, got {len(images)}")
    for folder in images:
        if not Path(folder).expanduser().is_dir():
            raise FileNotFoundError(f"the image folder {folder} does not exist: check the path")
    if weights is not None and not Path(weights).expanduser().is_file():
        raise FileNotFoundError(f"the weights {weights} do not exist: choose a checkpoint file")
    files = [f"configs/_base_/{part}/{name}.py" for part in ("datasets", "schedules", "pcb")]
    files.append(f"workflow/grids/{name}.yaml")
    is_own = {file: _MARK in (root / file).read_text() for file in files if (root / file).is_file()}
    folders = [f for f in (f"configs/{name}", f"data/{name}") if (root / f).exists()]
    foreign = [file for file, own in is_own.items() if not own] or ([] if is_own else folders)
    if foreign:
        raise ValueError(f"{foreign[0]} exists and is not from an import: choose another name")
    taken = [*is_own, *folders]
    if taken and not replace:
        raise ValueError(
            f"the dataset {name} was already imported: replace it (--replace), or choose another"
            " name"
        )


def _read(
    files: Sequence[str | os.PathLike], folders: Sequence[Path], crowds: str | None
) -> list[Annotations]:
    """Return the annotations of both files, with the same classes and with existing images.

    The image counts of all classes are those of the training file.
    """
    faults, read = [], []
    for file in files:
        try:
            read.append(read_annotations(file, crowds=crowds))
        except AnnotationError as error:
            faults.append(str(error))
    if faults:
        raise AnnotationError(numbered(faults))
    categories, new_id, notes, faults = shared_categories(*read)
    same_id = {category["id"]: category["id"] for category in read[0].categories}
    known = {folder: ImageFolder(folder) for folder in folders}
    splits = []
    for annotations, ids, folder in zip(read, (same_id, new_id), folders, strict=True):
        names = known[folder].find(annotations.path, annotations.images)
        if len(names) == len(annotations.images):
            sizes = [(image["width"], image["height"]) for image in annotations.images]
            found = check_images(names, sizes, folder, most=None)
            faults += [f"{annotations.path}: {fault}" for fault in found.size_faults]
            if found.damaged:
                faults.append(
                    f"{len(found.damaged):,} of {found.of_images} are damaged"
                    f" ({first_names(found.damaged)}): copy or download them again"
                )
            if found.turn_warning:
                notes.append(f"{annotations.path}: {found.turn_warning}")
            splits.append(_with(annotations, categories, ids, names))
    for image_folder in known.values():
        faults += image_folder.faults
        notes += image_folder.notes
    if faults:
        raise AnnotationError(numbered(faults))
    for note in notes:
        _log.warning("%s", note)
    return [annotations.with_counts_of(splits[0]) for annotations in splits]


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


def _has_masks(splits: Sequence[Annotations], boxes: bool) -> bool:
    """Return whether to train masks."""
    if boxes:
        return False
    lacking = [sum("segmentation" not in r for r in data.annotations) for data in splits]
    if not any(lacking):
        return True
    if any(0 < n < len(d.annotations) for n, d in zip(lacking, splits, strict=True)):
        counts = " and ".join(
            f"{count:,} of {len(data.annotations):,} in {data.path}"
            for count, data in zip(lacking, splits, strict=True)
        )
        raise AnnotationError(
            f"some annotations have no mask ({counts}): add the missing masks, or train boxes alone"
            " (--boxes)"
        )
    _log.warning("the annotations have no masks, so the configs train boxes alone")
    return False


def _content(annotations: Annotations, federated: bool) -> dict:
    """Return the content of an annotation file in LVIS format."""
    present = defaultdict(set)
    for record in annotations.annotations:
        present[record["image_id"]].add(record["category_id"])
    images = []
    for image in annotations.images:
        absent = [c for c in annotations.category_ids if c not in present[image["id"]]]
        default = {"neg_category_ids": [] if federated else absent}
        images.append({**default, "not_exhaustive_category_ids": [], **image})
    return {
        "info": annotations.info,
        "licenses": annotations.licenses,
        "images": images,
        "categories": [
            {**category, "frequency": group}
            for category, group in zip(annotations.categories, annotations.frequency, strict=True)
        ],
        "annotations": [
            keep_keys(record, (*ANNOTATION_KEYS, "segmentation", "iscrowd"))
            for record in [*annotations.annotations, *annotations.crowds]
        ],
    }


def _prefix(folder: Path, root: Path) -> str:
    """Return an image folder as a config names it: relative to the repository if it is inside."""
    return folder.relative_to(root).as_posix() if folder.is_relative_to(root) else str(folder)
