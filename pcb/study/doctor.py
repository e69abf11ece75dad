"""Examine the data of a config and the prospects of its training: ``pcb doctor CONFIG``."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pcb.datasets.headers import check_images
from pcb.datasets.lvis import CompactAnnotations, read_compact_annotations
from pcb.datasets.lvis.images import first_names
from pcb.detection.config.loading import datasets
from pcb.detection.config.validation import Validation
from pcb.detection.dataset import LVISFormatDataset, fix_instances
from pcb.detection.engine.prospects import (
    HINT,
    check_batch_size,
    check_first_weights,
    check_pcb,
    check_speed,
)
from pcb.detection.engine.settings import TrainingSettings, read_settings
from pcb.detection.engine.training import build_model
from pcb.detection.engine.validation import ValidationHook
from pcb.messages.checks import Check, problems
from pcb.runs.folder import RunFolder
from pcb.study.validation import evaluate_validation

FEW_IMAGES = 3  # classes with fewer training images are listed
# What OpenCV does to images that are not 8-bit RGB.
_CONVERTED = {
    **dict.fromkeys(("RGBA", "LA", "PA"), "transparency is dropped"),
    **dict.fromkeys(("L", "1"), "grey is repeated in three channels"),
    **dict.fromkeys(("I;16", "I;16B", "I;16L", "I", "F"), "reduced to 8 bits"),
    **dict.fromkeys(("CMYK", "YCbCr", "LAB", "HSV"), "converted to RGB"),
}


def examine_config(
    config: str | os.PathLike[str],
    cfg_options: Mapping[str, Any] | None = None,
    steps: int = 3,
    device: str | None = None,
    trust_checkpoint: bool = False,
) -> list[Check]:
    """Check a config, its annotations, all its images, and what PCB will do in training.

    Nothing is written.

    Args:
        config: The config file.
        cfg_options: New values for settings in the config.
        steps: Number of training steps from which time and memory are estimated; 0 for none.
        device: ``"cpu"`` or ``"cuda"``. By default, the GPU is used if there is one.
        trust_checkpoint: Whether to read ``load_from`` even if reading it may execute code.

    Example:
        >>> (check,) = examine_config("configs/openmoji/softmax.py", {"runner.max_epochs": 0})
        >>> check.ok, check.text.partition(": ")[2]
        (False, 'runner.max_epochs must be a whole number, at least 1, got 0')
    """
    try:
        settings = read_settings(Path(config), 0, cfg_options, device)
    except (ValueError, OSError) as error:
        return [Check("config", str(error), ok=False, hint=HINT)]
    checks = [Check("config", f"{config}, {settings.max_epochs} epochs")]
    if settings.unread:
        text = f"sets variables that nothing uses: {', '.join(settings.unread)}"
        checks.append(Check("config", text, ok=False, required=False))
    read: dict[str, list[CompactAnnotations]] = {"train": [], "val": []}
    for split, found in read.items():
        for dataset in datasets(settings.config, (split,)):
            checks += _examine_dataset(split, dataset, found)
    checks += _examine_classes(read["train"], read["val"])
    checks.append(check_batch_size(settings))
    is_known = read["train"] and len({tuple(one.class_names) for one in read["train"]}) == 1
    names = read["train"][0].class_names if is_known else None
    checks += check_first_weights(settings, names, trust_checkpoint)
    if names:
        checks += check_pcb(settings, names, *_counts(read["train"]))
    if settings.validation and read["val"]:
        checks.append(_examine_validation(settings, settings.validation))
    if steps and problems(checks):
        text = "not estimated, because of the problems above"
        checks.append(Check("speed", text, ok=False, required=False))
    elif steps:
        checks.append(check_speed(settings, steps))
    return checks


def _examine_validation(settings: TrainingSettings, validation: Validation) -> Check:
    """Check that the validation during training measures what the data and the model have."""
    try:
        model = build_model(settings.config, pretrained=False)
        ValidationHook(
            settings.config, validation, RunFolder(os.devnull), model, evaluate_validation
        )
    except (ValueError, OSError) as error:
        return Check("validation", str(error), ok=False, hint=HINT)
    often = f"every {validation.interval} epochs" if validation.interval > 1 else "every epoch"
    return Check("validation", f"{often}, of {' and '.join(validation.iou_types)}")


def _examine_dataset(
    split: str, dataset: Mapping[str, Any], read: list[CompactAnnotations]
) -> list[Check]:
    """Check the annotations and images of a dataset, and append its annotations to ``read``."""
    if dataset.get("type") != LVISFormatDataset.__name__:
        text = f"datasets of type {dataset.get('type')} are not examined"
        return [Check(f"{split} data", text, ok=False, required=False)]
    file, checks = dataset["ann_file"], []
    for path in file if isinstance(file, list | tuple) else [file]:
        name = f"{split} annotations"
        try:
            raw = read_compact_annotations(
                path, allow_short_polygons=split == "train", crowds=dataset.get("crowds")
            )
        except (ValueError, OSError) as error:
            checks.append(Check(name, str(error), ok=False, hint=HINT))
            continue
        needs_masks = any(step.get("with_mask") for step in dataset.get("pipeline") or [])
        annotations, fixes = fix_instances(raw, needs_masks)
        read.append(annotations)
        text = (
            f"{len(raw.image_ids):,} images, {len(raw.labels):,} annotations,"
            f" {len(raw.categories):,} classes"
        )
        checks.append(Check(name, text))
        checks += [
            Check(name, note, ok=False, required=False) for note in (*raw.warnings, fixes) if note
        ]
        if folder := dataset.get("img_prefix"):
            checks += _examine_images(f"{split} images", annotations, folder)
    return checks


def _examine_images(name: str, annotations: CompactAnnotations, folder: str) -> list[Check]:
    found = check_images(annotations.image_names, annotations.image_sizes, folder, most=None)
    faults = found.size_faults
    for what, files, remedy in (
        ("are missing", found.missing, "copy them, or correct img_prefix"),
        ("cannot be read", found.damaged, "copy or download them again"),
    ):
        if files:
            faults.append(
                f"{len(files):,} of {found.of_images} in {folder} {what} ({first_names(files)}):"
                f" {remedy}"
            )
    checks = [Check(name, fault, ok=False, hint=HINT) for fault in faults]
    if not faults:
        checks.append(Check(name, f"{found.checked:,} files match the annotations"))
    notes = [found.turn_warning] if found.turn_warning else []
    notes += [
        f"{count:,} of mode {mode}: {_CONVERTED[mode]}"
        for mode, count in found.modes.items()
        if mode in _CONVERTED
    ]
    return checks + [Check(name, note, ok=False, required=False) for note in notes]


def _examine_classes(
    train: Sequence[CompactAnnotations], val: Sequence[CompactAnnotations]
) -> list[Check]:
    """Check the classes for too few images, different names and near-equal names."""
    if not train:
        return []
    names, notes, checks = train[0].class_names, [], []
    known = {category["id"]: category["name"] for category in train[0].categories}
    for other in (*train[1:], *val):
        theirs = {category["id"]: category["name"] for category in other.categories}
        if differing := sorted(id_ for id_ in known | theirs if known.get(id_) != theirs.get(id_)):
            shown = [f"{id_}: {known.get(id_)} / {theirs.get(id_)}" for id_ in differing]
            text = (
                f"{len(differing):,} differ between {train[0].path} and {other.path}"
                f" ({first_names(shown)}): use the same ids and names in both files"
            )
            checks.append(Check("classes", text, ok=False, hint=HINT))
    if not checks:
        images = _counts(train)[0]
        for what, chosen in (
            ("no training image", images == 0),
            (f"fewer than {FEW_IMAGES} training images", (images > 0) & (images < FEW_IMAGES)),
        ):
            if found := [names[label] for label in np.flatnonzero(chosen)]:
                notes.append(f"{len(found):,} with {what} ({first_names(found)})")
    if alike := _near_equal(known.values()):
        notes.append(f"names that are nearly equal: {first_names(alike)}")
    checks += [Check("classes", note, ok=False, required=False) for note in notes]
    return checks or [Check("classes", f"{len(names):,}, the same in all files")]


def _near_equal(names: Any) -> list[str]:
    """Return groups of names that differ only in case, separators or a plural s, as text."""
    groups = defaultdict(list)
    for name in names:
        groups[re.sub(r"[\W_]+", " ", name.casefold()).strip().removesuffix("s")].append(name)
    return [" = ".join(sorted(group)) for group in groups.values() if len(group) > 1]


def _counts(parts: Sequence[CompactAnnotations]) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of images and of instances of each class."""
    images: Counter[int] = Counter()
    instances: Counter[int] = Counter()
    for part in parts:
        owner = np.repeat(np.arange(len(part.image_ids)), np.diff(part.first_instance))
        pairs = np.unique(np.column_stack([owner, part.labels]), axis=0)
        images.update(pairs[:, 1].tolist())
        instances.update(part.labels.tolist())
    labels = range(len(parts[0].categories))
    return np.array([images[c] for c in labels]), np.array([instances[c] for c in labels])
