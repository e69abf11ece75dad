"""What all figures share: colours, group names, how text is drawn, and how a figure is saved.

The groups' colours are from Okabe and Ito (https://jfly.uni-koeln.de/color/), the others mostly
from Tol (https://personal.sron.nl/~pault/); all of them stay apart for colour-blind readers. A
frequency group also has a marker of its own, so that figures survive a grey printer.
"""

import functools
import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogFormatter

from pcb.messages.printable import display_names, printable, shortened
from pcb.metrics.matrix import GROUP_NAMES, GROUPS
from pcb.metrics.numbers import format_number
from pcb.plots.fonts import font_families
from pcb.plots.layout import TEXT, narrow, points, printed, text_size
from pcb.storage.files import open_atomically

P = ParamSpec("P")
T = TypeVar("T")

GROUP_COLORS = {"r": "#D55E00", "c": "#009E73", "f": "#0072B2"}
GROUP_MARKERS = {"r": "^", "c": "s", "f": "o"}

INK = "#222222"
MUTED = "#8A8A8A"
FAINT = "#E4E4E4"
# For whatever is no group, and so in no group's colour.
PALETTE = ("#332288", "#999933", "#AA4499", "#DDCC77", "#882255", "#FFAABB", "#663300")

HALO = [withStroke(linewidth=2.5, foreground="white")]  # keeps text readable over marks

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
    # A class named $x$ is no formula. Numbers on logarithmic axes usually are: see plain_numbers.
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
    """Matplotlib with these settings; the user's own are restored afterwards."""
    # Not plt.rc_context: it restores every setting, and with it undoes what a backend that is
    # loaded by the first figure sets. Jupyter would then show that figure and no other.
    before = {key: plt.rcParams[key] for key in values}
    plt.rcParams.update(values)
    try:
        yield
    finally:
        plt.rcParams.update(before)


def styled(function: Callable[P, T]) -> Callable[P, T]:
    """Draw a figure in the kit's style and leave the user's matplotlib settings as they were.

    Whatever the figure is to say is made fit to be drawn first: class names by
    :func:`pcb.messages.printable.display_names`, other text by
    :func:`pcb.messages.printable.printable`, both in fonts that have its letters.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        given = signature.bind(*args, **kwargs)
        for key, value in given.arguments.items():
            named = key == "names" and value is not None
            given.arguments[key] = display_names(value) if named else _printable(value)
        fonts = {"font.family": font_families(_texts(given.arguments))}
        with settings(_scaled(STYLE) | fonts):
            return function(*given.args, **given.kwargs)

    return wrapper


def _scaled(style: Mapping[str, Any]) -> dict[str, Any]:
    """The style with its sizes in points as the layout wants them."""
    scaled = dict(style)
    for key in style:
        if key.endswith("size"):
            scaled[key] = text_size(style[key])
        elif key.endswith("pad"):
            scaled[key] = points(style[key])
    return scaled


def _printable(value: Any) -> Any:
    """The value with its texts printable, also those in lists and mappings; line breaks stay."""
    if isinstance(value, str):
        return printable(value, keep="\n")
    if isinstance(value, Mapping):
        return {_printable(key): _printable(own) for key, own in value.items()}
    return [_printable(own) for own in value] if type(value) in (list, tuple) else value


def _texts(value: Any) -> Iterator[str]:
    """All texts in it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts([*value.keys(), *value.values()])
    elif isinstance(value, list):
        for own in value:
            yield from _texts(own)


def save(figure: Figure, folder: str | os.PathLike, name: str, dpi: int | None = None) -> Path:
    """Write ``figure`` to ``folder/name.png`` and ``folder/name.pdf``; return the PNG's path.

    The folder is made if it is not there. Both files appear, whole, or neither. The same figure
    gives the same bytes: neither holds a date or a version. Text in the PDF stays text.

    Args:
        figure: what to save.
        folder: where.
        name: of both files, without their endings.
        dpi: of the PNG; by default 150, and 300 for a paper, see :func:`use`.

    >>> import tempfile
    >>> figure, axes = plt.subplots()
    >>> path = save(figure, tempfile.mkdtemp(), "empty")
    >>> path.name, path.with_suffix(".pdf").exists()
    ('empty.png', True)
    >>> plt.close(figure)
    """
    dpi = dpi or (300 if printed() else 150)
    png, pdf = (Path(folder) / f"{name}.{ending}" for ending in ("png", "pdf"))
    undated = {"CreationDate": None, "Creator": None, "Producer": None}
    # Both take their names when both are drawn. Type 42 fonts are text that editors can change.
    with open_atomically(png) as raster, open_atomically(pdf) as vector:
        figure.savefig(raster, format="png", dpi=dpi, metadata={"Software": None})
        with settings({"pdf.fonttype": 42}):
            figure.savefig(vector, format="pdf", dpi=dpi, metadata=undated)
    return png


def check_groups(frequency: Sequence[str]) -> list[str]:
    """Return ``frequency`` as a list, or say which value is no frequency group.

    >>> check_groups(["f", "c", "r"])
    ['f', 'c', 'r']
    """
    groups = list(frequency)
    for label, group in enumerate(groups):
        if group not in GROUPS:
            raise ValueError(f"frequency[{label}] must be one of 'r', 'c', 'f', got {group!r}")
    return groups


def by_frequency(image_count: Sequence[float]) -> np.ndarray:
    """Labels from the class with most training images to the one with fewest; ties keep order.

    >>> by_frequency([5, 200, 40]).tolist()
    [1, 2, 0]
    """
    return np.argsort(-np.asarray(image_count, dtype=float), kind="stable")


def legend_mark(label: str, marker: str = "s", **look) -> Line2D:
    """A legend entry that is a marker without a line."""
    return Line2D([], [], linestyle="none", marker=marker, markersize=8, label=label, **look)


