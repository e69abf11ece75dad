"""Check whether the LVIS dataset is complete in the folders where the configs expect it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from pcb.datasets.lvis.images import first_names, image_path, missing_images
from pcb.datasets.lvis.reader import AnnotationError, AnnotationReader
from pcb.datasets.orientation import stored_and_shown_size

ANNOTATION_PAGE = "https://www.lvisdataset.org/dataset"
IMAGE_PAGE = "https://cocodataset.org/#download"
IMAGE_FOLDERS = ("train2017", "val2017")
_OPENED = 5  # number of evenly spread images that are decoded per annotation file


@dataclass(frozen=True)
class Installation:
    """The files and folders of one LVIS version, as paths relative to the repository.

    Attributes:
        name: Name of the version in messages, for example "LVIS v1".
        folder: Folder that contains the annotations and the images.
        image_folder_of: Mapping from each annotation file to an image folder. The image paths in
            the annotation file are relative to this folder.

    Example:
        >>> print(*VERSIONS[1].image_folder_of, sep="\\n")
        data/lvis_v1/annotations/lvis_v1_train.json
        data/lvis_v1/annotations/lvis_v1_val.json
    """

    name: str
    folder: Path
    image_folder_of: Mapping[Path, Path]

    @property
    def image_folders(self) -> list[Path]:
        """The two folders that must contain the images of COCO 2017."""
        return [self.folder / name for name in IMAGE_FOLDERS]

    @property
    def instructions(self) -> str:
        """Text that tells the user how to install this LVIS version."""
        return (
            f"put the annotations from {ANNOTATION_PAGE} into {self.folder}/annotations, and the"
            f" COCO 2017 images from {IMAGE_PAGE} into {self.folder}, or link existing image"
            f" folders, for example with {_link_command(self.image_folders[0])}"
        )

    def is_absent(self, root: Path) -> bool:
        """Return whether all files and folders of this LVIS version are missing from ``root``.

        Args:
            root: The repository folder.
        """
        # A broken link counts as a file, because somebody has started to install LVIS.
        parts = [*self.image_folder_of, *self.image_folders]
        return not any(os.path.lexists(root / part) for part in parts)


def _installation(version: str, image_folder_of: Mapping[str, str]) -> Installation:
    stem = f"lvis_v{version}"
    folder = Path("data", stem)
    return Installation(
        f"LVIS v{version}",
        folder,
        {
            folder / "annotations" / f"{stem}_{split}.json": folder / images
            for split, images in image_folder_of.items()
        },
    )


# Image paths in the annotations include the image folder in v1, but not in v0.5.
VERSIONS = (
    _installation("0.5", {"train": "train2017", "val": "val2017"}),
    _installation("1", {"train": "", "val": ""}),
)


def examine_lvis(version: Installation, root: Path) -> tuple[str, list[str]]:
    """Check the annotation files and the images of an LVIS version.

    All image and category records are checked; annotation records are not. Every image must
    exist, but only a few images are opened.

    Args:
        version: The LVIS version.
        root: The repository folder.

    Returns:
        summary: The numbers of images and instances in each annotation file, as text.
        problems: One message for each problem, with its remedy.
    """
    problems = [
        f"{folder} is {_absence(root / folder)}: download the COCO 2017 Train and Val images"
        f" ({IMAGE_PAGE}), or link the folder of an existing copy of COCO: {_link_command(folder)}"
        for folder in version.image_folders
        if not (root / folder).is_dir()
    ]
    summaries = []
    for annotations, images in version.image_folder_of.items():
        if not (root / annotations).is_file():
            problems.append(f"{annotations} is missing: download it from {ANNOTATION_PAGE}")
            continue
        summary, found = _examine_split(annotations, images, root)
        summaries.append(summary)
        problems += found
    return ", ".join(summaries), problems


def _examine_split(annotations: Path, folder: Path, root: Path) -> tuple[str, list[str]]:
    """Check an annotation file and its images; return a summary and a list of problems."""
    try:
        reader = AnnotationReader(root / annotations)
        images = {image_path(image): (image["width"], image["height"]) for image in reader.images()}
        reader.finish()
        missing = missing_images(images, root / folder)
    except (AnnotationError, OSError) as error:
        text = str(error).replace(f"{root}{os.sep}", "")
        return "", [f"{text} (download page: {ANNOTATION_PAGE})"]
    problems = []
    if missing:
        text = (
            f"{annotations}: {folder} lacks {len(missing):,} of {len(images):,} images"
            f" ({first_names(missing)}): "
        )
        folders = sorted({(folder / name).parent for name in missing})
        incomplete = [str(part) for part in folders if (root / part).is_dir()]
        if incomplete:
            text += (
                f"download the missing images into {' and '.join(incomplete)} ({IMAGE_PAGE}), or"
                " link to the folders of a complete copy of COCO instead"
            )
        else:  # a separate message about each missing folder contains details
            text += f"provide the image folders of COCO 2017 ({IMAGE_PAGE})"
        problems.append(text)
    present = sorted(images.keys() - set(missing))
    for name in present[:: max(1, len(present) // _OPENED)][:_OPENED]:
        problem = _image_problem(root / folder / name, images[name])
        if problem:
            problems.append(f"{folder / name} {problem}: copy or download it again")
    summary = f"{reader.num_images:,} images with {reader.num_annotations:,} instances"
    return f"{annotations.stem} {summary}", problems


def _link_command(folder: Path) -> str:
    return f"`ln -sfn /path/to/coco/{folder.name} {folder}`"


def _absence(path: Path) -> str:
    if path.is_symlink():
        return f"a link to {os.readlink(path)}, which does not exist"
    return "not a folder" if path.exists() else "missing"


def _image_problem(path: Path, size: tuple[int, int]) -> str | None:
    """Return what is wrong with an image file; None if it is readable and has the given size."""
    try:
        with Image.open(path) as image:
            image.load()
            _, shown = stored_and_shown_size(image)
    except UnidentifiedImageError:
        return "cannot be opened (not an image)"
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises all three
        return f"cannot be opened ({error})"
    if shown != size:
        found, expected = ("x".join(map(str, pair)) for pair in (shown, size))
        return f"is {found} pixels, but the annotations say {expected}"
    return None
