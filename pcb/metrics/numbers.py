"""The names of the LVIS metrics, and functions that format numbers as text."""

import math

from pcb.metrics.seeds import Estimate

AP_NAMES = {"segm": "mask AP", "bbox": "box AP"}
AP_TITLES = {"segm": "Mask AP", "bbox": "Box AP"}
METRICS = (
    *("AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf"),
    *("AR@300", "ARs@300", "ARm@300", "ARl@300"),
)
"""The official LVIS metrics, in the order in which they are reported.

AP is the precision, averaged over classes, over the IoU thresholds 0.50, 0.55, ..., 0.95 and over
101 recall levels. ``s``, ``m`` and ``l`` restrict a metric to small objects (up to 32^2 pixels),
medium objects (up to 96^2 pixels) and large objects. ``r``, ``c`` and ``f`` restrict AP to rare,
common and frequent classes. AR@300 is the mean recall with up to 300 detections per image.
"""


def format_number(value: float, spec: str) -> str:
    """Format a number as text.

    NaN becomes n/a. A number that rounds to zero has no sign.

    Args:
        value: The number, or NaN.
        spec: A format specification such as ``"+.1f"``.

    Example:
        >>> [format_number(value, "+.1f") for value in (0.12, -0.12, -0.04, math.nan)]
        ['+0.1', '-0.1', '0.0', 'n/a']
    """
    if math.isnan(value):
        return "n/a"
    text = format(value, spec)
    return text if float(text) else text.lstrip("+-")


def format_metric(value: float | None) -> str:
    """Format a metric as in papers: in percent with one decimal, or n/a if undefined.

    Example:
        >>> format_metric(0.3014), format_metric(float("nan")), format_metric(None)
        ('30.1', 'n/a', 'n/a')
    """
    return "n/a" if value is None or math.isnan(value) else f"{100 * value:.1f}"


def format_estimate(value: Estimate, seeds: int | None = None) -> str:
    """Format a mean and its standard deviation in percent, as "mean ± deviation".

    With a single seed, the text contains only the mean.

    Args:
        value: The estimate.
        seeds: Expected number of seeds. If the actual number differs, it is appended, for example
            as "(n = 2)".

    Example:
        >>> from pcb.metrics import estimate
        >>> format_estimate(estimate([0.25, 0.27])), format_estimate(estimate([0.25]))
        ('26.0 ± 1.4', '25.0')
        >>> format_estimate(estimate([0.25, 0.27, None]), seeds=3), format_estimate(estimate([]))
        ('26.0 ± 1.4 (n = 2)', 'n/a')
    """
    if not value.n:
        return "n/a"
    std = "" if math.isnan(value.std) else f" ± {100 * value.std:.1f}"
    return f"{100 * value.mean:.1f}{std}{_n_if_fewer(value, seeds)}"


def format_points(difference: float) -> str:
    """Format a difference between two fractions as signed percentage points.

    The result is ``"n/a"`` if the difference is NaN.

    Example:
        >>> format_points(0.0125), format_points(-0.0001), format_points(float("nan"))
        ('+1.2', '0.0', 'n/a')
    """
    return format_number(round(100 * difference, 1), "+.1f")


def format_difference(value: Estimate, seeds: int | None = None) -> str:
    """Format a mean difference in percentage points.

    Args:
        value: The estimate of the difference.
        seeds: Expected number of seeds. If the actual number differs, it is appended, for example
            as "(n = 1)".

    Example:
        >>> from pcb.metrics import estimate
        >>> format_difference(estimate([0.01, 0.02])), format_difference(estimate([]))
        ('+1.5', 'n/a')
        >>> format_difference(estimate([0.01, None]), seeds=2)
        '+1.0 (n = 1)'
    """
    return f"{format_points(value.mean)}{_n_if_fewer(value, seeds)}" if value.n else "n/a"


def format_interval(value: Estimate) -> str:
    """Format the 95% confidence interval of a difference, in percentage points.

    The text is n/a if there are fewer than two seeds.

    Example:
        >>> from pcb.metrics import estimate
        >>> format_interval(estimate([0.01, 0.02, 0.03])), format_interval(estimate([0.01]))
        ('[-0.5, +4.5]', 'n/a')
    """
    if math.isnan(value.low):
        return "n/a"
    return f"[{format_points(value.low)}, {format_points(value.high)}]"


def _n_if_fewer(value: Estimate, seeds: int | None) -> str:
    return f" (n = {value.n})" if seeds not in (None, value.n) else ""
