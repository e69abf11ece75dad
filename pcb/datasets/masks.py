"""Convert segmentations in COCO format to binary masks and to run-length encodings."""

import numpy as np
from pycocotools import mask as run_length


def decode_mask(segmentation: dict | list, height: int, width: int) -> np.ndarray:
    """Decode a segmentation in COCO format into a binary mask.

    Args:
        segmentation: Polygons ``[[x1, y1, x2, y2, ...], ...]`` in pixels, or a run-length encoding
            ``{"size": [height, width], "counts": ...}``, compressed or not.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Returns:
        (height, width) bool, True for each pixel of the object.

    Example:
        >>> decode_mask([[0, 0, 2, 0, 2, 2, 0, 2]], 2, 3).astype(int)
        array([[1, 1, 0],
               [1, 1, 0]])
    """
    return run_length.decode(encode_mask(segmentation, height, width)).astype(bool)


def encode_mask(segmentation: dict | list, height: int, width: int) -> dict:
    """Convert a segmentation in COCO format to a compressed run-length encoding.

    Args:
        segmentation: Polygons ``[[x1, y1, x2, y2, ...], ...]`` in pixels, or a run-length encoding
            ``{"size": [height, width], "counts": ...}``, compressed or not.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Example:
        >>> encode_mask({"size": [2, 2], "counts": [0, 4]}, 2, 2)
        {'size': [2, 2], 'counts': b'04'}
    """
    if isinstance(segmentation, dict) and not isinstance(segmentation["counts"], list):
        return segmentation
    encoded = run_length.frPyObjects(segmentation, height, width)
    return run_length.merge(encoded) if isinstance(encoded, list) else encoded


def mask_area(segmentation: dict | list, height: int, width: int) -> int:
    """Return the number of pixels of a mask.

    Args:
        segmentation: Polygons or a run-length encoding.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Example:
        >>> mask_area([[0, 0, 2, 0, 2, 2, 0, 2]], height=4, width=6)
        4
    """
    return int(run_length.area(encode_mask(segmentation, height, width)))


def box_of(mask: np.ndarray) -> list[float]:
    """Return the smallest box ``[x, y, width, height]`` around a mask, in pixels.

    All four numbers are 0 if the mask is empty.

    Args:
        mask: (height, width) bool.

    Example:
        >>> box_of(np.array([[False, True, True], [False, False, False]]))
        [1.0, 0.0, 2.0, 1.0]
    """
    return run_length.toBbox(run_length.encode(np.asfortranarray(mask.astype(np.uint8)))).tolist()
