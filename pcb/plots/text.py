"""Format names and numbers for figures."""

import re
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogFormatter

from pcb.messages.printable import shortened
from pcb.metrics.numbers import format_number
from pcb.plots.layout import is_narrow, text_size


def short(name: str, length: int = 22) -> str:
    """Shorten a class name to at most ``length`` characters.

    In a narrow figure, a ``length`` greater than 14 is treated as 14.

    A number in parentheses at the end of the name, such as "(2)", is kept, because it distinguishes
    classes with the same name.

    Example:
        >>> short("slightly smiling face", 17), short("slightly smiling face (2)", 17)
        ('slightly smiling…', 'slightly smi… (2)')
    """
    length = min(length, 14) if is_narrow() else length
    number = re.search(r" \(\d+\)$", name)
    if len(name) <= length or not number:
        return shortened(name, length)
    return shortened(name[: number.start()], length - len(number[0])) + number[0]


def name_ticks(axes: Axes, names: Sequence[str]) -> None:
    """Label the positions 0, 1, ... of the x axis with class names, written vertically."""
    texts = [short(name) for name in names]
    axes.set_xticks(range(len(texts)), texts, rotation=90, fontsize=text_size(9.5))
    axes.tick_params(axis="x", length=0)


def plain_numbers(axis: Axis) -> None:
    """Write the numbers on a logarithmic axis in decimal form, such as 0.1, 10 and 1000.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> figure, axes = plt.subplots()
        >>> axes.set_yscale("log")
        >>> plain_numbers(axes.yaxis)
        >>> axes.yaxis.get_major_formatter()(1000)
        '1000'
        >>> plt.close(figure)
    """
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    # A short axis, such as one from 20 to 90, has only minor ticks.
    axis.set_minor_formatter(LogFormatter(labelOnlyBase=False))


def number_text(value: float, spec: str) -> str:
    r"""Format a number for a figure, with a real minus sign instead of a hyphen.

    Except for the minus sign, the text is the result of
    :func:`pcb.metrics.numbers.format_number`.

    Example:
        >>> number_text(-0.12, "+.1f") == "\N{MINUS SIGN}0.1"
        True
    """
    return format_number(value, spec).replace("-", "\N{MINUS SIGN}")


def percent(value: float) -> str:
    """Format a probability as a percentage.

    Example:
        >>> percent(0.254), percent(0.0004), percent(0.0), percent(float("nan"))
        ('25%', '<0.1%', '0', 'n/a')
    """
    if np.isnan(value):
        return "n/a"
    if value == 0:
        return "0"
    if value < 0.001:
        return "<0.1%"
    return f"{100 * value:.1f}%" if value < 0.0995 else f"{100 * value:.0f}%"
