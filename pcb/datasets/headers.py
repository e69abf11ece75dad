"""Check image files against their annotations without decoding the pixels.

Opening an image reads only its header. The header states the size, the EXIF orientation and the
mode of the image, and takes about a millisecond to read.
"""

import io
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from pcb.datasets.lvis.images import first_names
from pcb.datasets.orientation import orientation, stored_and_shown_size

# The first and the last bytes of a complete file. They can be checked in almost no time.
_JPEG = b"\xff\xd8\xff", b"\xff\xd9"
_PNG = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
# Opening 2000 images takes a second on a local disk. Opening all 100,000 of LVIS takes minutes.
MOST_OPENED = 2000
_MOST_ELONGATED = 100  # even if its long side is resized to 100 pixels, an image stays visible
_PILLOW_ERRORS = (OSError, SyntaxError, ValueError)  # Pillow raises any of these


@dataclass
class ImageFindings:
    """The result of checking the image files of a dataset.

    Attributes:
        total: Number of images in the annotations.
        checked: Number of images that were checked.
        missing: Names of the files that do not exist.
        damaged: Names of the files that are empty, truncated or no images, each with the reason.
        wrong_size: Names of the images whose size differs from the annotations, each with its size
            and the annotated size.
        unturned: Names of the images whose annotations state the size before the EXIF rotation,
            each with the annotated size and its size after the rotation.
        turned: Number of images that EXIF data rotates or mirrors.
        same_size: Number of these images whose size stays the same.
        modes: Number of images of each Pillow mode, such as ``RGB`` or ``L`` (grey).
    """

    total: int
    checked: int = 0
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    wrong_size: list[str] = field(default_factory=list)
    unturned: list[str] = field(default_factory=list)
    turned: int = 0
    same_size: int = 0
    modes: Counter[str] = field(default_factory=Counter)

    @property
    def of_images(self) -> str:
        """The number of checked images as text, such as ``1,667 checked images``."""
        return f"{self.checked:,} " + ("images" if self.checked == self.total else "checked images")

    @property
    def size_faults(self) -> list[str]:
        """One message, with a remedy, for each way in which sizes contradict the annotations."""
        messages = []
        if self.wrong_size:
            messages.append(
                f"{len(self.wrong_size):,} of {self.of_images} do not have the size that the"
                f" annotations state ({first_names(self.wrong_size)}). Use the images that were"
                " annotated, or correct width and height in the annotations"
            )
        if self.unturned:
            messages.append(
                f"for {len(self.unturned):,} of {self.of_images}, the annotations state the size"
                f" before the EXIF rotation ({first_names(self.unturned)}). Remove the"
                " orientation from the EXIF data, or annotate the rotated images"
            )
        return messages

    @property
    def turn_warning(self) -> str | None:
        """A warning if EXIF data rotates or mirrors some images, otherwise None."""
        if not self.turned:
            return None
        text = (
            f"EXIF data rotates or mirrors {self.turned:,} of {self.of_images}; training,"
            " prediction and figures apply this orientation"
        )
        if self.same_size:
            text += (
                f"; for {self.same_size:,} of these images, the size does not show whether the"
                " annotations match the rotated image, because the rotation does not change the"
                " size: look at some of these images in notebook 00_dataset"
            )
        return text


def check_images(
    names: Sequence[str],
    sizes: Sequence[Sequence[int]],
    folder: str | os.PathLike,
    most: int | None = MOST_OPENED,
) -> ImageFindings:
    """Compare the headers of image files with the annotations.

    The last bytes of JPEG and PNG files are also checked. Only files whose last bytes are wrong are
    decoded.

    Args:
        names: Paths of the images, relative to the folder.
        sizes: Width and height of each image in pixels, as stated in the annotations.
        folder: The image folder.
        most: Maximum number of images to check, spread evenly over the list; None to check all.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> Image.new("L", (60, 40)).save(f"{folder}/1.png")
        >>> found = check_images(["1.png", "2.png"], [(60, 40), (60, 40)], folder)
        >>> found.missing, found.wrong_size, dict(found.modes)
        (['2.png'], [], {'L': 1})
    """
    step = 1 if most is None else -(-len(names) // most) or 1
    chosen = range(0, len(names), step)
    found = ImageFindings(len(names), checked=len(chosen))
    with ThreadPoolExecutor(8) as pool:  # threads hide the latency of network storage
        headers = pool.map(lambda index: _header(Path(folder, str(names[index]))), chosen)
        for index, header in zip(chosen, headers, strict=True):
            width, height = sizes[index]
            _record(found, str(names[index]), (int(width), int(height)), header)
    return found


def truncation(content: bytes) -> str | None:
    """Return what is wrong with an image file, or None if the file seems complete.

    Only JPEG and PNG files are checked for completeness. In other formats, only empty files are
    reported.

    Args:
        content: The content of the file.

    Example:
        >>> truncation(b""), truncation(b"GIF89a...")
        ('is empty', None)
    """
    if not content:
        return "is empty"
    if _ends_wrongly(content, content):
        try:
            with Image.open(io.BytesIO(content)) as image:
                image.load()
        except _PILLOW_ERRORS as error:
            return f"is truncated or damaged ({error})"
    return None


def _ends_wrongly(head: bytes, tail: bytes) -> bool:
    return any(
        head.startswith(beginning) and not tail.endswith(end) for beginning, end in (_JPEG, _PNG)
    )


def too_thin(width: int, height: int) -> str | None:
    """Return what is wrong with an image that would have no height after resizing, or None.

    Example:
        >>> too_thin(2000, 1), too_thin(640, 480)
        ('is 2000 x 1 pixels, which is too thin to be resized', None)
    """
    if max(width, height) <= _MOST_ELONGATED * min(width, height):
        return None
    return f"is {width} x {height} pixels, which is too thin to be resized"


# Sizes before and after the EXIF orientation, the orientation, and the mode; or what is wrong.
_Header = tuple[tuple[int, int], tuple[int, int], int, str] | str | None


def _header(path: Path) -> _Header:
    """Read the header of an image; return text if the file is damaged, None if it is missing."""
    try:
        with open(path, "rb") as file:
            head = file.read(8)
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8))
            if _ends_wrongly(head, file.read(8)) or not head:
                file.seek(0)
                if problem := truncation(file.read()):
                    return problem
            file.seek(0)
            with Image.open(file) as image:
                sizes = stored_and_shown_size(image)
                return too_thin(*image.size) or (*sizes, orientation(image), image.mode)
    except FileNotFoundError:
        return None
    except Image.UnidentifiedImageError:
        return "is not an image"
    except _PILLOW_ERRORS as error:
        return f"cannot be opened ({error})"


def _record(found: ImageFindings, name: str, annotated: tuple[int, int], header: _Header) -> None:
    if header is None:
        found.missing.append(name)
        return
    if isinstance(header, str):
        found.damaged.append(f"{name} {header}")
        return
    stored, shown, turn, mode = header
    found.modes[mode] += 1
    if turn > 1:
        found.turned += 1
        found.same_size += stored == shown
    theirs, ours = (f"{width}x{height}" for width, height in (annotated, shown))
    if annotated == shown:
        return
    if annotated == stored:
        found.unturned.append(f"{name}: {theirs} instead of {ours}")
    else:
        found.wrong_size.append(f"{name}: {ours} instead of {theirs}")
