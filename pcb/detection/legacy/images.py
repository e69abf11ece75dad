"""Loading images in training and inference, with errors that name the wrong file.

For a damaged file, mmdet's own step fails with an error about `NoneType`. For a truncated file,
some versions of OpenCV return half an image and only print a line on standard error.
"""

import io
import os
from typing import Any

import cv2
import mmcv
import numpy as np
from mmdet.datasets import PIPELINES
from mmdet.datasets.pipelines import LoadImageFromFile
from PIL import Image

# The first and the last bytes of a whole file. Checking them costs almost nothing.
_JPEG = b"\xff\xd8\xff", b"\xff\xd9"
_PNG = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_HINT = "copy or download it again, or remove the image from the annotations"


class ImageError(OSError):
    """An image file cannot be used; the message names it and says what to do.

    PyTorch raises an error of a data-loading worker again, with the worker's traceback as its
    message. Only the end of that text is kept, which is the original message.

    Example:
        >>> print(ImageError("Caught ImageError in worker 0. ... ImageError: 7.png is empty"))
        7.png is empty
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition("ImageError: ")[2].strip())


@PIPELINES.register_module()
class LoadWholeImage(LoadImageFromFile):
    """mmdet's ``LoadImageFromFile``, which refuses incomplete files and files of another size.

    OpenCV converts images with 16 bits, one channel, a palette or transparency to 8 bits and three
    channels. The arguments are those of the base class.
    """

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the image to a record of mmdet.

        Raises:
            OSError: the file cannot be read.
            ImageError: the image is incomplete, or has another size than the annotations state.
        """
        info = results["img_info"]
        path = os.path.join(results["img_prefix"] or "", info["filename"])
        content = mmcv.FileClient(**self.file_client_args).get(path)
        image = self._decoded(content, path)
        size, stated_size = image.shape[1::-1], (info["width"], info["height"])
        if size != stated_size:
            found, stated = ("x".join(map(str, sides)) for sides in (size, stated_size))
            raise ImageError(
                f"{path} is {found} pixels, but {stated} in the annotations, so boxes and masks "
                "would be in the wrong place: give the image that was annotated (turned as its "
                "EXIF data says), or fix its width and height in the annotations"
            )
        if self.to_float32:
            image = image.astype(np.float32)
        return results | {
            "filename": path,
            "ori_filename": info["filename"],
            "img": image,
            "img_shape": image.shape,
            "ori_shape": image.shape,
            "img_fields": ["img"],
        }

    def _decoded(self, content: bytes, path: str) -> np.ndarray:
        if problem := truncation(content):
            raise ImageError(f"{path} {problem}; {_HINT}")
        try:
            image = mmcv.imfrombytes(content, self.color_type, self.channel_order)
        except cv2.error as error:
            raise ImageError(f"{path} cannot be opened ({error.err}); {_HINT}") from error
        if image is None:
            raise ImageError(
                f"{path} cannot be opened as an image (it begins with {content[:12]!r}); {_HINT}"
            )
        return image


def truncation(content: bytes) -> str | None:
    """What is wrong with a truncated file; None if the file seems to be whole.

    A JPEG or PNG file is whole if it ends as expected. Some programs append data to it, so a file
    with another end is decoded by Pillow, which fails if image data is missing.

    Example:
        >>> truncation(b""), truncation(b"GIF89a...")
        ('is empty', None)
    """
    if not content:
        return "is empty"
    for beginning, end in (_JPEG, _PNG):
        if content.startswith(beginning) and not content.endswith(end):
            try:
                with Image.open(io.BytesIO(content)) as image:
                    image.load()
            except (OSError, SyntaxError, ValueError) as error:  # Pillow raises any of these
                return f"is truncated or damaged ({error})"
    return None
