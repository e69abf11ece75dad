"""Which classes an image shows."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def spread(
    counts: ArrayLike, num_images: int, largest_load: int, rng: np.random.Generator
) -> list[list[int]]:
    """Deal classes to images at random, class ``c`` to exactly ``counts[c]`` of them.

    Every image gets at least one class and at most ``largest_load``.

    Args:
        counts: (C,) number of images of each class.
        num_images: Number of images.
        largest_load: Most classes an image may have.
        rng: Source of everything random.

    Returns:
        The sorted labels of each image.

    Raises:
        ValueError: The counts cannot be dealt under these limits.

    Example:
        >>> images = spread([3, 1], 4, 2, np.random.default_rng(0))
        >>> len(images), sum(0 in labels for labels in images), all(images)
        (4, 3, True)
    """
    counts = np.asarray(counts)
    total = int(counts.sum())
    if not num_images <= total <= num_images * largest_load or counts.max() > num_images:
        raise ValueError(
            f"cannot deal {total} classes, one of them {counts.max()} times, to {num_images} "
            f"images with 1 to {largest_load} classes each"
        )
    images: list[set[int]] = [set() for _ in range(num_images)]
    load = np.zeros(num_images, dtype=np.int64)
    # Frequent classes first: a rare one always finds an image with room.
    for label in np.argsort(-counts, kind="stable"):
        order = np.argsort(rng.random(num_images) + (load >= largest_load))  # full images last
        for image in order[: counts[label]]:
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
    """Like :func:`spread`, but with as many classes in every image (or one more).

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
