"""The frequency groups of LVIS: rare, common and frequent classes."""

from collections.abc import Sequence

import numpy as np

GROUPS = ("f", "c", "r")
"""The frequency groups, in the order in which tables and figures show them."""

GROUP_NAMES = {"f": "frequent", "c": "common", "r": "rare"}


def check_groups(frequency: Sequence[str]) -> list[str]:
    """Check the frequency group of each class, and return the groups as a list.

    Args:
        frequency: (C,) group of each class: ``"f"``, ``"c"`` or ``"r"``.

    Raises:
        ValueError: An entry is not a frequency group.

    Example:
        >>> check_groups("fcr")
        ['f', 'c', 'r']
    """
    groups = list(frequency)
    for label, group in enumerate(groups):
        if group not in GROUPS:
            raise ValueError(f"frequency[{label}] must be 'f', 'c' or 'r', got {group!r}")
    return groups


def most_frequent_first(image_count: Sequence[float]) -> np.ndarray:
    """Return the class labels, sorted by descending number of training images.

    Classes with the same number of images stay in the order of their labels.

    Args:
        image_count: (C,) number of training images of each class.

    Example:
        >>> most_frequent_first([5, 200, 40]).tolist()
        [1, 2, 0]
    """
    return np.argsort(-np.asarray(image_count, dtype=float), kind="stable")
