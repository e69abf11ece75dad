"""Loading images with errors that say which file is wrong, in training and inference alike.

mmdet's own step ends with an error about `NoneType` at a damaged file, and some versions of OpenCV
make half an image of one that ends too early, with no more than a line on standard error.
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

# How files of a kind begin and where they end: nearly free to look at, once the bytes are read.
_JPEG = b"\xff\xd8\xff", b"\xff\xd9"
_PNG = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_WAY_OUT = "copy or download it again, or remove the image from the annotations"


class ImageError(OSError):
    """An image file is not usable; says which one and what to do.

    PyTorch raises what failed in a data-loading worker anew, with the worker's traceback as the
    message. Of that the end is kept, which is the message itself.

    >>> print(ImageError("Caught ImageError in worker 0. ... ImageError: 7.png is empty"))
    7.png is empty
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition("ImageError: ")[2].strip())


@PIPELINES.register_module()
class LoadWholeImage(LoadImageFromFile):
    """mmdet's ``LoadImageFromFile`` for files that have to be whole and of the stated size.

    Images of 16 bits or of one channel, and those with a palette or transparency, become 8-bit
    images of three channels, as OpenCV does it. Arguments are those of the base class.
    """

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the image to a record of mmdet.

        Raises:
            OSError: the file cannot be read.
            ImageError: it is no whole image, or not of the size that the annotations state.
        """
        info = results["img_info"]
        path = os.path.join(results["img_prefix"] or "", info["filename"])
        content = mmcv.FileClient(**self.file_client_args).get(path)
        image = self._decoded(content, path)
        found, stated = image.shape[1::-1], (info["width"], info["height"])
        if found != stated:
            found, stated = ("x".join(map(str, size)) for size in (found, stated))
            raise ImageError(
                f"{path} is {found} pixels, but {stated} in the annotations, so that boxes and "
                "masks would lie elsewhere: give the image that was annotated (turned as its EXIF "
                "data says), or fix its width and height in the annotations"
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
        if problem := unfinished(content):
            raise ImageError(f"{path} {problem}; {_WAY_OUT}")
        try:
            image = mmcv.imfrombytes(content, self.color_type, self.channel_order)
        except cv2.error as error:
            raise ImageError(f"{path} cannot be opened ({error.err}); {_WAY_OUT}") from error
        if image is None:
            raise ImageError(
                f"{path} cannot be opened as an image (it begins with {content[:12]!r}); {_WAY_OUT}"
            )
        return image


def unfinished(content: bytes) -> str | None:
    """What is wrong with a file that ends too early; None for one that does not seem to.

    Whether a JPEG or PNG file is whole is seen at its end. Some programs write more behind it: then
    it is decoded once more, by Pillow, which says so if data is missing.

    >>> unfinished(b""), unfinished(b"GIF89a...")
    ('is empty', None)
    """
    if not content:
        return "is empty"
    for beginning, end in (_JPEG, _PNG):
        if content.startswith(beginning) and not content.endswith(end):
            try:
                with Image.open(io.BytesIO(content)) as image:
                    image.load()
            except (OSError, SyntaxError, ValueError) as error:  # Pillow raises all of them
                return f"ends too early, or is damaged ({error})"
    return None
