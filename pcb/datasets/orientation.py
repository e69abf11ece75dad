"""Rotate or mirror images according to their EXIF data, and warn if annotations may not match.

A camera stores a photograph as the sensor sees it. The EXIF orientation, a number from 1 to 8,
states how to rotate or mirror the photograph for display. Training, prediction and figures apply
the orientation, as OpenCV does. Annotations that were made on the photograph as stored are then in
the wrong place. If the orientation swaps width and height, the image sizes in the annotations
reveal this error. Orientations 2 to 4, and square images, keep the size, so the error stays hidden.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

_TAG = 0x112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MOST_OPENED = 2000  # takes a second on a local disk; the 100,000 images of LVIS take minutes


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an open image, a number from 1 (shown as stored) to 8.

    Pillow's own function is not used, because it also reads XMP metadata. OpenCV, which reads the
    images in training, ignores this metadata.

    Example:
        >>> orientation(Image.new("RGB", (60, 40)))
        1
    """
    if image.format == "PNG":
        image.load()  # the EXIF data of a PNG may follow the pixels
    if image.format == "TIFF":
        exif = image.getexif()
    else:
        exif = Image.Exif()
        exif.load(image.info.get("exif", b""))
    found = exif.get(_TAG, 1)
    return found if found in _TRANSPOSE else 1


def apply_orientation(image: Image.Image) -> Image.Image:
    """Rotate or mirror an image according to its EXIF data, as training does."""
    transpose = _TRANSPOSE.get(orientation(image))
    return image if transpose is None else image.transpose(transpose)


def stored_and_shown_size(image: Image.Image) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the size of an open image before and after its EXIF orientation is applied.

    Returns:
        Two pairs of width and height in pixels: as stored, and as training sees the image.
    """
    swapped = image.size[::-1] if orientation(image) >= 5 else image.size
    # For TIFF files, and only for them, Pillow already applies the orientation to the size.
    return (swapped, image.size) if image.format == "TIFF" else (image.size, swapped)


def orientation_warning(
    names: Sequence[str], sizes: Sequence[Sequence[int]], folder: str | os.PathLike
) -> str | None:
    """Return a warning if EXIF data rotates or mirrors images.

    At most 2000 images, evenly spread over the list, are opened, and only their headers are read.
    Missing and damaged images are skipped, because loading them later raises an error.

    Args:
        names: Paths of the images, relative to the folder.
        sizes: Width and height of each image in the annotations, in pixels.
        folder: The image folder.

    Returns:
        A warning that says how many images are rotated or mirrored, and how many of these keep
        their size. For the latter, the size does not show whether the annotations match. The result
        is None if no image is rotated or mirrored.

    Raises:
        ValueError: Some images have the annotated size as stored, but a different size after their
            EXIF orientation is applied.
    """
    chosen = range(0, len(names), -(-len(names) // _MOST_OPENED) or 1)
    oriented, same_size, stored = 0, 0, []
    for index in chosen:
        name, annotated = str(names[index]), tuple(int(size) for size in sizes[index])
        try:
            with Image.open(Path(folder, name)) as image:
                if orientation(image) == 1:
                    continue
                before, after = stored_and_shown_size(image)
        except (OSError, SyntaxError, ValueError):  # Pillow raises all three
            continue
        oriented += 1
        same_size += before == after
        if annotated == before != after:
            stored.append((name, before, after))
    total = f"{len(chosen):,} images" + ("" if len(chosen) == len(names) else " checked")
    if stored:
        name, (width, height), after = stored[0]
        raise ValueError(
            f"{len(stored):,} of {total} have the annotated size only as stored, but training"
            f" applies their EXIF orientation, which changes the size ({name}: {width}x{height}"
            f" stored, {after[0]}x{after[1]} rotated): remove the orientation from their EXIF data,"
            " or annotate the rotated images"
        )
    if not oriented:
        return None
    text = (
        f"EXIF data rotates or mirrors {oriented:,} of {total}; training, prediction and figures"
        " apply this orientation"
    )
    if same_size:
        text += (
            f"; {same_size:,} of these images keep their size, so the size does not show whether"
            " the annotations were made on the rotated image: look at some of them in notebook 00"
        )
    return text
