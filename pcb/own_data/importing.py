"""Import a dataset: check it, complete it, and write annotations, configs and a grid."""

import json
import logging
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pcb.datasets.lvis import Annotations
from pcb.datasets.lvis.annotations import keep_keys
from pcb.datasets.lvis.rules import ANNOTATION_KEYS
from pcb.messages.printable import short_repr
from pcb.own_data.configs import config_files
from pcb.own_data.reading import read_splits
from pcb.own_data.settings import Settings, derive_settings
from pcb.storage.files import write_atomically
from pcb.storage.repository import repository_root

_RESERVED = ("lab", "sample")  # folders in runs/ for copies of notebooks and for the sample
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
    _check_arguments(train, val, images, weights)
    _check_name(name, root, replace)
    folders = [Path(folder).expanduser().absolute() for folder in images]
    folders = [folders[0], folders[-1]]
    splits = read_splits((train, val), folders, crowds, boxes)
    has_masks = not boxes and splits[0].has_masks
    if not (boxes or has_masks):
        _log.warning("the annotations have no masks, so the configs train boxes alone")
    family = None if weights is None else "photographs"
    settings = derive_settings(splits[0], epochs, images_per_step, has_masks, family)
    files = config_files(
        name,
        settings,
        [_prefix(folder, root) for folder in folders],
        crowds=crowds if crowds == "ignore" else None,  # objects lose their mark in `_content`
        federated=federated,
        weights=weights and str(Path(weights).expanduser().absolute()),
    )
    # The configs first: they say that a folder data/<name> is from an import, also if the import
    # is interrupted.
    files |= {
        f"data/{name}/annotations/{split}.json": json.dumps(_content(annotations, federated))
        for split, annotations in zip(("train", "val"), splits, strict=True)
    }
    # Half a replaced import must not look like a whole one.
    for split in ("train", "val"):
        (root / f"data/{name}/annotations/{split}.json").unlink(missing_ok=True)
    for path, text in files.items():
        write_atomically(root / path, text)
    return settings


def _check_arguments(
    train: str | os.PathLike,
    val: str | os.PathLike,
    images: Sequence[str | os.PathLike],
    weights: str | None,
) -> None:
    for file in (train, val):
        if not os.path.isfile(file):
            raise FileNotFoundError(f"the annotation file {file} does not exist: check the path")
    if len(images) not in (1, 2):
        raise ValueError(f"images must be one or two folders, got {len(images)}")
    for folder in images:
        if not Path(folder).expanduser().is_dir():
            raise FileNotFoundError(f"the image folder {folder} does not exist: check the path")
    if weights is not None and not Path(weights).expanduser().is_file():
        raise FileNotFoundError(f"the weights {weights} do not exist: choose a checkpoint file")


def _check_name(name: str, root: Path, replace: bool) -> None:
    """Check that an import with this name overwrites nothing but an earlier import."""
    if not re.fullmatch("[a-z][a-z0-9_]{,99}", name):
        raise ValueError(
            "name must begin with a letter, and consist of at most 100 lower-case letters, digits"
            f" and underscores, got {short_repr(name)}"
        )
    if name in _RESERVED:
        raise ValueError(f"runs/{name} is used by PCB-kit itself: choose another name")
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
            keep_keys(record, (*ANNOTATION_KEYS, "segmentation"))
            for record in annotations.annotations
        ]
        + [
            keep_keys(record, (*ANNOTATION_KEYS, "segmentation", "iscrowd"))
            for record in annotations.crowds
        ],
    }


def _prefix(folder: Path, root: Path) -> str:
    """Return an image folder as a config names it: relative to the repository if it is inside."""
    return folder.relative_to(root).as_posix() if folder.is_relative_to(root) else str(folder)