def group_handles(frequency: Sequence[str], marker: bool = True) -> list[Line2D]:
    """Legend entries ``frequent (14)``, ``common (16)``, ``rare (10)`` of the groups there are.

    >>> [handle.get_label() for handle in group_handles(["f", "r", "r"])]
    ['frequent (1)', 'rare (2)']
    """
    counts = {group: list(frequency).count(group) for group in GROUPS}
    return [
        legend_mark(
            f"{GROUP_NAMES[group]} ({count})",
            GROUP_MARKERS[group] if marker else "s",
            color=GROUP_COLORS[group],
        )
        for group, count in counts.items()
        if count
    ]


def icon_of(
    icons: Sequence[np.ndarray | None] | Mapping[int, np.ndarray | None] | None, label: int
) -> np.ndarray | None:
    """The picture of a class, of all classes' pictures or of a dict by label; None without one.

    >>> icon_of({3: None}, 3), icon_of({}, 3), icon_of(None, 3)
    (None, None, None)
    """
    if icons is None or isinstance(icons, Mapping):
        return (icons or {}).get(label)
    return icons[label]


def place_icon(
    axes: Axes,
    icon: np.ndarray,
    xy: tuple[float, float],
    size: float = 22,
    offset: tuple[float, float] = (0, 0),
) -> AnnotationBbox:
    """Put a picture (h, w, 3 or 4), its longer side ``size`` points, ``offset`` from ``xy``."""
    box = AnnotationBbox(
        OffsetImage(icon, zoom=size / max(icon.shape[:2]), interpolation="antialiased"),
        xy,
        xybox=offset,
        boxcoords="offset points",
        frameon=False,
        pad=0,
        annotation_clip=False,
    )
    axes.add_artist(box)
    return box


def short(name: str, length: int = 22) -> str:
    """``name``, cut to ``length`` characters, to fewer where the figure is narrow; a number stays.

    >>> short("slightly smiling face", 17), short("slightly smiling face (2)", 17)
    ('slightly smiling…', 'slightly smi… (2)')
    """
    length = min(length, 14) if narrow() else length
    number = re.search(r" \(\d+\)$", name)  # it tells two classes of one name apart
    if len(name) <= length or not number:
        return shortened(name, length)
    return shortened(name[: number.start()], length - len(number[0])) + number[0]


def name_ticks(axes: Axes, names: Sequence[str]) -> None:
    """Write the names of classes under their places 0, 1, ... on the x axis, upright."""
    texts = [short(name) for name in names]
    axes.set_xticks(range(len(texts)), texts, rotation=90, fontsize=text_size(9.5))
    axes.tick_params(axis="x", length=0)


def plain_numbers(axis: Axis) -> None:
    """Write the numbers on a logarithmic axis as 0.1, 10 and 1000.

    >>> figure, axes = plt.subplots()
    >>> axes.set_yscale("log")
    >>> plain_numbers(axes.yaxis)
    >>> axes.yaxis.get_major_formatter()(1000)
    '1000'
    >>> plt.close(figure)
    """
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(LogFormatter(labelOnlyBase=False))  # numbers within one decade


def written(value: float, number_format: str) -> str:
    """Return a number as :func:`pcb.metrics.format_number` does, but with a true minus sign.

    >>> written(0.12, "+.1f"), written(-0.04, "+.1f"), written(float("nan"), ".1f")
    ('+0.1', '0.0', 'n/a')
    """
    return format_number(value, number_format).replace("-", "\N{MINUS SIGN}")


def percent(value: float) -> str:
    """A probability as a percentage.

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


def dots(count: int) -> dict[str, float]:
    """Size and opacity of ``count`` marks in a scatter, such that many do not hide each other.

    >>> dots(40)
    {'s': 48, 'alpha': 0.85}
    """
    many = count > 200
    return {"s": (14 if many else 48) * points(1) ** 2, "alpha": 0.55 if many else 0.85}


def interval_bar(
    axes: Axes, interval: Sequence[float], y: float, limits: Sequence[float], color: Any
) -> None:
    """A level bar from end to end of an interval; an arrow where it goes on beyond the limits.

    >>> figure, axes = plt.subplots()
    >>> interval_bar(axes, (-0.5, 9.0), 0, (-1, 5), INK)
    >>> [line.get_marker() for line in axes.lines], axes.lines[0].get_xdata().tolist()
    (['None', '>'], [-0.5, 5.0])
    >>> plt.close(figure)
    """
    ends = np.clip(interval, *limits)
    axes.plot(ends, [y, y], color=color, lw=2.4, solid_capstyle="butt", zorder=2)
    for wanted, end, arrow in zip(interval, ends, "<>", strict=True):
        if wanted != end:
            axes.plot(end, y, arrow, ms=7, color=color, clip_on=False, zorder=3)


def tint(color: str, share: float) -> tuple[float, float, float]:
    """``color`` mixed with white: share 1 is the colour itself, 0 is white.

    >>> tint("#000000", 0.25)
    (0.75, 0.75, 0.75)
    """
    return tuple(1 - share * (1 - channel) for channel in to_rgb(color))


def ink_on(color: Any) -> str:
    """White, or dark where white would be unreadable on this colour.

    >>> ink_on("#332288"), ink_on("#DDCC77")
    ('white', '#222222')
    """
    return INK if np.dot(to_rgb(color), (0.3, 0.59, 0.11)) > 0.6 else "white"


def tints(count: int) -> np.ndarray:
    """One share for :func:`tint` per run, the last run in full colour.

    >>> tints(2)
    array([0.45, 1.  ])
    """
    return np.linspace(0.45, 1.0, count) if count > 1 else np.ones(1)
