"""Check that the runs of a compressed run-length encoding add up to the size of the image.

pycocotools accepts any text. If the runs are too short, part of the mask is undefined; a negative
run causes an endless loop. This module checks thousands of encodings per call with NumPy.

Format: the code of each character, minus the code of "0", contains five bits of a number, lowest
bits first, and a sixth bit that says whether the number continues. The first three numbers are runs
of pixels. Each later number is the difference between a run and the run two places before.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

_AT_ONCE = 4096  # encodings per call: a few MB, and NumPy's overhead is negligible
_MOST_CHARACTERS = 7  # characters per number: 35 bits


class RunLengthCheck:
    """Check the masks of records in batches; call ``finish`` after the last record.

    Args:
        error: Function that takes a record's name and a problem, and returns the error to raise.

    Example:
        >>> check = RunLengthCheck(lambda name, problem: ValueError(f"{name}: {problem}"))
        >>> check.add("annotation 1", {"size": [4, 6], "counts": "P0"})
        >>> check.finish()
        Traceback (most recent call last):
        ...
        ValueError: annotation 1: the runs of the mask do not add up to 4 x 6 pixels \
(height x width): encode the mask with pycocotools.mask
    """

    def __init__(self, error: Callable[[Any, str], Exception]) -> None:
        self._error = error
        self._pending: list[tuple[Any, dict]] = []

    def add(self, name: Any, segmentation: Any) -> None:
        """Add a record's mask to the batch, and check the batch if it is full.

        Anything other than a compressed run-length encoding is ignored.

        Raises:
            Exception: A mask is invalid; the function ``error`` determines the type.
        """
        if isinstance(segmentation, dict) and isinstance(segmentation["counts"], (str, bytes)):
            self._pending.append((name, segmentation))
            if len(self._pending) >= _AT_ONCE:
                self.finish()

    def finish(self) -> None:
        """Check the masks that were added since the last check.

        Raises:
            Exception: A mask is invalid; the function ``error`` determines the type.
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
                f"the runs of the mask do not add up to {height} x {width} pixels (height x width):"
                " encode the mask with pycocotools.mask",
            )


def fills(encodings: Sequence[str | bytes], pixels: Sequence[int]) -> np.ndarray:
    """Return whether the runs of each encoding are non-negative and fill the encoding's image.

    Args:
        encodings: n encodings, at least one.
        pixels: Number of pixels (height times width) of each encoding's image.

    Returns:
        (n,) bool, True for each valid encoding.

    Example:
        >>> fills(["h0", "g0", "4d0", ""], [24, 24, 24, 24])
        array([ True, False,  True, False])
    """
    # JSON may contain unpaired surrogates. Like all other characters beyond "o", they are invalid.
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
    # The first run is stored as such. Each later number is added to the previous run of its colour.
    for chain in (index == 0, index & 1 == 1, (index & 1 == 0) & (index > 0)):
        of, steps = owner[chain], numbers[chain]
        runs = np.cumsum(steps)
        first = np.flatnonzero(np.diff(of, prepend=-1))
        runs -= np.repeat(runs[first] - steps[first], np.diff(first, append=len(of)))
        right[of[runs < 0]] = False
        total += np.bincount(of, runs, len(texts))
    return right & (total == np.asarray(pixels))
