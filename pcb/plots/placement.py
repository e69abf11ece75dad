"""Place names next to the marks of a plot, so that no name covers a mark or another name.

A box is a row (x0, y0, x1, y1) of an array, in any unit. The y axis may point up or down.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from pcb.plots.layout import text_size
from pcb.plots.style import HALO, MUTED
from pcb.plots.text import short

# Distances (in points) and directions from a mark to its name, in order of preference.
_BESIDE = 5  # a name at this distance needs no line to its mark
_DISTANCES = (_BESIDE, 13, 20, 28, 38, 50, 64, 80)
_STRAIGHT = [(1, 0), (0, -1), (0, 1), (-1, 0)]
_OBLIQUE = [(x, y) for x in (1, -1, 0.5, -0.5) for y in (1, -1)]
_DIRECTIONS = np.array([*_STRAIGHT, *_OBLIQUE])


def free_place(candidates: np.ndarray, taken: np.ndarray, inside: Sequence[float]) -> int | None:
    """Find the first candidate box that lies inside a frame and overlaps no occupied box.

    A box is (x0, y0, x1, y1).

    Args:
        candidates: (K, 4) candidate boxes in order of preference.
        taken: (n, 4) occupied boxes.
        inside: (4,) box of the frame.

    Returns:
        The index of the first free candidate, or None if no candidate is free.

    Example:
        >>> candidates = np.array([[0, 0, 2, 1], [2, 0, 4, 1]])
        >>> free_place(candidates, np.array([[1, 0, 2, 1]]), (0, 0, 9, 9))
        1
    """
    candidates, taken = np.asarray(candidates, float), np.asarray(taken, float).reshape(-1, 4)
    within = (candidates[:, :2] >= inside[:2]) & (candidates[:, 2:] <= inside[2:])
    one, other = candidates[:, None], taken[None]
    overlap = (one[..., :2] < other[..., 2:]) & (other[..., :2] < one[..., 2:])
    free = within.all(axis=1) & ~overlap.all(axis=2).any(axis=1)
    return int(free.argmax()) if free.any() else None


def spread(positions: Sequence[float], gap: float) -> np.ndarray:
    """Move positions as little as possible so that they are at least ``gap`` apart.

    The order of the positions does not change.

    Example:
        >>> spread([0.5, 0.0, 0.5], 0.2).round(2).tolist()
        [0.4, 0.0, 0.6]
    """
    order = np.argsort(positions, kind="stable")
    steps = gap * np.arange(len(order))
    # Positions that are too close form a cluster, which keeps its mean.
    clusters: list[list[float]] = []
    for value in np.asarray(positions, dtype=float)[order] - steps:
        clusters.append([value])
        while len(clusters) > 1 and np.mean(clusters[-2]) > np.mean(clusters[-1]):
            clusters[-2:] = [clusters[-2] + clusters[-1]]
    result = np.empty(len(order))
    result[order] = steps + [np.mean(cluster) for cluster in clusters for _ in cluster]
    return result


def name_marks(
    axes,
    names: Mapping[int, str],
    points: np.ndarray,
    radius: float = 4,
    avoid: np.ndarray | None = None,
) -> None:
    """Write names next to some marks of a scatter plot.

    If a name does not fit directly beside its mark, a line connects the name to the mark. If there
    is no free space near the mark, the name is left out. Call this function after everything else
    is drawn, because the axes must have their final size.

    Args:
        axes: Axes with the marks.
        names: Dict from indices of marks to names. All other marks get no name.
        points: (n, 2) positions of all marks in data coordinates. Rows of nan are ignored.
        radius: Radius of a mark, in points.
        avoid: (m, 4) boxes that names must not cover. Each box is (x0, y0, x1, y1) in data
            coordinates.
    """
    axes.figure.draw_without_rendering()
    to_points = 72 / axes.figure.dpi
    frame = axes.bbox.extents * to_points
    centers = axes.transData.transform(points) * to_points
    marks = np.hstack([centers - radius, centers + radius])
    taken = np.empty((0, 4))
    if avoid is not None:
        corners = axes.transData.transform(np.reshape(avoid, (-1, 2))) * to_points
        taken = corners.reshape(-1, 4)
    distances = np.repeat(_DISTANCES, len(_DIRECTIONS))[:, None]
    directions = np.tile(_DIRECTIONS, (len(_DISTANCES), 1))
    # Keep a margin around each name, so that no other mark is as close as the named one.
    margin = np.where(distances == _BESIDE, _BESIDE + 3, 1.5)
    for index, name in names.items():
        look = {"fontsize": text_size(8.5), "color": MUTED, "path_effects": HALO, "zorder": 2}
        look |= {"textcoords": "offset points", "va": "bottom"}
        text = axes.annotate(short(name), points[index], xytext=(0, 0), **look)
        size = np.array(text.get_window_extent().size) * to_points
        text.remove()
        middle = directions * (distances + size / 2)
        offsets = np.hstack([middle - size / 2, middle + size / 2])
        roomy = np.hstack([offsets[:, :2] - margin, offsets[:, 2:] + margin])
        here = np.tile(centers[index], 2)
        others = np.isfinite(marks).all(axis=1) & (np.arange(len(marks)) != index)
        place = free_place(roomy + here, np.vstack([marks[others], taken]), frame)
        if place is None:
            continue
        box = offsets[place]
        if distances[place] > _BESIDE:
            nearest = np.clip(0, box[:2], box[2:])
            look["arrowprops"] = {
                "arrowstyle": "-",
                "color": MUTED,
                "lw": 0.7,
                "shrinkA": 0,
                "shrinkB": radius,
                "relpos": tuple((nearest - box[:2]) / size),
            }
            along = centers[index] + nearest * np.linspace(0, 1, 9)[:, None]
            taken = np.vstack([taken, np.hstack([along, along])])
        axes.annotate(short(name), points[index], xytext=box[:2], **look)
        taken = np.vstack([taken, box + here])
