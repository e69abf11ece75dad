"""What several seeds say: mean, standard deviation, and paired differences with an interval."""

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple


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
    ours: Mapping[Hashable, float | None], theirs: Mapping[Hashable, float | None]
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
    return estimate(None if None in pair else pair[0] - pair[1] for pair in pairs)


def format_estimate(value: Estimate, seeds: int | None = None) -> str:
    """Mean ± standard deviation in percent; says n where it is not the number of seeds.

    One seed has no deviation, and its value stands alone.

    Example:
        >>> format_estimate(estimate([0.25, 0.27])), format_estimate(estimate([0.25]))
        ('26.0 ± 1.4', '25.0')
        >>> format_estimate(estimate([0.25, 0.27, None]), seeds=3), format_estimate(estimate([]))
        ('26.0 ± 1.4 (n = 2)', 'n/a')
    """
    if not value.n:
        return "n/a"
    std = "" if math.isnan(value.std) else f" ± {100 * value.std:.1f}"
    return f"{100 * value.mean:.1f}{std}{_of_fewer(value, seeds)}"


def format_points(difference: float) -> str:
    """A difference of fractions in points (hundredths), with its sign; n/a if undefined.

    Example:
        >>> format_points(0.0125), format_points(-0.0001), format_points(float("nan"))
        ('+1.2', '+0.0', 'n/a')
    """
    # Adding 0.0 makes a rounded -0.0 positive.
    return "n/a" if math.isnan(difference) else f"{round(100 * difference, 1) + 0.0:+.1f}"


def format_difference(value: Estimate, seeds: int | None = None) -> str:
    """A mean difference in points; says n where it is not the number of seeds.

    Example:
        >>> format_difference(estimate([0.01, 0.02])), format_difference(estimate([]))
        ('+1.5', 'n/a')
        >>> format_difference(estimate([0.01, None]), seeds=2)
        '+1.0 (n = 1)'
    """
    return f"{format_points(value.mean)}{_of_fewer(value, seeds)}" if value.n else "n/a"


def format_interval(value: Estimate) -> str:
    """The interval of a difference in points; n/a with fewer than two seeds.

    Example:
        >>> format_interval(estimate([0.01, 0.02, 0.03])), format_interval(estimate([0.01]))
        ('[-0.5, +4.5]', 'n/a')
    """
    if math.isnan(value.low):
        return "n/a"
    return f"[{format_points(value.low)}, {format_points(value.high)}]"


def _of_fewer(value: Estimate, seeds: int | None) -> str:
    return f" (n = {value.n})" if seeds not in (None, value.n) else ""
