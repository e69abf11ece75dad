"""Load images for training and prediction, with errors that name the faulty file.

mmdet's own pipeline step reports a damaged file with an error about ``NoneType``. With some
versions of OpenCV, the step accepts truncated files.
"""

import os
from typing import Any

import cv2
import mmcv
import numpy as np
from mmdet.datasets import PIPELINES
from mmdet.datasets.pipelines import LoadImageFromFile

from pcb.datasets.headers import too_thin, truncation

_HINT = "copy or download it again, or leave the image out"


class ImageError(OSError):
    """Error for an image file that cannot be used; the message names the file and a remedy.

    PyTorch adds a traceback to the message of an error in a data-loading worker. This class removes
    the traceback.

    Example:
        >>> print(ImageError("Caught ImageError in worker 0. ... ImageError: 7.png is empty"))
        7.png is empty
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition("ImageError: ")[2].strip())


@PIPELINES.register_module()
class LoadWholeImage(LoadImageFromFile):
    """Pipeline step that loads an image, and checks that it is complete and of the right size.

    The arguments are those of mmdet's ``LoadImageFromFile``. With the default arguments, every
    image is converted to three channels of 8 bits.
    """

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the image of an mmdet record, and return the record with the image added.

        Raises:
            OSError: The file cannot be read.
            ImageError: The image is incomplete, or its size does not match the annotations.
        """
        info = results["img_info"]
        path = os.path.join(results["img_prefix"] or "", info["filename"])
        image = self.read(path)
        check_size(image, (info["width"], info["height"]), path)
        return results | self.record(image, path, info["filename"])

    def record(self, image: np.ndarray, path: str = "", name: str = "") -> dict[str, Any]:
        """Return the entries that this step adds to an mmdet record.

        Args:
            image: (H, W, 3) uint8, with its channels in the order ``channel_order``.
            path: The path of the image file.
            name: The name of the image in the annotations.
        """
        if self.to_float32:
            image = image.astype(np.float32)
        return {
            "filename": path,
            "ori_filename": name,
            "img": image,
            "img_shape": image.shape,
            "ori_shape": image.shape,
            "img_fields": ["img"],
        }

    def read(self, path: str) -> np.ndarray:
        """Read an image file, and apply its EXIF orientation.

        Returns:
            (H, W, 3) uint8, with the channels in the order ``channel_order``.

        Raises:
            OSError: The file cannot be read.
            ImageError: The file is incomplete, not an image, or too thin.
        """
        content = mmcv.FileClient(**self.file_client_args).get(path)
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
        if problem := too_thin(image.shape[1], image.shape[0]):
            raise ImageError(f"{path} {problem}: cut it into pieces, or leave the image out")
        return image


def check_size(image: np.ndarray, stated_size: tuple[int, int], path: str) -> None:
    """Check that an image has the size that is stated in its annotations.

    Args:
        image: (H, W, ...) pixels.
        stated_size: Width and height in pixels.
        path: The path of the image file, for the error message.

    Raises:
        ImageError: The sizes differ.
    """
    size = image.shape[1::-1]
    if size != stated_size:
        found, stated = ("x".join(map(str, sides)) for sides in (size, stated_size))
        raise ImageError(
            f"{path} is {found} pixels, but its size in the annotations is {stated}. Use the "
            "image that was annotated, or correct its width and height in the annotations"
        )
