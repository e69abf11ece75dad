"""Check that compressed run-length encodings fill their images.

pycocotools accepts any text: after one that is too short, part of the mask is undefined, and a
negative run makes it loop forever. This module checks thousands of encodings at once with NumPy.

Format: each character, counted from "0", holds five bits of a number, lowest first, and a sixth bit
that tells whether the number continues. From the fourth number on, the text holds the difference to
the number two places before.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

_AT_ONCE = 4096  # encodings: a few MB, and NumPy's overhead per call is negligible
_MOST_CHARACTERS = 7  # in a number: 35 bits


class RunLengthCheck:
    """Check the masks of records in batches; call ``finish`` after the last record.

    Args:
        error: Makes the error to raise from a record's name and its problem.

    Example:
        >>> check = RunLengthCheck(lambda name, problem: ValueError(f"{name}: {problem}"))
        >>> check.add("annotation 1", {"size": [4, 6], "counts": "P0"})
        >>> check.finish()
        Traceback (most recent call last):
        ...
        ValueError: annotation 1: the runs of its mask do not fill 4 x 6 pixels (height x width); \
encode it with pycocotools.mask
    """

    def __init__(self, error: Callable[[Any, str], Exception]) -> None:
        self._error = error
        self._pending: list[tuple[Any, dict]] = []

    def add(self, name: Any, segmentation: Any) -> None:
        """Add a record's mask to the batch; anything but a compressed encoding is ignored.

        Raises:
            Exception: A mask of a full batch is broken; the error is made by ``error``.
        """
        if isinstance(segmentation, dict) and isinstance(segmentation["counts"], (str, bytes)):
            self._pending.append((name, segmentation))
            if len(self._pending) >= _AT_ONCE:
                self.finish()

    def finish(self) -> None:
        """Check the masks that were added since the last check.

        Raises:
            Exception: A mask is broken; the error is made by ``error`` for the first one.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        encodings = [segmentation["counts"] for _, segmentation in pending]
        pixels = [height * width for height, width in (mask["size"] for _, mask in pending)]
        broken = ~fills(encodings, pixels)
        if broken.any():
            name, mask = pending[broken.argmax()]
            height, width = mask["size"]
            raise self._error(
                name,
                f"the runs of its mask do not fill {height} x {width} pixels (height x width);"
                " encode it with pycocotools.mask",
            )


def fills(encodings: Sequence[str | bytes], pixels: Sequence[int]) -> np.ndarray:
    """Return whether the runs of each encoding are non-negative and add up to its image.

    Args:
        encodings: n encodings, at least one.
        pixels: Height times width of each encoding's image.

    Returns:
        (n,) bool.

    Example:
        >>> fills(["h0", "g0", "4d0", ""], [24, 24, 24, 24])
        array([ True, False,  True, False])
    """
    # JSON may hold lone surrogates. They are as wrong as every other character beyond "o".
    texts = [
        text.encode(errors="surrogatepass") if isinstance(text, str) else text for text in encodings
    ]
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    right = lengths > 0
    characters = np.frombuffer(b"".join(texts), np.uint8) - np.uint8(
        ord("0")
    )  # wraps around below "0"
    after = np.cumsum(lengths)
    right[np.searchsorted(after, np.flatnonzero(characters > 63), "right")] = False
    last = after[lengths > 0] - 1
    right[lengths > 0] &= characters[last] < 32
    characters[last] &= 31  # a number that continues is cut off at the end of its encoding

    end = np.flatnonzero(characters & 32 == 0)  # last character of each number
    length = np.diff(end, prepend=-1)
    owner = np.repeat(np.arange(len(texts)), lengths)[end]
    right[owner[length > _MOST_CHARACTERS]] = False
    numbers = (characters[end] & 15).astype(np.int64) - (characters[end] & 16)
    for place in range(
        1, _MOST_CHARACTERS
    ):  # backwards from the last character, which holds the sign
        longer = np.flatnonzero(length > place)
        numbers[longer] = (numbers[longer] << 5) + (characters[end[longer] - place] & 31)

    first = np.flatnonzero(np.diff(owner, prepend=-1))  # first number of each encoding
    index = np.arange(len(owner)) - np.repeat(first, np.diff(first, append=len(owner)))
    total = np.zeros(len(texts))
    # The first run stands alone. Each later run adds to the previous run of its colour.
    for chain in (index == 0, index & 1 == 1, (index & 1 == 0) & (index > 0)):
        of, steps = owner[chain], numbers[chain]
        runs = np.cumsum(steps)
        first = np.flatnonzero(np.diff(of, prepend=-1))
        runs -= np.repeat(runs[first] - steps[first], np.diff(first, append=len(of)))
        right[of[runs < 0]] = False
        total += np.bincount(of, runs, len(texts))
    return right & (total == np.asarray(pixels))
