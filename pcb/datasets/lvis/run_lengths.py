"""Whether compressed run-length encodings fill their images.

pycocotools takes any text: one that is too short leaves part of the mask to chance, and a negative
run keeps it busy for ever. Here thousands are checked at once, in NumPy.

Format: the characters from "0" carry five bits each, lowest first, and a sixth that says whether
the number goes on; from the fourth number on it is the difference to the number but one before.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

_AT_ONCE = 4096  # encodings: a few MB of numbers, and NumPy's overhead per call vanishes
_MOST_CHARACTERS = 7  # of a number: 35 bits


class RunLengthCheck:
    """Checks the masks of records that go by; call `finish` after the last.

    Args:
        error: Makes the error to be raised of what a record is called and its problem.

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
        """Note a record's mask; only compressed run lengths are looked at."""
        if isinstance(segmentation, dict) and isinstance(segmentation["counts"], (str, bytes)):
            self._pending.append((name, segmentation))
            if len(self._pending) >= _AT_ONCE:
                self.finish()

    def finish(self) -> None:
        """Check what has been noted; raise for the first mask that is broken."""
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
    """Whether each encoding has as many pixels as it should, in runs that are not negative; (n,).

    Args:
        encodings: n of them, n at least 1.
        pixels: Height times width of each image.

    Example:
        >>> fills(["h0", "g0", "4d0", ""], [24, 24, 24, 24])
        array([ True, False,  True, False])
    """
    # A lone half of a surrogate pair, which JSON may hold, is as wrong as the rest beyond "o".
    texts = [
        text.encode(errors="surrogatepass") if isinstance(text, str) else text for text in encodings
    ]
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    right = lengths > 0
    characters = np.frombuffer(b"".join(texts), np.uint8) - np.uint8(ord("0"))  # wraps below "0"
    after = np.cumsum(lengths)
    right[np.searchsorted(after, np.flatnonzero(characters > 63), "right")] = False
    last = after[lengths > 0] - 1
    right[lengths > 0] &= characters[last] < 32
    characters[last] &= 31  # a number that goes on ends with its encoding

    end = np.flatnonzero(characters & 32 == 0)  # of each number
    length = np.diff(end, prepend=-1)
    owner = np.repeat(np.arange(len(texts)), lengths)[end]
    right[owner[length > _MOST_CHARACTERS]] = False
    numbers = (characters[end] & 15).astype(np.int64) - (characters[end] & 16)
    for place in range(1, _MOST_CHARACTERS):  # back from the last character, which has the sign
        longer = np.flatnonzero(length > place)
        numbers[longer] = (numbers[longer] << 5) + (characters[end[longer] - place] & 31)

    first = np.flatnonzero(np.diff(owner, prepend=-1))  # number of each encoding
    index = np.arange(len(owner)) - np.repeat(first, np.diff(first, append=len(owner)))
    total = np.zeros(len(texts))
    # The first run of all, then those of each colour, which add to the one before of that colour.
    for chain in (index == 0, index & 1 == 1, (index & 1 == 0) & (index > 0)):
        of, steps = owner[chain], numbers[chain]
        runs = np.cumsum(steps)
        first = np.flatnonzero(np.diff(of, prepend=-1))
        runs -= np.repeat(runs[first] - steps[first], np.diff(first, append=len(of)))
        right[of[runs < 0]] = False
        total += np.bincount(of, runs, len(texts))
    return right & (total == np.asarray(pixels))
