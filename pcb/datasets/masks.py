"""Segmentations as masks and run-length encodings."""

import numpy as np
from pycocotools import mask as run_length


def decode_mask(segmentation: dict | list, height: int, width: int) -> np.ndarray:
    """A segmentation as a mask (height, width) of bool; arguments of :func:`encode_mask`.

    >>> decode_mask([[0, 0, 2, 0, 2, 2, 0, 2]], 2, 3).astype(int)
    array([[1, 1, 0],
           [1, 1, 0]])
    """
    return run_length.decode(encode_mask(segmentation, height, width)).astype(bool)


def encode_mask(segmentation: dict | list, height: int, width: int) -> dict:
    """A segmentation as a compressed run-length encoding.

    Args:
        segmentation: polygons ``[[x1, y1, x2, y2, ...], ...]``, or a run-length encoding
            ``{"size": [height, width], "counts": ...}``, compressed or not.
        height: of the image, in pixels.
        width: of the image, in pixels.

    >>> encode_mask({"size": [2, 2], "counts": [0, 4]}, 2, 2)
    {'size': [2, 2], 'counts': b'04'}
    """
    if isinstance(segmentation, dict) and not isinstance(segmentation["counts"], list):
        return segmentation
    encoded = run_length.frPyObjects(segmentation, height, width)
    return run_length.merge(encoded) if isinstance(encoded, list) else encoded


def _box_of(mask: np.ndarray) -> list[float]:
    """Box around a mask; all zeros for an empty one."""
    return run_length.toBbox(run_length.encode(np.asfortranarray(mask.astype(np.uint8)))).tolist()
