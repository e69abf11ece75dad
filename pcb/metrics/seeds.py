"""What several seeds say: mean, standard deviation, and paired differences with an interval."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Estimate(NamedTuple):
    """The mean of a metric, or of a difference, over seeds.

    The interval is Student's: repeated with other seeds, 95 of 100 such intervals would hold the
    mean over all seeds, were the values normally distributed. It knows of training's randomness
    alone, not of the choice of images or of the dataset.

    Attributes:
        mean: nan without values.
        std: sample standard deviation (n - 1 below); nan with fewer than two values.
        low: lower end of the 95% interval of the mean; nan with fewer than two values.
        high: its upper end.
        values: one a seed, without the undefined ones.
    """

    mean: float
    std: float
    low: float
    high: float
    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """The number of seeds in it."""
        return len(self.values)


def estimate(values: Iterable[float | None]) -> Estimate:
    """Mean, standard deviation and 95% interval of the mean over seeds.

    Args:
        values: one a seed; nan or None where undefined, which is left out.

    Example:
        >>> over_seeds = estimate([0.25, 0.5, float("nan"), 0.75])
        >>> over_seeds.mean, over_seeds.std, over_seeds.n
        (0.5, 0.25, 3)
        >>> round(over_seeds.low, 3), round(over_seeds.high, 3)  # 0.5 -+ 4.303 * 0.25 / sqrt(3)
        (-0.121, 1.121)
        >>> estimate([0.25])
        Estimate(mean=0.25, std=nan, low=nan, high=nan, values=(0.25,))
    """
    defined = tuple(float(v) for v in values if v is not None and not math.isnan(v))
    n = len(defined)
    mean = math.fsum(defined) / n if n else math.nan
    if n < 2:
        return Estimate(mean, math.nan, math.nan, math.nan, defined)
    from scipy.special import stdtrit  # quantiles of Student's t

    std = math.sqrt(math.fsum((value - mean) ** 2 for value in defined) / (n - 1))
    half = float(stdtrit(n - 1, 0.975)) * std / math.sqrt(n)
    return Estimate(mean, std, mean - half, mean + half, defined)


def paired_difference(
    ours: Mapping[Any, float | None], theirs: Mapping[Any, float | None]
) -> Estimate:
    """Mean difference, ours minus theirs, over the seeds that both have, with its interval.

    What a seed does to both alike (the order of images, say) cancels out.

    Args:
        ours: values by seed; nan or None where undefined, which leaves the seed out.
        theirs: the same of what they are compared with.

    Example:
        >>> difference = paired_difference({0: 0.5, 1: 0.75, 2: 0.9}, {1: 0.5, 0: 0.375})
        >>> difference.mean, difference.values
        (0.1875, (0.125, 0.25))
    """
    pairs = [(ours[seed], theirs[seed]) for seed in ours if seed in theirs]
    return estimate(None if a is None or b is None else a - b for a, b in pairs)
