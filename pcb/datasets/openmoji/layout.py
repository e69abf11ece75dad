"""Choose which classes appear in each image of OpenMoji-LT."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def spread(
    counts: ArrayLike, num_images: int, largest_load: int, rng: np.random.Generator
) -> list[list[int]]:
    """Distribute classes over images at random, so that class ``c`` is in ``counts[c]`` images.

    Every image gets at least one class and at most ``largest_load`` classes.

    Args:
        counts: (C,) number of images of each class.
        num_images: Number of images.
        largest_load: Maximum number of classes in an image.
        rng: Source of randomness.

    Returns:
        The sorted labels (class indices) of each image.

    Raises:
        ValueError: The counts are too large or too small for this number of images.

    Example:
        >>> images = spread([3, 1], 4, 2, np.random.default_rng(0))
        >>> len(images), sum(0 in labels for labels in images), all(images)
        (4, 3, True)
    """
    wanted = np.asarray(counts)
    total = int(wanted.sum())
    if not num_images <= total <= num_images * largest_load or wanted.max() > num_images:
        raise ValueError(
            f"the sum of `counts` must be between {num_images} and {num_images * largest_load} "
            f"(got {total}), and no single count may exceed {num_images} (largest: "
            f"{wanted.max()}): change `counts`, `num_images` or `largest_load`"
        )
    images: list[set[int]] = [set() for _ in range(num_images)]
    load = np.zeros(num_images, dtype=np.int64)
    # Start with the frequent classes, because a rare class then still finds images with room.
    for label in np.argsort(-wanted, kind="stable"):
        order = np.argsort(rng.random(num_images) + (load >= largest_load))  # full images last
        for image in order[: wanted[label]]:
            images[image].add(int(label))
            load[image] += 1
    for empty in np.flatnonzero(load == 0):
        giver = rng.choice(np.flatnonzero(load == load.max()))
        label = int(rng.choice(sorted(images[giver])))
        images[giver].remove(label)
        images[empty].add(label)
        load[giver] -= 1
        load[empty] += 1
    return [sorted(labels) for labels in images]


def spread_evenly(
    counts: Sequence[int], num_images: int, rng: np.random.Generator
) -> list[list[int]]:
    """Assign classes to images at random, with nearly the same number of classes in each image.

    Class ``c`` is assigned to ``counts[c]`` images.

    Args:
        counts: (C,) number of images of each class.
        num_images: Number of images.
        rng: Source of randomness.

    Returns:
        The sorted labels (class indices) of each image.

    Example:
        >>> spread_evenly([2, 2, 2], 2, np.random.default_rng(0))
        [[0, 1, 2], [0, 1, 2]]
    """
    images: list[list[int]] = [[] for _ in range(num_images)]
    load = np.zeros(num_images)
    for label in rng.permutation(len(counts)):
        order = np.argsort(load + rng.random(num_images))
        for image in order[: counts[label]]:
            images[image].append(int(label))
            load[image] += 1
    return [sorted(labels) for labels in images]
