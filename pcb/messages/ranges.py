"""Ranges of numbers that users give: stated in the help, and checked."""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any


@dataclass(frozen=True)
class Range:
    """Finite numbers from ``low`` to ``high``, both included by default.

    Attributes:
        low: smallest number.
        high: largest number.
        low_open: whether ``low`` itself is excluded.
        whole: whether only whole numbers are included.

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
            return False  # NaN fails this comparison, too
        return (self.low < value if self.low_open else self.low <= value) and value <= self.high

    def check(self, name: str, value: object) -> None:
        """Check that a value is in the range.

        Args:
            name: name of the parameter, for the message.
            value: any value.

        Raises:
            ValueError: the value is not in the range; names the parameter, the range and the value.
        """
        if value not in self:
            raise ValueError(f"{name} {self._demand}, got {value!r}")

    @property
    def _demand(self) -> str:
        return f"must {'lie' if str(self).startswith('in ') else 'be'} {self}"

    @property
    def argument(self) -> Callable[[str], float]:
        """The function to give to argparse as the type of an option."""

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
SEED = Range(0, 2**32 - 1, whole=True)  # the seeds that NumPy takes
