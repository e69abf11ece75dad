"""Find out the names and category ids of a detector's classes."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pcb.datasets.lvis.reader import AnnotationReader
from pcb.messages.printable import display_names, look

_HINT = "set data.val.ann_file to annotations of these classes (--cfg-options in `pcb predict`)"


@dataclass(frozen=True)
class DetectorClasses:
    """Names and category ids of the C classes of a detector.

    Attributes:
        names: (C,) class names, as stored in the checkpoint or in the annotations.
        category_ids: (C,) category ids.
        source: Where the names and the ids come from, for people.
    """

    names: list[str]
    category_ids: list[int]
    source: str


def detector_classes(
    num_classes: int,
    checkpoint: Mapping[str, Any],
    annotations: str | os.PathLike[str] | None = None,
    categories: Sequence[Mapping[str, Any]] | None = None,
) -> DetectorClasses:
    """Return the names and category ids of a detector's classes.

    The names come from the checkpoint (``meta["CLASSES"]``), otherwise from the annotations. The
    category ids come from the annotations, otherwise they are 1 to C. Annotations with other
    classes than the checkpoint are not used.

    Args:
        num_classes: C, the number of classes of the detector.
        checkpoint: The result of :func:`pcb.detection.checkpoint.read_checkpoint`.
        annotations: The annotation file of the config. It need not exist.
        categories: Category records that the detector must fit, sorted by id. If they are given,
            ``annotations`` is not read.

    Raises:
        ValueError: The names are unknown, or the classes differ from ``categories``.

    Example:
        >>> classes = detector_classes(2, {"meta": {"CLASSES": ("fox", "yak")}})
        >>> classes.names, classes.category_ids
        (['fox', 'yak'], [1, 2])
        >>> classes.source
        'class names from the checkpoint, category ids 1 to 2'
    """
    names, dropped = _names_in(checkpoint, num_classes)
    required, source = categories is not None, "the image list"
    if categories is None and annotations and os.path.isfile(annotations):
        source = os.fspath(annotations)
        reader = AnnotationReader(source, may_lack_annotations=True)
        reader.finish()
        categories = reader.categories
    if categories is None:
        if names is None:
            raise ValueError(
                f"the class names are unknown: {dropped}, and the annotations {annotations} do not "
                f"exist; {_HINT}"
            )
        note = f"class names from the checkpoint, category ids 1 to {num_classes}"
        return DetectorClasses(names, list(range(1, num_classes + 1)), note)
    own = [category["name"] for category in categories]
    fault = None
    if len(own) != num_classes:
        fault = f"{source} has {len(own):,} classes, but the detector has {num_classes:,}"
    elif names is not None and _looks(own) != _looks(names):
        pairs = enumerate(zip(_looks(own), _looks(names), strict=True), start=1)
        number, (listed, learned) = next(pair for pair in pairs if len(set(pair[1])) > 1)
        fault = f"class {number} is {listed!r} in {source}, but {learned!r} in the checkpoint"
    if fault and required:
        raise ValueError(f"{fault}: choose a list with the classes of the detector")
    if fault and names is None:
        raise ValueError(f"the class names are unknown: {dropped}, and {fault}; {_HINT}")
    if fault:
        note = f"class names from the checkpoint, category ids 1 to {num_classes}, because {fault}"
        return DetectorClasses(names or own, list(range(1, num_classes + 1)), note)
    note = f"class names and category ids from {source}"
    if names is not None:
        note = f"class names from the checkpoint, category ids from {source}"
    return DetectorClasses(names or own, [category["id"] for category in categories], note)


def _names_in(checkpoint: Mapping[str, Any], num_classes: int) -> tuple[list[str] | None, str]:
    """Return the class names in a checkpoint or, if there are none, the reason."""
    meta = checkpoint.get("meta")
    names = meta.get("CLASSES") if isinstance(meta, Mapping) else None
    if not (isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)):
        return None, "the checkpoint contains no class names"
    if len(names) != num_classes:
        return None, f"the checkpoint names {len(names):,} classes instead of {num_classes:,}"
    return list(names), ""


def _looks(names: Sequence[str]) -> list[str]:
    return [look(name) for name in display_names(names)]
