"""Open a dataset in a notebook, and look at its classes and images."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pcb.datasets.lvis import (
    Annotations,
    image_path,
    missing_images,
    read_annotations,
)
from pcb.datasets.openmoji.make import DESIGN_FILE, make_openmoji, read_design
from pcb.datasets.openmoji.roles import class_roles
from pcb.datasets.orientation import orientation_warning
from pcb.datasets.pictures import (
    Picture,
    by_image,
    crop,
    largest_instances,
    load_picture,
    read_icons,
)
from pcb.messages.nearest import suggestion
from pcb.messages.printable import look, shortened
from pcb.storage.repository import repository_path

OPENMOJI = "data/openmoji"  # contains one folder for each size of OpenMoji-LT


@dataclass(frozen=True)
class DataView:
    """One split of a dataset in LVIS format.

    Attributes:
        annotations: The annotations of the split.
        image_dir: Folder that contains the images.
    """

    annotations: Annotations
    image_dir: Path

    @property
    def root(self) -> Path:
        """Folder of the dataset; it contains the folder ``annotations``."""
        return Path(self.annotations.path).parent.parent

    @cached_property
    def names(self) -> list[str]:
        """Class names for display, in label order: ``red apple`` instead of ``red_apple``.

        The names are distinct, see :func:`pcb.messages.printable.display_names`. To identify a
        class in code, use its label.
        """
        return [name.replace("_", " ") for name in self.annotations.class_names]

    @cached_property
    def icons(self) -> list[np.ndarray] | None:
        """Class icons in label order, each (h, w, 4) uint8; None if the dataset has no icons."""
        return read_icons(self.root / "icons", self.annotations.category_ids)

    @cached_property
    def design(self) -> dict[str, Any] | None:
        """Design of an OpenMoji-LT dataset (see :func:`read_design`); None for other datasets."""
        return read_design(self.root) if (self.root / DESIGN_FILE).is_file() else None

    @cached_property
    def present_images(self) -> list[dict]:
        """Records of the images whose files exist; a sample run has only a few image files."""
        images = self.annotations.images
        missing = set(missing_images(map(image_path, images), self.image_dir))
        return [image for image in images if image_path(image) not in missing]

    def pictures(self, count: int, records: Sequence[dict] | None = None) -> list[Picture]:
        """Read some images and the instances in them.

        Args:
            count: Maximum number of images. The images are spread evenly over the dataset; the same
                ``count`` always chooses the same images.
            records: The instances to read, as detections with segmentations; None to read the
                instances of the ground truth.
        """
        images = self.present_images
        chosen = images[:: max(1, len(images) // max(count, 1))][:count]
        found = by_image(self.annotations.annotations if records is None else records)
        return [
            load_picture(self.annotations, image, self.image_dir, found[image["id"]])
            for image in chosen
        ]

    def class_pictures(self, labels: Sequence[int]) -> dict[int, np.ndarray | None]:
        """Return a picture of each class, for figures.

        Args:
            labels: Labels of the classes.

        Returns:
            A picture for each label, (h, w, 3 or 4) uint8. If the dataset has icons, this is the
            class's icon. Otherwise, it is a crop of the class's largest instance in all images
            whose files exist; it is None if the class does not occur in these images.
        """
        if self.icons is not None:
            return {int(label): self.icons[label] for label in labels}
        images = {image["id"]: image for image in self.present_images}
        chosen = largest_instances(self.annotations, labels, images)
        return {
            int(label): crop(
                self.image_dir / image_path(images[chosen[label]["image_id"]]),
                chosen[label]["bbox"],
            )
            if label in chosen
            else None
            for label in labels
        }

    @property
    def roles(self) -> list[str] | None:
        """Roles of the classes of OpenMoji-LT, in label order; None for other datasets."""
        return class_roles(self.design) if self.design else None

    def labels(self, names: Sequence[str | int]) -> list[int]:
        """Return the labels of classes that are given by name or by label.

        Args:
            names: Name or label of each class. Spaces and underscores in names are equivalent.

        Raises:
            ValueError: A class does not exist, or several classes have the same name. The message
                suggests valid names.
        """
        return [self._label(name) for name in names]

    def _label(self, wanted: str | int) -> int:
        """Return the label of a class, which may be specified by its name or by its label."""
        name = str(wanted)
        read = [category["name"] for category in self.annotations.categories]
        for known in (read, self.names) if isinstance(wanted, str) else ():
            found = [label for label, own in enumerate(known) if look(own) == look(name)]
            if len(found) == 1:
                return found[0]
            if found:
                choices = " or ".join(f"{self.names[label]!r} (label {label})" for label in found)
                raise ValueError(
                    f"{len(found)} classes are called {shortened(name)!r}: use {choices}"
                )
        if name.isdecimal() and int(name) < len(self.names):
            return int(name)
        raise ValueError(f"no class {shortened(name)!r}; {suggestion(name, self.names)}")


def open_dataset(
    config: str | os.PathLike,
    out: str | os.PathLike = "",
    size: str = "",
    seed: int = 0,
) -> DataView:
    """Open the training data of a config, and create an OpenMoji-LT dataset if it is missing.

    The dataset is created in the folder ``out``. If ``out`` is empty, the folder is
    ``data/openmoji/<size>``, and the dataset is created only if the config reads this folder. All
    other data must exist.

    Args:
        config: Config file, relative to the repository.
        out: Folder, relative to the repository, of an OpenMoji-LT dataset that is opened instead of
            the config's data; empty to open the config's data.
        size: Size of the OpenMoji-LT dataset to create: ``tiny``, ``mini`` or ``full``; empty to
            create no dataset.
        seed: Seed with which the OpenMoji-LT dataset is created.

    Raises:
        FileNotFoundError: The config or its data is missing.
        ValueError: The folder contains something other than OpenMoji-LT of this size.
    """
    if out:
        file, image_dir = Path(out, "annotations", "train.json"), Path(out, "train")
    else:
        from pcb.detection.config import load_config
        from pcb.detection.config.loading import datasets

        train = next(datasets(load_config(repository_path(config), for_training=False)))
        file, image_dir = Path(train.ann_file), Path(train.img_prefix)
    file, image_dir = repository_path(file), repository_path(image_dir)
    root = file.parent.parent
    if size and (out or root.parent == repository_path(OPENMOJI)):
        if not out and root.name != size:
            raise ValueError(
                f"size is {size!r}, but {config} reads {root}: leave size empty to open that "
                f"folder, or set `out` to a folder for OpenMoji-LT {size}"
            )
        make_openmoji(root, size=size, seed=seed)
    annotations = read_annotations(file)
    if not annotations.has_counts:
        annotations = annotations.with_counts_of(annotations)
    images = annotations.images
    sizes = [(image["width"], image["height"]) for image in images]
    if warning := orientation_warning([image_path(image) for image in images], sizes, image_dir):
        annotations.log(warning)
    return DataView(annotations, image_dir)


def read_validation(data: Mapping[str, Any]) -> Annotations:
    """Return a config's validation annotations with the training counts of their classes.

    Every LVIS file states in how many training images each class occurs. For a file without these
    counts, for example in COCO format, the counts are computed from the training annotations. This
    is impossible if the training annotations are missing or are split over several files; then a
    note in the log says that there are no frequency groups.

    Args:
        data: The ``data`` entry of a merged config.
    """
    val = data["val"]
    annotations = _read_once(repository_path(val["ann_file"]), val.get("federated"))
    if annotations.has_counts:
        return annotations
    train = data.get("train") or {}
    while isinstance(train, Mapping) and "dataset" in train:  # as with repeat factor sampling
        train = train["dataset"]
    file = train.get("ann_file") if isinstance(train, Mapping) else None
    if not isinstance(file, str) or not repository_path(file).is_file():
        annotations.log(
            "there are no frequency groups, because neither this file nor a training file states "
            "in how many training images each class occurs"
        )
        return annotations
    return annotations.with_counts_of(_read_once(repository_path(file), None))


def _read_once(file: Path, federated: bool | None) -> Annotations:
    """Return the annotations in a file; keep them in memory for the next time.

    Reading the annotations of LVIS takes seconds, and all runs of a comparison use the same file.
    """
    state = file.stat() if file.is_file() else None
    return _read(file, federated, state and (state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=2)  # validation and training
def _read(file: Path, federated: bool | None, _state: tuple[int, int] | None) -> Annotations:
    return read_annotations(file, federated=federated)
