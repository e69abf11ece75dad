"""The style of all figures: colours, matplotlib settings and printable text.

The colours of the frequency groups are from Okabe and Ito (https://jfly.uni-koeln.de/color/), and
most other colours are from Tol (https://personal.sron.nl/~pault/). Colour-blind readers can
distinguish these colours. Each frequency group also has its own marker, so that figures are
readable in greyscale.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patheffects import withStroke

from pcb.messages.printable import display_names, printable
from pcb.plots.fonts import font_families
from pcb.plots.layout import TEXT, points, text_size

P = ParamSpec("P")
T = TypeVar("T")

GROUP_COLORS = {"r": "#D55E00", "c": "#009E73", "f": "#0072B2"}
GROUP_MARKERS = {"r": "^", "c": "s", "f": "o"}

INK = "#222222"
MUTED = "#8A8A8A"
FAINT = "#E4E4E4"
# Colours for everything except frequency groups; only the groups have the colours GROUP_COLORS.
PALETTE = ("#332288", "#999933", "#AA4499", "#DDCC77", "#882255", "#FFAABB", "#663300")

HALO = [withStroke(linewidth=2.5, foreground="white")]  # keeps text readable on top of marks

STYLE = {
    "font.size": TEXT,
    "axes.titlesize": 12.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.labelsize": 11.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "text.color": INK,
    # Draw a class name such as $x$ as text, not as a formula. Matplotlib labels logarithmic axes
    # with formulas, so call `plain_numbers` for these axes.
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.titlesize": 13.5,
    "figure.titleweight": "bold",
    "figure.facecolor": "white",
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
}


@contextmanager
def settings(values: Mapping) -> Iterator[None]:
    """Change matplotlib settings inside a ``with`` block; restore the user's settings after it."""
    # plt.rc_context would restore all settings, including those of the backend. The first figure
    # loads the backend; if its settings were restored, Jupyter would show no further figures.
    before = {key: plt.rcParams[key] for key in values}
    plt.rcParams.update(values)
    try:
        yield
    finally:
        plt.rcParams.update(before)


def with_style(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a drawing function so that its figure has the style of PCB-kit.

    The decorator also escapes control characters in the arguments of the function. The user's
    matplotlib settings do not change.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        given = signature.bind(*args, **kwargs)
        for key, value in given.arguments.items():
            are_names = key == "names" and value is not None
            given.arguments[key] = display_names(value) if are_names else _make_printable(value)
        fonts = {"font.family": font_families(_texts_in(given.arguments))}
        with settings(_scale(STYLE) | fonts):
            return function(*given.args, **given.kwargs)

    return wrapper


def _scale(style: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``style`` with text sizes and paddings scaled for the current figure layout."""
    scaled = dict(style)
    for key in style:
        if key.endswith("size"):
            scaled[key] = text_size(style[key])
        elif key.endswith("pad"):
            scaled[key] = points(style[key])
    return scaled


def _make_printable(value: Any) -> Any:
    """Escape control characters in a string, or in all strings of a list or mapping.

    Line breaks are not escaped. A value of another type, such as a number, is not changed.
    """
    if isinstance(value, str):
        return printable(value, keep="\n")
    if isinstance(value, Mapping):
        return {_make_printable(key): _make_printable(own) for key, own in value.items()}
    return [_make_printable(own) for own in value] if type(value) in (list, tuple) else value


def _texts_in(value: Any) -> Iterator[str]:
    """Yield every string in a value, including strings in nested lists and mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts_in([*value.keys(), *value.values()])
    elif isinstance(value, list):
        for own in value:
            yield from _texts_in(own)


def tint(color: str, share: float) -> tuple[float, float, float]:
    """Mix a colour with white.

    The result is white if ``share`` is 0, and the unmixed colour if ``share`` is 1.

    Example:
        >>> tint("#000000", 0.25)
        (0.75, 0.75, 0.75)
    """
    return tuple(1 - share * (1 - channel) for channel in to_rgb(color))


def tints(count: int) -> np.ndarray:
    """Return increasing colour strengths, one for each of ``count`` training runs in a figure.

    The last strength is 1, which is the full colour. :func:`tint` applies a strength to a colour.

    Example:
        >>> tints(2)
        array([0.45, 1.  ])
    """
    return np.linspace(0.45, 1.0, count) if count > 1 else np.ones(1)


def ink_on(color: Any) -> str:
    """Return the text colour, white or dark, that is readable on the given background colour.

    Example:
        >>> ink_on("#332288"), ink_on("#DDCC77")
        ('white', '#222222')
    """
    return INK if np.dot(to_rgb(color), (0.3, 0.59, 0.11)) > 0.6 else "white"
