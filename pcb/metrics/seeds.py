"""Compute means, standard deviations and confidence intervals over random seeds."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Estimate(NamedTuple):
    """A mean over random seeds, with a 95% confidence interval.

    The confidence interval is based on Student's t distribution. For normally distributed values,
    the interval contains the mean over all possible seeds with a probability of 95%. The interval
    reflects only the randomness of training, not the choice of images or of the dataset.

    Attributes:
        mean: Mean of the values; NaN if there are no values.
        std: Sample standard deviation, with divisor n - 1; NaN if there are fewer than two values.
        low: Lower end of the 95% confidence interval of the mean; NaN if there are fewer than two
            values.
        high: Upper end of the 95% confidence interval of the mean; NaN if ``low`` is NaN.
        values: One value per seed; undefined values are left out.
    """

    mean: float
    std: float
    low: float
    high: float
    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """Number of values."""
        return len(self.values)


def estimate(values: Iterable[float | None]) -> Estimate:
    """Return the mean and standard deviation of values, and the mean's 95% confidence interval.

    Args:
        values: One value per seed; NaN and None are left out.

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
    """Estimate the mean difference between two methods over their common seeds.

    For each seed, the value in ``theirs`` is subtracted from the value in ``ours``. If a seed
    affects both methods in the same way, the effect cancels out.

    Args:
        ours: Value of the first method for each seed; seeds with NaN or None are left out.
        theirs: Value of the second method for each seed; seeds with NaN or None are left out.

    Example:
        >>> difference = paired_difference({0: 0.5, 1: 0.75, 2: 0.9}, {1: 0.5, 0: 0.375})
        >>> difference.mean, difference.values
        (0.1875, (0.125, 0.25))
    """
    pairs = [(ours[seed], theirs[seed]) for seed in ours if seed in theirs]
    return estimate(None if a is None or b is None else a - b for a, b in pairs)
