"""Marks used by several figures: legend entries, dots, interval bars and pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from pcb.metrics.groups import GROUP_NAMES, GROUPS
from pcb.plots.layout import points
from pcb.plots.style import GROUP_COLORS, GROUP_MARKERS

Pictures = Sequence[np.ndarray | None] | Mapping[int, np.ndarray | None]
"""Pictures of classes, as a list in label order or as a dict whose keys are class labels.

A picture has the shape (h, w, 3 or 4). The value None means that a class has no picture.
"""


def legend_mark(label: str, marker: str = "s", **look) -> Line2D:
    """Return a legend entry that consists of a marker without a line."""
    return Line2D([], [], linestyle="none", marker=marker, markersize=8, label=label, **look)


def group_handles(frequency: Sequence[str], marker: bool = True) -> list[Line2D]:
    """Return a legend entry for each frequency group that contains classes.

    An entry such as ``frequent (14)`` states the number of classes in the group.

    Example:
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


def dot_style(count: int) -> dict[str, float]:
    """Return the size and the opacity of the dots in a scatter plot with ``count`` dots.

    If there are more than 200 dots, each dot is smaller and more transparent.

    Example:
        >>> dot_style(40)
        {'s': 48, 'alpha': 0.85}
    """
    many = count > 200
    return {"s": (14 if many else 48) * points(1) ** 2, "alpha": 0.55 if many else 0.85}


def interval_bar(
    axes: Axes, interval: Sequence[float], y: float, limits: Sequence[float], color: Any
) -> None:
    """Draw an interval as a horizontal bar, clipped to ``limits``; arrows mark clipped ends.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> figure, axes = plt.subplots()
        >>> interval_bar(axes, (-0.5, 9.0), 0, (-1, 5), "black")
        >>> [line.get_marker() for line in axes.lines], axes.lines[0].get_xdata().tolist()
        (['None', '>'], [-0.5, 5.0])
        >>> plt.close(figure)
    """
    ends = np.clip(interval, *limits)
    axes.plot(ends, [y, y], color=color, lw=2.4, solid_capstyle="butt", zorder=2)
    for wanted, end, arrow in zip(interval, ends, "<>", strict=True):
        if wanted != end:
            axes.plot(end, y, arrow, ms=7, color=color, clip_on=False, zorder=3)


def picture_of(pictures: Pictures | None, label: int) -> np.ndarray | None:
    """Return the picture of a class, or None if there is no picture.

    Example:
        >>> picture_of({3: None}, 3), picture_of({}, 3), picture_of(None, 3)
        (None, None, None)
    """
    if pictures is None or isinstance(pictures, Mapping):
        return (pictures or {}).get(label)
    return pictures[label]


def place_picture(
    axes: Axes,
    picture: np.ndarray,
    xy: tuple[float, float],
    size: float = 22,
    offset: tuple[float, float] = (0, 0),
) -> AnnotationBbox:
    """Draw a small picture on the axes.

    Args:
        axes: Axes to draw on.
        picture: Picture of shape (h, w, 3 or 4).
        xy: Position in data coordinates.
        size: Length of the picture's longer side, in points.
        offset: Horizontal and vertical distance of the picture's centre from ``xy``, in points.
    """
    box = AnnotationBbox(
        OffsetImage(picture, zoom=size / max(picture.shape[:2]), interpolation="antialiased"),
        xy,
        xybox=offset,
        boxcoords="offset points",
        frameon=False,
        pad=0,
        annotation_clip=False,
    )
    axes.add_artist(box)
    return box
