"""Ranges of allowed numbers, used to check user input and to write help texts."""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any


@dataclass(frozen=True)
class Range:
    """Range of allowed numbers, from ``low`` to ``high``.

    Attributes:
        low: Lower bound, included unless ``low_open`` is True.
        high: Upper bound, always included.
        low_open: Whether ``low`` itself is excluded.
        whole: Whether only whole numbers are included.

    Example:
        >>> share = Range(0, 1, low_open=True)
        >>> str(share), str(Range(0, whole=True)), str(Range())
        ('in (0, 1]', 'a whole number from 0', 'a finite number')
        >>> share.check("iou_threshold", 50)
        Traceback (most recent call last):
        ...
        ValueError: iou_threshold must lie in (0, 1], got 50
    """

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    whole: bool = False

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a finite number"
        if math.isinf(self.high):
            return kind if math.isinf(self.low) else f"{kind} from {self.low}"
        interval = f"in {'(' if self.low_open else '['}{self.low}, {self.high}]"
        return f"{kind} {interval}" if self.whole else interval

    def __contains__(self, value: Any) -> bool:
        is_number = isinstance(value, Integral if self.whole else Real)
        if not is_number or isinstance(value, bool) or not -math.inf < value < math.inf:
            return False  # NaN also fails this comparison
        return (self.low < value if self.low_open else self.low <= value) and value <= self.high

    def check(self, name: str, value: object) -> None:
        """Check that a value is in the range.

        Args:
            name: Name of the parameter, for the error message.
            value: Any value.

        Raises:
            ValueError: The value is not in the range.
        """
        if value not in self:
            raise ValueError(f"{name} {self._demand}, got {value!r}")

    @property
    def _demand(self) -> str:
        return f"must {'lie' if str(self).startswith('in ') else 'be'} {self}"

    @property
    def argument(self) -> Callable[[str], float]:
        """Function that converts text to a number in the range; argparse accepts it as ``type``."""

        def read(text: str) -> float:
            try:
                value: float = int(text) if self.whole else float(text)
            except ValueError:
                value = math.nan  # not in any range
            if value not in self:
                raise argparse.ArgumentTypeError(f"{self._demand}, got {text!r}")
            return value

        return read


IOU_THRESHOLD = Range(0, 1, low_open=True)
SCORE_THRESHOLD = Range()  # scores need not be probabilities
SEED = Range(0, 2**32 - 1, whole=True)  # the seeds that NumPy accepts
STEPS = Range(0, 1000, whole=True)  # more would be a training run
