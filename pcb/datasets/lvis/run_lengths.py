"""Check that the runs of a compressed run-length encoding add up to the number of pixels.

pycocotools does not check the runs. If the runs are too short, part of the decoded mask is
undefined. A run of negative length causes an endless loop.

An encoding is a string that stores a list of numbers in base 32. Each character is one digit of a
number, and the least significant digit comes first. The ASCII code of a character is 48 plus the
digit, plus 32 if the number continues in the next character.

The first three numbers are the lengths of the first three runs of pixels. For n > 3, number n is
the length of run n minus the length of run n - 2.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

_AT_ONCE = 4096  # encodings per call: a few MB, and NumPy's overhead is negligible
_MOST_CHARACTERS = 7  # maximum number of characters that store a number (35 bits)


class RunLengthCheck:
    """A checker that validates run-length encoded masks in batches.

    Call ``finish`` after adding the last mask.

    Args:
        report: Function that is called with the name of each invalid mask and a description of the
            problem. It may raise an error.

    Example:
        >>> check = RunLengthCheck(lambda name, problem: print(f"{name}: {problem}"))
        >>> check.add("annotation 1", {"size": [4, 6], "counts": "P0"})
        >>> check.finish()
        annotation 1: the runs of the mask do not add up to 4 x 6 pixels (height x width): \
encode the mask with pycocotools.mask
    """

    def __init__(self, report: Callable[[Any, str], None]) -> None:
        self._report = report
        self._pending: list[tuple[Any, dict]] = []

    def add(self, name: Any, segmentation: Any) -> None:
        """Add a mask to the current batch, and check the batch if it is full.

        Only compressed run-length encodings are checked; other segmentations are ignored.

        Args:
            name: Name of the mask in the error message.
            segmentation: The mask, in any of COCO's segmentation formats.
        """
        if isinstance(segmentation, dict) and isinstance(segmentation["counts"], (str, bytes)):
            self._pending.append((name, segmentation))
            if len(self._pending) >= _AT_ONCE:
                self.finish()

    def finish(self) -> None:
        """Check all masks that have been added but not yet checked."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        encodings = [segmentation["counts"] for _, segmentation in pending]
        pixels = [height * width for height, width in (mask["size"] for _, mask in pending)]
        broken = ~fills(encodings, pixels)
        for index in np.flatnonzero(broken):
            name, mask = pending[index]
            height, width = mask["size"]
            self._report(
                name,
                f"the runs of the mask do not add up to {height} x {width} pixels (height x width):"
                " encode the mask with pycocotools.mask",
            )


def fills(encodings: Sequence[str | bytes], pixels: Sequence[int]) -> np.ndarray:
    """Return which of n run-length encodings are valid.

    The runs of a valid encoding add up to the number of pixels, and no run has a negative length.

    Args:
        encodings: n compressed run-length encodings; n is at least 1.
        pixels: Number of pixels (height times width) of each encoding's image.

    Returns:
        (n,) bool, True for each valid encoding.

    Example:
        >>> fills(["h0", "g0", "4d0", ""], [24, 24, 24, 24])
        array([ True, False,  True, False])
    """
    # Characters beyond "o" are invalid, and so are the unpaired surrogates that JSON may contain.
    texts = [
        text.encode(errors="surrogatepass") if isinstance(text, str) else text for text in encodings
    ]
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    right = lengths > 0
    # Characters below "0" wrap around to numbers above 63.
    characters = np.frombuffer(b"".join(texts), np.uint8) - np.uint8(ord("0"))
    after = np.cumsum(lengths)
    right[np.searchsorted(after, np.flatnonzero(characters > 63), "right")] = False
    last = after[lengths > 0] - 1
    right[lengths > 0] &= characters[last] < 32
    characters[last] &= 31  # a number ends at the last character of its encoding

    end = np.flatnonzero(characters & 32 == 0)  # last character of each number
    length = np.diff(end, prepend=-1)
    owner = np.repeat(np.arange(len(texts)), lengths)[end]
    right[owner[length > _MOST_CHARACTERS]] = False
    numbers = (characters[end] & 15).astype(np.int64) - (characters[end] & 16)
    # Go backwards from the last character of each number, because it contains the sign.
    for place in range(1, _MOST_CHARACTERS):
        longer = np.flatnonzero(length > place)
        numbers[longer] = (numbers[longer] << 5) + (characters[end[longer] - place] & 31)

    first = np.flatnonzero(np.diff(owner, prepend=-1))  # first number of each encoding
    index = np.arange(len(owner)) - np.repeat(first, np.diff(first, append=len(owner)))
    total = np.zeros(len(texts))
    # The first three numbers are runs. Each later number is added to the run two places before.
    for chain in (index == 0, index & 1 == 1, (index & 1 == 0) & (index > 0)):
        of, steps = owner[chain], numbers[chain]
        runs = np.cumsum(steps)
        first = np.flatnonzero(np.diff(of, prepend=-1))
        runs -= np.repeat(runs[first] - steps[first], np.diff(first, append=len(of)))
        right[of[runs < 0]] = False
        total += np.bincount(of, runs, len(texts))
    return right & (total == np.asarray(pixels))
