"""Photographs that their EXIF data rotates or mirrors.

A camera stores a picture as the sensor sees it, with a number from 1 to 8 for how to rotate or
mirror it. Training, prediction and figures apply this orientation, as OpenCV does. Annotations that
were made on the stored picture are then misplaced. The sizes in the annotations reveal this if the
orientation swaps width and height, but not if it keeps the size (orientations 2 to 4, and square
images).
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
_MOST_OPENED = 2000  # takes a second on a local disk; all 100,000 images of LVIS take minutes


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an open image, 1 to 8; 1 means as stored.

    Pillow's own function also reads other metadata (XMP), which OpenCV, and therefore training,
    ignores.

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
    """Return an image rotated and mirrored by its EXIF data, as training sees it."""
    transpose = _TRANSPOSE.get(orientation(image))
    return image if transpose is None else image.transpose(transpose)


def stored_and_shown_size(image: Image.Image) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the size of an open image as stored, and as training sees it.

    Returns:
        Two pairs of width and height, in pixels.
    """
    swapped = image.size[::-1] if orientation(image) >= 5 else image.size
    # Pillow applies the orientation to the size of TIFF files only.
    return (swapped, image.size) if image.format == "TIFF" else (image.size, swapped)


def orientation_warning(
    names: Sequence[str], sizes: Sequence[Sequence[int]], folder: str | os.PathLike
) -> str | None:
    """Check how EXIF data orients images, by the headers of at most 2000 that are spread evenly.

    Missing and damaged images are skipped; an error follows where they are loaded.

    Args:
        names: Paths of the images, relative to the folder.
        sizes: Width and height of each image in the annotations, in pixels.
        folder: The image folder.

    Returns:
        How many images are rotated or mirrored, and for how many the size does not show whether the
        annotations are, too; None if there are no such images.

    Raises:
        ValueError: Images have their annotated size as stored, and another size as training sees
            them.
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
        except (OSError, SyntaxError, ValueError):  # Pillow raises all of them
            continue
        oriented += 1
        same_size += before == after
        if annotated == before != after:
            stored.append((name, before, after))
    total = f"{len(chosen):,} images" + ("" if len(chosen) == len(names) else " checked")
    if stored:
        name, (width, height), after = stored[0]
        raise ValueError(
            f"{len(stored):,} of {total} have their annotated size only as stored, but training"
            f" applies their EXIF orientation, which changes it ({name}: {width}x{height}, rotated"
            f" {after[0]}x{after[1]}): remove the orientation from their EXIF data, or annotate the"
            " rotated images"
        )
    if not oriented:
        return None
    text = (
        f"EXIF data rotates or mirrors {oriented:,} of {total}; training, prediction and figures"
        " apply it"
    )
    if same_size:
        text += (
            f"; {same_size:,} keep their size, so nothing shows whether their annotations were made"
            " on the rotated image: look at some in notebook 00"
        )
    return text
