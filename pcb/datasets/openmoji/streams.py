"""Random generators for the creation of the dataset OpenMoji-LT.

Each image has its own generator. The content of an image therefore does not depend on which images
were generated before it.
"""

import numpy as np

# Never change a number: the same seed would then produce a different dataset.
_PURPOSES = {"classes": 0, "layout": 1, "negatives": 2, "image": 3, "crops": 4}


def stream(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """Return a random generator that depends only on a seed, a purpose and an index.

    Args:
        seed: Seed of the dataset, at least 0.
        purpose: "classes", "layout", "negatives", "image" or "crops".
        index: Numbers that distinguish generators with the same purpose, for example the index of
            the split and the index of the image.

    Example:
        >>> a, b, c = (stream(0, "image", 0, i).integers(1000) for i in (0, 1, 0))
        >>> bool(a == c), bool(a == b)
        (True, False)
    """
    key = (_PURPOSES[purpose], *index)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
