"""Photographs whose EXIF data says how to turn them.

Cameras store the picture as the sensor saw it, and a number from 1 to 8 that says how to turn or
mirror it. Training, prediction and pictures turn it, as OpenCV does. Annotations that were made on
the picture as it is stored lie elsewhere then. Where the turn swaps width and height, the sizes in
the annotations tell; where it keeps the size (2 to 4, and square images), nothing does.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

_TAG = 0x112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LOOKED_AT = 2000  # headers: a second or less on a local disk, while LVIS's 100,000 take minutes


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of an opened image: 1 if it is to be shown as it is stored, up to 8.

    Pillow's own function also reads other metadata (XMP), which OpenCV, and so training, ignores.

    Example:
        >>> orientation(Image.new("RGB", (60, 40)))
        1
    """
    if image.format == "PNG":
        image.load()  # its EXIF data may come after the pixels
    if image.format == "TIFF":
        exif = image.getexif()
    else:
        exif = Image.Exif()
        exif.load(image.info.get("exif", b""))
    found = exif.get(_TAG, 1)
    return found if found in _TURNS else 1


def turned(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF data says, as training sees it."""
    turn = _TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def both_sizes(image: Image.Image) -> tuple[tuple[int, int], tuple[int, int]]:
    """Width and height of an opened image as stored, and as training sees it.

    Of TIFF files alone Pillow gives the size as turned.
    """
    swapped = image.size[::-1] if orientation(image) >= 5 else image.size
    return (swapped, image.size) if image.format == "TIFF" else (image.size, swapped)


def turn_warning(
    names: Sequence[str], sizes: Sequence[Sequence[int]], folder: str | os.PathLike
) -> str | None:
    """Look at the headers of images, of 2000 at most, spread over all of them.

    Args:
        names: Paths of the images, relative to the folder.
        sizes: Width and height of each in the annotations.
        folder: The image folder. What is missing or damaged there is left to those who load it.

    Returns:
        How many images are turned, and of how many the size does not tell whether the annotations
        are; None if none is turned.

    Raises:
        ValueError: Images have the annotated size before they are turned, and not afterwards.
    """
    chosen = range(0, len(names), -(-len(names) // _LOOKED_AT) or 1)
    number_turned, alike, stored = 0, 0, []
    for index in chosen:
        name, annotated = str(names[index]), tuple(int(size) for size in sizes[index])
        try:
            with Image.open(Path(folder, name)) as image:
                if orientation(image) == 1:
                    continue
                before, after = both_sizes(image)
        except (OSError, SyntaxError, ValueError):  # Pillow raises all of them
            continue
        number_turned += 1
        alike += before == after
        if annotated == before != after:
            stored.append((name, before, after))
    of = f"of {len(chosen):,} images" + ("" if len(chosen) == len(names) else " looked at")
    if stored:
        name, (width, height), after = stored[0]
        raise ValueError(
            f"{len(stored):,} {of} have their annotated size as they are stored, and another one"
            f" turned as their EXIF data says, which is how training sees them ({name}:"
            f" {width}x{height}, turned {after[0]}x{after[1]}): remove the orientation from their"
            " EXIF data, or annotate them turned"
        )
    if not number_turned:
        return None
    text = (
        f"{number_turned:,} {of} are turned as their EXIF data says, in training, prediction and"
        " pictures"
    )
    if alike:
        text += (
            f"; {alike:,} keep their size, so that nothing tells whether their annotations were"
            " made on the turned image: look at some in notebook 00"
        )
    return text
