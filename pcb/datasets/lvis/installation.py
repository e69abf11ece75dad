"""Whether LVIS is installed where the configs look for it, and what to do about what is missing."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from pcb.datasets.lvis.reader import (
    AnnotationError,
    AnnotationReader,
    first_of,
    image_path,
    missing_images,
)
from pcb.datasets.orientation import both_sizes

ANNOTATION_PAGE = "https://www.lvisdataset.org/dataset"
IMAGE_PAGE = "https://cocodataset.org/#download"
_OPENED = 5  # images of each annotation file that are decoded, spread over its names


def examine_lvis(
    images_of: Mapping[Path, Path], image_folders: Sequence[Path], root: Path
) -> tuple[str, list[str]]:
    """Look at the annotation files of an LVIS version and at their images.

    Args:
        images_of: Annotation files, each with the folder that its image names start from.
        image_folders: Folders of images that have to be there.
        root: The repository, which all these paths are relative to.

    Returns:
        What is there, and the problems, each with the way out.
    """
    problems = [
        f"{folder} is {_absence(root / folder)}; download COCO's 2017 Train and Val images"
        f" ({IMAGE_PAGE}), or link the folder of an existing COCO:"
        f" `ln -sfn /path/to/coco/{folder.name} {folder}`"
        for folder in image_folders
        if not (root / folder).is_dir()
    ]
    summaries = []
    for annotations, images in images_of.items():
        if not (root / annotations).is_file():
            problems.append(f"{annotations} is missing; download it: {ANNOTATION_PAGE}")
            continue
        summary, found = _examine_split(annotations, images, root)
        summaries.append(summary)
        problems += found
    return ", ".join(summaries), problems


def _examine_split(annotations: Path, folder: Path, root: Path) -> tuple[str, list[str]]:
    """What an annotation file holds, and what is wrong with it or its images."""
    try:
        reader = AnnotationReader(root / annotations)
        images = {image_path(image): (image["width"], image["height"]) for image in reader.images()}
        missing = missing_images(images, root / folder)
    except (AnnotationError, OSError) as error:
        text = str(error).replace(f"{root}{os.sep}", "")
        return "", [f"{text} (download page: {ANNOTATION_PAGE})"]
    problems = []
    if missing:
        text = (
            f"{annotations}: {len(missing):,} of {len(images):,} images are missing in {folder}:"
            f" {first_of(missing)}"
        )
        folders = sorted({(folder / name).parent for name in missing})
        incomplete = [str(part) for part in folders if (root / part).is_dir()]
        if incomplete:  # how to get the other folders has been said
            text += (
                f"; complete {' and '.join(incomplete)} ({IMAGE_PAGE}), or put links to the folders"
                " of a complete COCO in their place"
            )
        problems.append(text)
    present = sorted(images.keys() - set(missing))
    for name in present[:: max(1, len(present) // _OPENED)][:_OPENED]:
        problem = _image_problem(root / folder / name, images[name])
        if problem:
            problems.append(f"{folder / name} {problem}; copy or download it again")
    summary = f"{reader.num_images:,} images with {reader.num_annotations:,} instances"
    return f"{annotations.stem} {summary}", problems


def _absence(path: Path) -> str:
    if path.is_symlink():
        return f"a link to {os.readlink(path)}, which is not there"
    return "no folder" if path.exists() else "missing"


def _image_problem(path: Path, size: tuple[int, int]) -> str | None:
    try:
        with Image.open(path) as image:
            image.load()
            _, size_seen = both_sizes(image)
    except UnidentifiedImageError:
        return "cannot be opened (not an image)"
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises all of them
        return f"cannot be opened ({error})"
    if size_seen != size:
        found, expected = ("x".join(map(str, pair)) for pair in (size_seen, size))
        return f"is {found} pixels, but {expected} in the annotations"
    return None
