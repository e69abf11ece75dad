"""The annotations, classes and images of a dataset, for notebooks."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pcb.datasets.headers import check_images
from pcb.datasets.lvis import (
    Annotations,
    image_path,
    missing_images,
    read_annotations,
)
from pcb.datasets.openmoji.make import DESIGN_FILE, make_openmoji, read_design
from pcb.datasets.openmoji.roles import class_roles
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

OPENMOJI = "data/openmoji"  # folder of the OpenMoji-LT datasets; one subfolder for each size


@dataclass(frozen=True)
class DataView:
    """The annotations and images of one split of a dataset, such as the validation split.

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
        """Class names in label order, with spaces instead of underscores.

        The names are distinct; see :func:`pcb.messages.printable.display_names`.
        """
        return [name.replace("_", " ") for name in self.annotations.class_names]

    @cached_property
    def icons(self) -> list[np.ndarray] | None:
        """Class icons in label order, each (h, w, 4) uint8; None if the dataset has no icons."""
        return read_icons(self.root / "icons", self.annotations.category_ids)

    @cached_property
    def design(self) -> dict[str, Any] | None:
        """Content of the ``design.json`` of an OpenMoji-LT dataset; None for other datasets.

        The file describes the dataset; see :func:`pcb.datasets.openmoji.read_design`.
        """
        return read_design(self.root) if (self.root / DESIGN_FILE).is_file() else None

    @cached_property
    def present_images(self) -> list[dict]:
        """Entries of ``annotations.images`` whose image files exist.

        Some datasets, such as the sample data in the repository, lack most of the image files.
        """
        images = self.annotations.images
        missing = set(missing_images(map(image_path, images), self.image_dir))
        return [image for image in images if image_path(image) not in missing]

    def pictures(self, count: int, records: Sequence[dict] | None = None) -> list[Picture]:
        """Read some images of the dataset, and the instances in these images.

        Args:
            count: Maximum number of images. The images are spread evenly over the dataset; the same
                ``count`` always chooses the same images.
            records: Detections with segmentations; None for the ground-truth instances.
        """
        images = self.present_images
        chosen = images[:: max(1, len(images) // max(count, 1))][:count]
        found = by_image(self.annotations.annotations if records is None else records)
        return [
            load_picture(self.annotations, image, self.image_dir, found[image["id"]])
            for image in chosen
        ]

    def class_pictures(self, labels: Sequence[int]) -> dict[int, np.ndarray | None]:
        """Return a picture of each of the given classes.

        If the dataset has icons, the picture is the icon of the class. Otherwise, the picture shows
        the largest instance of the class. Images whose files are missing are skipped.

        Args:
            labels: Labels of the classes.

        Returns:
            A dict from each label to a picture, (h, w, 3 or 4) uint8. The value is None if the
            class has no picture.
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
        """Role of each class of OpenMoji-LT, in label order; None for other datasets.

        For example, the rarer of two similar classes has the role ``tail of a head-tail pair``.
        """
        return class_roles(self.design) if self.design else None

    def labels(self, names: Sequence[str | int]) -> list[int]:
        """Return the labels of the classes with the given names.

        Args:
            names: Names of the classes; labels are also accepted. Spaces and underscores in names
                are equivalent.

        Raises:
            ValueError: A name matches no class, or matches several classes.
        """
        return [self._label(name) for name in names]

    def _label(self, wanted: str | int) -> int:
        """Return the label of a class; ``wanted`` is the name or the label of the class."""
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
        raise ValueError(f"there is no class {shortened(name)!r}; {suggestion(name, self.names)}")


def open_dataset(
    config: str | os.PathLike,
    out: str | os.PathLike = "",
    size: str = "",
    seed: int = 0,
) -> DataView:
    """Open the training data of a config file or of an OpenMoji-LT dataset.

    Args:
        config: Config file, relative to the repository.
        out: Folder of the OpenMoji-LT dataset to open, relative to the repository; empty to open
            the training data of the config.
        size: ``tiny``, ``mini`` or ``full`` to create the OpenMoji-LT dataset if it is missing;
            empty to create no dataset.
        seed: Random seed of the OpenMoji-LT dataset.

    Raises:
        FileNotFoundError: The config or the dataset is missing.
        ValueError: The folder contains something other than the requested OpenMoji-LT dataset.
    """
    if out:
        file, image_dir = Path(out, "annotations", "train.json"), Path(out, "train")
        crowds = None
    else:
        from pcb.detection.config import load_config
        from pcb.detection.config.loading import datasets

        train = next(datasets(load_config(repository_path(config), for_training=False)))
        file, image_dir = Path(train.ann_file), Path(train.img_prefix)
        crowds = train.get("crowds")
    file, image_dir = repository_path(file), repository_path(image_dir)
    root = file.parent.parent
    if size and (out or root.parent == repository_path(OPENMOJI)):
        if not out and root.name != size:
            raise ValueError(
                f"{config} uses the dataset in {root} instead of OpenMoji-LT {size}. To open the "
                f"config's dataset, leave `size` empty. To open OpenMoji-LT {size}, set `out` to a "
                "different folder"
            )
        make_openmoji(root, size=size, seed=seed)
    annotations = read_annotations(file, crowds=crowds)
    if not annotations.has_counts:
        annotations = annotations.with_counts_of(annotations)
    images = annotations.images
    sizes = [(image["width"], image["height"]) for image in images]
    found = check_images([image_path(image) for image in images], sizes, image_dir)
    if found.size_faults:
        raise ValueError(f"{file}: {'; '.join(found.size_faults)}")
    if found.turn_warning:
        annotations.log(found.turn_warning)
    return DataView(annotations, image_dir)


def read_validation(data: Mapping[str, Any]) -> Annotations:
    """Return a config's validation annotations, with the number of training images of each class.

    If the validation file does not contain these numbers, the numbers are computed from the
    training annotations. A message is logged if this is impossible.

    Args:
        data: The ``data`` entry of a merged config.
    """
    val = data["val"]
    file = repository_path(val["ann_file"])
    annotations = _read_once(file, val.get("federated"), val.get("crowds"))
    if annotations.has_counts:
        return annotations
    train = data.get("train") or {}
    while isinstance(train, Mapping) and "dataset" in train:  # a wrapper
        train = train["dataset"]
    file = train.get("ann_file") if isinstance(train, Mapping) else None
    if not isinstance(file, str) or not repository_path(file).is_file():
        annotations.log(
            "there are no frequency groups, because the number of training images of each class "
            "is unknown: set data.train in the config to a dataset with one annotation file"
        )
        return annotations
    training = _read_once(repository_path(file), train.get("federated"), train.get("crowds"))
    return annotations.with_counts_of(training)


def _read_once(file: Path, federated: bool | None, crowds: str | None) -> Annotations:
    """Read an annotation file, and keep the annotations in memory until the file changes."""
    state = file.stat() if file.is_file() else None
    return _read(file, federated, crowds, state and (state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=2)  # one validation file and one training file
def _read(
    file: Path, federated: bool | None, crowds: str | None, _state: tuple[int, int] | None
) -> Annotations:
    return read_annotations(file, federated=federated, crowds=crowds, may_lack_annotations=True)
