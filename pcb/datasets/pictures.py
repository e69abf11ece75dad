"""Read images and their annotations or detections as arrays, for figures."""

import math
import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pcb.datasets.lvis import Annotations, image_path
from pcb.datasets.masks import box_of, decode_mask
from pcb.datasets.orientation import apply_orientation


@dataclass(frozen=True)
class Picture:
    """An image and its n instances, which are annotated objects or detections.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        boxes: (n, 4) float, the box ``[x, y, width, height]`` of each instance in pixels.
        masks: (n, H, W) bool, the mask of each instance.
        labels: (n,) int, the class index of each instance.
        scores: (n,) float, the score of each detection; NaN for ground truth.
    """

    image: np.ndarray
    boxes: np.ndarray
    masks: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


def by_image(records: Sequence[dict]) -> dict[int, list[dict]]:
    """Group annotations or detections by their image id.

    The returned dict maps each image id to its list of records. For any other id, the dict returns
    an empty list.

    Example:
        >>> found = by_image([{"image_id": 3, "id": 1}, {"image_id": 3, "id": 2}])
        >>> len(found[3]), found[4]
        (2, [])
    """
    groups: dict[int, list[dict]] = defaultdict(list)
    for record in records:
        groups[record["image_id"]].append(record)
    return groups


def load_picture(
    annotations: Annotations,
    image: dict,
    image_dir: str | os.PathLike,
    records: Sequence[dict],
) -> Picture:
    """Read an image, and decode the masks of its annotations or detections.

    Args:
        annotations: Annotations of the dataset.
        image: Record of the image, one of ``annotations.images``.
        image_dir: Folder of the images.
        records: Annotations or detections in the image; each must have a ``segmentation``.

    Returns:
        The image and its instances.

    Raises:
        FileNotFoundError: The image file does not exist.
        OSError: The image file cannot be opened.
        ValueError: The size of the image differs from its size in the annotations.
    """
    path = Path(image_dir) / image_path(image)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} (image {image['id']} in {annotations.path}) does not exist: copy the image to"
            " this path"
        )
    pixels = read_pixels(path)
    height, width = image["height"], image["width"]
    if pixels.shape[:2] != (height, width):
        raise ValueError(
            f"{path} is {pixels.shape[1]}x{pixels.shape[0]} pixels, but {annotations.path} says"
            f" {width}x{height}: replace the image with the one that was annotated"
        )
    masks = [
        decode_mask(record["segmentation"], height, width)
        if "segmentation" in record
        else np.zeros((height, width), bool)
        for record in records
    ]
    boxes = [
        record.get("bbox") or box_of(mask) for record, mask in zip(records, masks, strict=True)
    ]
    return Picture(
        image=pixels,
        boxes=np.array(boxes, dtype=float).reshape(-1, 4),
        masks=np.array(masks, dtype=bool).reshape(-1, height, width),
        labels=np.array([annotations.label_of[r["category_id"]] for r in records], dtype=int),
        scores=np.array([record.get("score", np.nan) for record in records], dtype=float),
    )


def read_pixels(path: str | os.PathLike) -> np.ndarray:
    """Read an image file and apply its EXIF orientation, as training does.

    Returns:
        (h, w, 3) uint8, RGB.

    Raises:
        OSError: The file is damaged or not an image; the message contains the path.
    """
    try:
        with Image.open(path) as opened:
            opened.load()  # Pillow applies the orientation of TIFF files while loading them
            image = apply_orientation(opened)
            if image.mode.startswith("I"):  # 16-bit values, which convert() would clip
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises all three
        raise OSError(
            f"{path} cannot be opened as an image ({error}): copy the file again"
        ) from error


def read_icons(folder: str | os.PathLike, category_ids: Sequence[int]) -> list[np.ndarray] | None:
    """Read the icon of each class from a file such as ``0012.png``, where 12 is the category id.

    Args:
        folder: Folder of the icons.
        category_ids: (C,) category id of each class, in label order.

    Returns:
        A list of C icons, in label order, or None if any icon is missing. Each icon is an array
        (h, w, 4) uint8, RGBA.
    """
    files = [Path(folder) / f"{category_id:04d}.png" for category_id in category_ids]
    if not all(file.is_file() for file in files):
        return None
    return [np.asarray(Image.open(file).convert("RGBA")) for file in files]


def largest_instances(
    annotations: Annotations, labels: Collection[int], image_ids: Collection[int]
) -> dict[int, dict]:
    """Find the largest annotated instance of each given class in a set of images.

    Args:
        annotations: Annotations of the dataset.
        labels: Labels (class indices) of the classes.
        image_ids: Ids of the images to search.

    Returns:
        A dict from each label to the annotation with the largest area. Classes without an instance
        in these images are left out.
    """
    label_of = {annotations.category_ids[label]: int(label) for label in labels}
    images = set(image_ids)
    largest: dict[int, dict] = {}
    for record in annotations.annotations:
        label = label_of.get(record["category_id"])
        if label is None or record["image_id"] not in images:
            continue
        if label not in largest or record["area"] > largest[label]["area"]:
            largest[label] = record
    return largest


def crop(
    path: str | os.PathLike, box: Sequence[float], margin: float = 0.08, longest: int = 96
) -> np.ndarray:
    """Read an image file, and crop it to a box plus a margin on each side.

    Args:
        path: The image file.
        box: The box ``[x, y, width, height]`` in pixels.
        margin: Width of the margin, as a fraction of the longer side of the box. The margin is
            narrower if the box is close to the border of the image.
        longest: Maximum width and height of the crop in pixels; a larger crop is scaled down.

    Returns:
        (h, w, 3) uint8, RGB.
    """
    x, y, width, height = box
    around = margin * max(width, height)
    image = Image.fromarray(read_pixels(path))
    left = min(max(0, math.floor(x - around)), image.width - 1)
    top = min(max(0, math.floor(y - around)), image.height - 1)
    right = min(image.width, max(left + 1, math.ceil(x + width + around)))
    bottom = min(image.height, max(top + 1, math.ceil(y + height + around)))
    part = image.crop((left, top, right, bottom))
    part.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return np.asarray(part)
