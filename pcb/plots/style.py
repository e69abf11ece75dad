"""What all figures share: colours, text sizes, group names, and how a figure is saved.

Colours are those of Okabe and Ito, which stay apart for colour-blind readers
(https://jfly.uni-koeln.de/color/). A frequency group also has a marker of its own, so that
figures survive a grey printer.
"""

import functools
import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patheffects import withStroke

GROUPS = ("r", "c", "f")
GROUP_NAMES = {"r": "rare", "c": "common", "f": "frequent"}
GROUP_COLORS = {"r": "#D55E00", "c": "#009E73", "f": "#0072B2"}
GROUP_MARKERS = {"r": "^", "c": "s", "f": "o"}

MOST_NAMES = 60  # with more classes than this their names no longer fit on an axis

INK = "#222222"
MUTED = "#8A8A8A"
FAINT = "#E4E4E4"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")

HALO = [withStroke(linewidth=2.5, foreground="white")]  # keeps text readable over marks

STYLE = {
    "font.size": 11,
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
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.titlesize": 13.5,
    "figure.titleweight": "bold",
    "figure.facecolor": "white",
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
}


def styled(function):
    """Draw a figure in the kit's style and leave the user's matplotlib settings as they were."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        # Not plt.rc_context: it restores every setting, and with it undoes what a backend that is
        # loaded by the first figure sets. Jupyter would then show that figure and no other.
        before = {key: plt.rcParams[key] for key in STYLE}
        plt.rcParams.update(STYLE)
        try:
            return function(*args, **kwargs)
        finally:
            plt.rcParams.update(before)

    return wrapper


def save(figure: Figure, folder: str | os.PathLike, name: str, dpi: int = 150) -> Path:
    """Write ``figure`` to ``folder/name.png`` and return that path.

    The folder is made if it is not there. The file appears whole or not at all.

    >>> import tempfile
    >>> figure, axes = plt.subplots()
    >>> save(figure, tempfile.mkdtemp(), "empty").name
    'empty.png'
    >>> plt.close(figure)
    """
    path = Path(folder) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{name}.{os.getpid()}.png")
    try:
        # A fixed metadata block keeps the bytes free of versions and dates.
        figure.savefig(partial, dpi=dpi, metadata={"Software": None})
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


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
    counts = {group: list(frequency).count(group) for group in reversed(GROUPS)}
    return [
        legend_mark(
            f"{GROUP_NAMES[group]} ({count})",
            GROUP_MARKERS[group] if marker else "s",
            color=GROUP_COLORS[group],
        )
        for group, count in counts.items()
        if count
    ]


def place_icon(axes, icon: np.ndarray, xy, size: float = 22, offset=(0, 0)):
    """Put an icon (h, w, 3 or 4), ``size`` points high, ``offset`` points from ``xy``."""
    box = AnnotationBbox(
        OffsetImage(icon, zoom=size / icon.shape[0], interpolation="antialiased"),
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
    """``name``, cut to ``length`` characters.

    >>> short("slightly smiling face", 17)
    'slightly smiling…'
    """
    return name if len(name) <= length else name[: length - 1].rstrip() + "…"


def name_mark(axes, name: str, xy: tuple[float, float], offset: tuple[float, float], **look):
    """Write a class name beside its mark, ``offset`` points away, quietly."""
    axes.annotate(
        short(name),
        xy,
        xytext=offset,
        textcoords="offset points",
        fontsize=8.5,
        color=MUTED,
        path_effects=HALO,
        zorder=1,  # a name must not hide another mark
        **look,
    )


def tint(color: str, share: float) -> tuple[float, float, float]:
    """``color`` mixed with white: share 1 is the colour itself, 0 is white.

    >>> tint("#000000", 0.25)
    (0.75, 0.75, 0.75)
    """
    return tuple(1 - share * (1 - channel) for channel in to_rgb(color))


def tints(count: int) -> np.ndarray:
    """One share for :func:`tint` per run, the last run in full colour.

    >>> tints(2)
    array([0.45, 1.  ])
    """
    return np.linspace(0.45, 1.0, count) if count > 1 else np.ones(1)
