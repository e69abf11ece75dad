"""Rotate or mirror images according to their EXIF data.

The EXIF orientation, a number from 1 to 8, states how to rotate or mirror an image for display.
Training, prediction and figures apply the orientation, as OpenCV does. Annotations must match the
rotated images.
"""

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
_EXIF = b"eXIf"


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an open image, a number from 1 to 8.

    Orientation 1 means that the image is neither rotated nor mirrored. Like OpenCV, this function
    ignores XMP metadata.

    Example:
        >>> orientation(Image.new("RGB", (60, 40)))
        1
    """
    if image.format == "TIFF":
        exif = image.getexif()
    else:
        exif = Image.Exif()
        exif.load(image.info.get("exif", b"") or _late_exif(image))
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


def _late_exif(image: Image.Image) -> bytes:
    """Return the EXIF data that follows the pixels of a PNG, without decoding the pixels."""
    file = getattr(image, "fp", None)
    if image.format != "PNG" or file is None:
        return b""
    place = file.tell()
    try:
        file.seek(8)  # after the signature
        while len(chunk := file.read(8)) == 8:
            length = int.from_bytes(chunk[:4], "big")
            if chunk[4:] == _EXIF:
                return b"Exif\0\0" + file.read(length)
            file.seek(length + 4, 1)  # 4 bytes of checksum
        return b""
    finally:
        file.seek(place)
