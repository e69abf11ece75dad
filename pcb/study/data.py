"""A dataset as notebooks look at it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pcb.datasets.lvis import (
    Annotations,
    image_path,
    missing_images,
    read_annotations,
)
from pcb.datasets.openmoji import make_openmoji, read_design
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

OPENMOJI = "data/openmoji"  # holds an OpenMoji-LT of each size, under the size's name


@dataclass(frozen=True)
class DataView:
    """One split of a dataset in LVIS format.

    Attributes:
        annotations: its annotations.
        image_dir: folder of its images.
    """

    annotations: Annotations
    image_dir: Path

    @property
    def root(self) -> Path:
        """Folder of the dataset, which holds ``annotations/``."""
        return Path(self.annotations.path).parent.parent

    @cached_property
    def names(self) -> list[str]:
        """Name of each class as a reader wants it: ``red apple``, not ``red_apple``.

        No two are alike, see :func:`pcb.messages.printable.display_names`; look classes up by label
        all the same.
        """
        return [name.replace("_", " ") for name in self.annotations.class_names]

    @cached_property
    def icons(self) -> list[np.ndarray] | None:
        """Icon of each class, (h, w, 4) uint8 in label order; None where classes have none."""
        return read_icons(self.root / "icons", self.annotations.category_ids)

    @cached_property
    def design(self) -> dict[str, Any] | None:
        """How OpenMoji-LT was made, see ``read_design``; None for other datasets."""
        try:
            return read_design(self.root)
        except FileNotFoundError:
            return None

    @cached_property
    def present_images(self) -> list[dict]:
        """Images whose files are there: all of them, or the few that a sample run brings along."""
        images = self.annotations.images
        missing = set(missing_images(map(image_path, images), self.image_dir))
        return [image for image in images if image_path(image) not in missing]

    def pictures(self, count: int, records: Sequence[dict] | None = None) -> list[Picture]:
        """Read some images with their instances.

        Args:
            count: at most so many, spread over the dataset; the same ones at every call.
            records: detections with a segmentation; None for the ground truth.
        """
        images = self.present_images
        chosen = images[:: max(1, len(images) // max(count, 1))][:count]
        found = by_image(self.annotations.annotations if records is None else records)
        return [
            load_picture(self.annotations, image, self.image_dir, found[image["id"]])
            for image in chosen
        ]

    def class_pictures(self, labels: Sequence[int]) -> dict[int, np.ndarray | None]:
        """A picture of each of these classes, to stand beside its name in a figure.

        Returns:
            By label (h, w, 3 or 4) uint8: the class's icon where the dataset has icons, else its
            largest instance in an image that is there, cut out; None where there is none.
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
        """Role of each class in OpenMoji-LT, in label order; None for other datasets."""
        return class_roles(self.design) if self.design else None

    def labels(self, names: Sequence[str | int]) -> list[int]:
        """Labels of classes by name, blanks and underscores are one, or by the label itself.

        Raises:
            ValueError: there is no such class, and the nearest name is given, if any is like it; or
                several classes have this name.
        """
        return [self._label(name) for name in names]

    def _label(self, wanted: str | int) -> int:
        """Label of the one class that is meant."""
        name = str(wanted)
        read = [category["name"] for category in self.annotations.categories]
        for known in (read, self.names) if isinstance(wanted, str) else ():
            found = [label for label, own in enumerate(known) if look(own) == look(name)]
            if len(found) == 1:
                return found[0]
            if found:
                choices = " or ".join(f"{self.names[label]!r} (label {label})" for label in found)
                raise ValueError(
                    f"{len(found)} classes are called {shortened(name)!r}: give {choices}"
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
    """Open the training data that a config names; OpenMoji-LT is made if it is not there.

    It is made in ``out``, or in ``data/openmoji/<size>`` for a config that reads this folder. Data
    of any other config has to be there.

    Args:
        config: config file, relative to the repository.
        out: folder of an OpenMoji-LT to open in its stead, relative to the repository.
        size: of the OpenMoji-LT to make if need be: ``tiny``, ``mini`` or ``full``; empty for data
            that must be there.
        seed: of the OpenMoji-LT.

    Raises:
        FileNotFoundError: no such config or data.
        ValueError: the folder holds something else, or OpenMoji-LT in another size.
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
                f"size is {size!r}, but {config} reads {root}: leave size empty to open that, or "
                f"give `out`, a folder for OpenMoji-LT {size}"
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
