"""LVIS annotations as the records of their file."""

import os
from dataclasses import dataclass, field
from functools import cached_property

from pcb.datasets.lvis.classes import Classes
from pcb.datasets.lvis.reader import AnnotationReader, image_path


@dataclass(frozen=True, eq=False)
class Annotations(Classes):
    """A validated LVIS annotation file.

    The records are the dicts of the file; treat them as read-only, since they are shared.

    Attributes:
        path: Where the annotations were read from.
        images: One dict an image.
        annotations: One dict an instance.
        categories: One dict a class, sorted by id.
        info: The file's `info`, empty if it has none.
        licenses: The file's `licenses`, empty if it has none.
    """

    path: str
    images: list[dict] = field(repr=False)
    annotations: list[dict] = field(repr=False)
    categories: list[dict] = field(repr=False)
    info: dict = field(default_factory=dict, repr=False)
    licenses: list[dict] = field(default_factory=list, repr=False)

    @cached_property
    def image_of(self) -> dict[int, dict]:
        """Image of each image id."""
        return {image["id"]: image for image in self.images}

    def to_dict(self) -> dict:
        """The annotations as one dict in LVIS format. Shares the records, copies nothing."""
        return {
            "info": self.info,
            "licenses": self.licenses,
            "images": self.images,
            "annotations": self.annotations,
            "categories": self.categories,
        }


def read_annotations(
    path: str | os.PathLike, image_dir: str | os.PathLike | None = None
) -> Annotations:
    """Read and check an LVIS annotation file (v0.5 and v1 alike).

    Args:
        path: A `.json` or `.json.gz` file.
        image_dir: Folder that must hold every image of the file; None leaves images unchecked.

    Raises:
        FileNotFoundError: There is no such file.
        AnnotationError: It is not JSON, not LVIS, empty or inconsistent, or images are missing.

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
    annotations = list(reader.annotations({image["id"]: image for image in images}))
    if image_dir is not None:
        reader.check_images_exist(map(image_path, images), image_dir)
    return Annotations(
        path=reader.path,
        images=images,
        annotations=annotations,
        categories=reader.categories,
        info=reader.info,
        licenses=reader.licenses,
    )
