"""Rotate or mirror images according to their EXIF data, and warn about these images.

The EXIF orientation, a number from 1 to 8, states how to rotate or mirror an image for display.
Training, prediction and figures apply the orientation, as OpenCV does. Annotations must match the
rotated images.
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
# Opening 2000 images takes a second on a local disk. Opening all 100,000 of LVIS takes minutes.
_MOST_OPENED = 2000


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an open image, a number from 1 to 8.

    Orientation 1 means that the image is neither rotated nor mirrored. Like OpenCV, this function
    ignores XMP metadata.

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
        Two pairs (width, height) in pixels: the size before, and the size after.
    """
    swapped = image.size[::-1] if orientation(image) >= 5 else image.size
    # For TIFF files, and only for them, Pillow already applies the orientation to the size.
    return (swapped, image.size) if image.format == "TIFF" else (image.size, swapped)


def orientation_warning(
    names: Sequence[str], sizes: Sequence[Sequence[int]], folder: str | os.PathLike
) -> str | None:
    """Return a warning if EXIF data rotates or mirrors some images.

    At most 2000 images are checked, spread evenly over the list. Missing and damaged images are
    skipped.

    Args:
        names: Paths of the images, relative to the folder.
        sizes: Width and height of each image in pixels, as stated in the annotations.
        folder: The image folder.

    Returns:
        The warning, or None if no image is rotated or mirrored.

    Raises:
        ValueError: The annotations contain the size of an image without the EXIF rotation.
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
    total = f"{len(chosen):,} " + ("images" if len(chosen) == len(names) else "checked images")
    if stored:
        name, (width, height), after = stored[0]
        raise ValueError(
            f"for {len(stored):,} of {total}, the annotations state the size before the EXIF"
            f" rotation ({name}: {width}x{height} instead of {after[0]}x{after[1]}). Remove the"
            " orientation from the EXIF data, or annotate the rotated images"
        )
    if not oriented:
        return None
    text = (
        f"EXIF data rotates or mirrors {oriented:,} of {total}; training, prediction and figures"
        " apply this orientation"
    )
    if same_size:
        text += (
            f"; for {same_size:,} of these images, the size does not show whether the annotations"
            " match the rotated image, because the rotation does not change the size: look at some"
            " of these images in notebook 00_dataset"
        )
    return text
