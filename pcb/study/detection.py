"""Detect objects in any images, and write the detections in COCO's results format."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pcb.datasets.image_files import find_images
from pcb.datasets.lvis import image_path
from pcb.datasets.lvis.reader import AnnotationReader
from pcb.detection.engine.detector import Detector
from pcb.storage.files import open_atomically, read_json

RESULTS, IMAGES = "results.json", "images.json"
_INFO = {"description": "images and categories of `pcb predict`"}


@dataclass(frozen=True)
class ImageList:
    """Images in which objects will be detected.

    Attributes:
        folder: Folder of the images.
        images: One dict per image with ``id`` and ``file_name``, the path relative to ``folder``.
            In images from an annotation file, ``width`` and ``height`` are stated as well.
        categories: The categories of the annotation file, sorted by id; None without such a file.
        notes: Messages about files that were left out.
    """

    folder: Path
    images: list[dict[str, Any]]
    categories: list[dict[str, Any]] | None
    notes: list[str]


def list_images(
    paths: Sequence[str | os.PathLike[str]], leave_out: str | os.PathLike[str] | None = None
) -> ImageList:
    """List image files, and the images in folders and in their subfolders.

    For the arguments and errors, see :func:`pcb.datasets.image_files.find_images`. The ids of the
    images are 1, 2, ... in the order of their paths.
    """
    found = find_images(paths, leave_out)
    images = [{"id": n, "file_name": name} for n, name in enumerate(found.names, start=1)]
    return ImageList(found.folder, images, None, found.notes)


def images_of(file: str | os.PathLike[str], image_dir: str | os.PathLike[str]) -> ImageList:
    """List the images of a file in LVIS or COCO format, which need not contain annotations.

    Args:
        file: The file, such as that of LVIS's test-dev images.
        image_dir: Folder of the images.

    Raises:
        FileNotFoundError: The file does not exist.
        pcb.datasets.lvis.AnnotationError: The file is invalid, or images are missing.
    """
    reader = AnnotationReader(file, may_lack_annotations=True)
    images = [
        {"id": image["id"], "file_name": image_path(image)}
        | {key: image[key] for key in ("width", "height")}
        for image in reader.images()
    ]
    reader.check_images_exist([image["file_name"] for image in images], image_dir)
    reader.finish()
    notes = [f"{reader.path}: {note}" for note in reader.warnings()]
    return ImageList(Path(image_dir), images, reader.categories, notes)


def detect_images(
    detector: Detector,
    listed: ImageList,
    out: str | os.PathLike[str],
    show: Callable[[dict[str, Any], np.ndarray, list[dict[str, Any]]], None],
    skip: Callable[[str], None],
) -> tuple[int, int]:
    """Detect objects in images, and write ``results.json`` and ``images.json``.

    ``results.json`` has all detections, in COCO's results format. ``images.json`` has the images
    that could be read, and the categories. Both files appear together, at the end.

    Args:
        detector: The detector.
        listed: The images.
        out: Folder for the two files.
        show: Function that receives each image: its entry in ``images.json``, its pixels
            (H, W, 3), and its detections, best scores first.
        skip: Function that receives a message about each image that cannot be used.

    Returns:
        The number of images that were read, and the number of detections.
    """
    images, total = [], 0
    with (
        open_atomically(Path(out, RESULTS)) as results,
        open_atomically(Path(out, IMAGES)) as overview,
    ):
        results.write(b"[")
        for image in listed.images:
            stated = (image["width"], image["height"]) if "width" in image else None
            try:
                pixels = detector.read(listed.folder / image["file_name"], stated)
            except OSError as error:
                skip(str(error))
                continue
            found = [{"image_id": image["id"], **one} for one in detector.detect(pixels)]
            height, width = pixels.shape[:2]
            images.append({**image, "width": width, "height": height})
            if found:
                text = ",\n".join(json.dumps(one, separators=(",", ":")) for one in found)
                results.write((",\n" if total else "\n").encode() + text.encode())
            total += len(found)
            show(images[-1], pixels, found)
        results.write(b"\n]\n")
        classes = detector.classes
        categories = [
            {"id": category_id, "name": name}
            for category_id, name in zip(classes.category_ids, classes.names, strict=True)
        ]
        content = {"info": _INFO, "images": images, "categories": categories}
        overview.write(json.dumps(content, indent=1).encode())
    return len(images), total


def is_results_file(path: Path) -> bool:
    """Return whether a file is a ``results.json`` beside an ``images.json`` of the same kind."""
    overview = path.with_name(IMAGES)
    if not (overview.is_file() and is_images_file(overview)):
        return False
    with open(path, "rb") as file:
        return file.read(64).lstrip().startswith(b"[")


def is_images_file(path: Path) -> bool:
    """Return whether a file is an ``images.json`` that :func:`detect_images` wrote."""
    return read_json(path)["info"] == _INFO
