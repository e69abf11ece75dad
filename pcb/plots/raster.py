"""Draw whole confusion matrices as images, with class names and frequency groups."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from pcb.metrics.groups import GROUP_NAMES, check_groups
from pcb.metrics.matrix import class_order
from pcb.plots.layout import (
    add_title,
    canvas,
    legend_below,
    most_names,
    points,
    text_size,
    wrap_if_narrow,
)
from pcb.plots.marks import group_handles
from pcb.plots.style import GROUP_COLORS, INK
from pcb.plots.text import short

MOST_CELLS = 500  # larger matrices are shrunk, because cells smaller than a pixel could disappear


@dataclass(frozen=True)
class Frame:
    """Class names, groups and size of a confusion matrix that is drawn as an image.

    Attributes:
        labels: (C,) class label at each position along the axes.
        with_background: Whether the matrix has a row and a column for background.
        names: Class name at each position; None if the names are unknown or there are too many.
        groups: Frequency group at each position; None if the groups are unknown.
        by_frequency: Whether the classes are ordered by frequency.
    """

    labels: np.ndarray
    with_background: bool
    names: list[str] | None
    groups: np.ndarray | None
    by_frequency: bool

    @classmethod
    def of(cls, matrix, names, image_count, frequency, order: str) -> "Frame":
        """Create an instance for a matrix; the arguments are those of :func:`confusion_heatmap`."""
        matrix = np.asarray(matrix, dtype=float)
        num_classes = check_matrix(matrix, names, image_count, frequency)
        if order == "frequency" and image_count is None:
            labels = np.arange(num_classes)
        else:
            labels = class_order(matrix, order, image_count, names, num_classes)
        named = names is not None and num_classes <= most_names(0.6)
        return cls(
            labels,
            with_background=len(matrix) > num_classes,
            names=[short(names[label]) for label in labels] if named else None,
            groups=None if frequency is None else np.array(check_groups(frequency))[labels],
            by_frequency=order == "frequency",
        )

    @property
    def factor(self) -> int:
        """Number of classes per cell along each axis; 1 if there are at most 500 classes."""
        return -(-len(self.labels) // MOST_CELLS)

    @property
    def edge(self) -> int:
        """Number of classes before the background row and the background column."""
        return -(-len(self.labels) // self.factor) * self.factor

    @property
    def thickness(self) -> int:
        """Thickness of the background row and column, measured in cells."""
        return 1 if self.names is not None else -(-self.edge // (50 * self.factor))

    @property
    def end(self) -> int:
        """Number of classes along each side of the square image."""
        return self.edge + self.with_background * self.thickness * self.factor

    @property
    def spans(self) -> list[tuple[int, int, str]]:
        """Blocks of adjacent classes in the same frequency group, as tuples (start, end, group)."""
        if self.groups is None:
            return []
        starts = np.flatnonzero(np.append(True, self.groups[1:] != self.groups[:-1]))
        ends = np.append(starts[1:], len(self.groups))
        return list(zip(starts.tolist(), ends.tolist(), self.groups[starts], strict=True))

    @property
    def contiguous(self) -> bool:
        """Whether the classes are ordered by frequency, with each group in a single block."""
        return (
            self.groups is not None
            and self.by_frequency
            and len(self.spans) == len(set(self.groups))
        )

    @property
    def names_above(self) -> bool:
        """Whether the names of the frequency groups fit above the image."""
        return self.contiguous and min(end - start for start, end, _ in self.spans) > 0.1 * self.end

    def arrange(self, matrix: np.ndarray) -> np.ndarray:
        """Return the cells to draw.

        The classes are sorted, and a large matrix is shrunk. The background row and column are made
        thick enough to be visible.
        """
        num_classes = len(self.labels)
        places = np.append(self.labels, num_classes) if self.with_background else self.labels
        matrix = matrix[np.ix_(places, places)]
        for axis in (0, 1):
            classes, background = np.split(matrix, [num_classes], axis)
            pooled = _pool_largest(classes, self.factor, axis)
            matrix = np.concatenate([pooled, np.repeat(background, self.thickness, axis)], axis)
        return matrix

    def show(self, axes, cells: np.ndarray, norm: Normalize | None = None, colors=None):
        """Draw the cells of a matrix on the axes, and return matplotlib's image object."""
        extent = (-0.5, self.end - 0.5, self.end - 0.5, -0.5)
        return axes.imshow(cells, norm=norm, cmap=colors, extent=extent, interpolation="nearest")

    def draw(self, xlabel: str, ylabel: str, title: str, normalize: str):
        """Create the figure, and draw everything except the cells of the matrix."""
        side = 7.5 if self.names is None else float(np.clip(0.21 * self.end, 5.5, 10.5))
        size = canvas(side + 1.6, side + 0.8)
        size = (size[0], size[0] * (side + 0.8) / (side + 1.6))  # the matrix is square
        figure, axes = plt.subplots(figsize=size, layout="compressed")
        for spine in axes.spines.values():
            spine.set_visible(True)
        self._name_ticks(axes)
        if self.with_background:
            for line in (axes.axvline, axes.axhline):
                line(self.edge - 0.5, color=INK, lw=1.2)
            xlabel += {
                "none": "",
                "row": "\n(row of background: share of all detections on background)",
                "column": "\n(column of missed: share of all missed objects)",
            }[normalize]
        if self.factor > 1:
            xlabel += f"\n(each pixel: the largest of {self.factor} x {self.factor} entries)"
        if self.groups is not None:
            self._mark_groups(axes, self.groups)
        bare = self.names is None and self.groups is not None and not self.with_background
        xlabel = "\n".join(wrap_if_narrow(line, 36) for line in xlabel.splitlines())
        pad = points(16 if bare else 4)  # if there are no tick labels, leave room for the strip
        axes.set_xlabel(xlabel, labelpad=pad)
        axes.set_ylabel(ylabel, labelpad=pad)
        add_title(figure, title, axes, pad=points(24 if self.names_above else 9))
        return figure, axes

    def _name_ticks(self, axes) -> None:
        """Label both axes with the class names.

        If the matrix has a background row and column, the row is labelled "background" and the
        column "missed".
        """
        names = self.names or []
        places: list[float] = list(range(len(names)))
        if self.with_background:
            places.append((self.edge + self.end - 1) / 2)
        columns = [*names, "missed"][: len(places)]
        rows = [*names, "background"][: len(places)]
        text = {"fontsize": text_size(9.5 if self.names is None or self.end <= 45 else 8)}
        axes.set_xticks(places, columns, rotation=90, **text)
        axes.set_yticks(places, rows, **text)
        below_strip = self.names is None and self.groups is not None
        axes.tick_params(length=0, pad=points(16 if below_strip else 3.5))

    def _mark_groups(self, axes, groups: np.ndarray) -> None:
        """Colour the class names by group, or draw coloured strips if no names are shown."""
        if self.names is not None:
            for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
                for tick, group in zip(ticks, groups, strict=False):
                    tick.set_color(GROUP_COLORS[group])
        else:
            for span in self.spans:
                _strip(axes, *span)
        if self.contiguous:
            for start, _, _ in self.spans[1:]:
                axes.axvline(start - 0.5, color=INK, lw=0.6)
                axes.axhline(start - 0.5, color=INK, lw=0.6)
        if not self.names_above:
            legend_below(axes.figure, group_handles(groups, marker=False))
            return
        for start, end, group in self.spans:
            axes.annotate(
                GROUP_NAMES[group],
                ((start + end - 1) / 2, 1.0),
                xycoords=axes.get_xaxis_transform(),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                va="bottom",
                color=GROUP_COLORS[group],
                fontweight="bold",
                fontsize=text_size(10),
            )


def _strip(axes, start: int, end: int, group: str, width: float = 0.012) -> None:
    """Mark the classes from ``start`` to ``end`` with two strips in the colour of their group.

    One strip is to the left of the rows. The other strip is below the columns.
    """
    look = {"facecolor": GROUP_COLORS[group], "edgecolor": "none", "clip_on": False}
    left, below = axes.get_yaxis_transform(), axes.get_xaxis_transform()
    length = end - start
    axes.add_patch(Rectangle((-2 * width, start - 0.5), width, length, transform=left, **look))
    axes.add_patch(Rectangle((start - 0.5, -2 * width), length, width, transform=below, **look))


def _pool_largest(matrix: np.ndarray, factor: int, axis: int) -> np.ndarray:
    """Replace each block of adjacent entries by the entry with the largest absolute value.

    Each block has ``factor`` entries along ``axis``. A block that contains nan, and
    otherwise only zeros, becomes nan.

    Example:
        >>> nan = np.nan
        >>> _pool_largest(np.array([[1.0, -5.0, 3.0], [nan, 4.0, nan], [0.0, nan, 0]]), 2, 1)
        array([[-5.,  3.],
               [ 4., nan],
               [nan,  0.]])
    """
    matrix = np.moveaxis(matrix, axis, -1)
    missing = -matrix.shape[-1] % factor
    matrix = np.pad(matrix, ((0, 0), (0, missing)), constant_values=0)
    blocks = matrix.reshape(len(matrix), -1, factor)
    smallest = np.nextafter(0, 1)
    largest = np.where(np.isnan(blocks), smallest, np.abs(blocks)).argmax(axis=2)
    pooled = np.take_along_axis(blocks, largest[..., None], axis=2)[..., 0]
    return np.moveaxis(pooled, -1, axis)


def check_matrix(matrix: np.ndarray, names, image_count, frequency) -> int:
    """Check the shape of a confusion matrix, and return the number of classes.

    Raises:
        ValueError: The matrix is empty or not square, or the sizes of the arguments do not match.
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise ValueError(f"matrix must be square and not empty, got shape {matrix.shape}")
    given = [values for values in (names, image_count, frequency) if values is not None]
    num_classes = len(given[0]) if given else len(matrix)
    if any(len(values) != num_classes for values in given):
        lengths = [len(values) for values in given]
        raise ValueError(
            f"names, image_count and frequency must have equal lengths, got lengths {lengths}: "
            "pass one entry for each class"
        )
    if len(matrix) not in (num_classes, num_classes + 1):
        raise ValueError(
            f"matrix must have shape {(num_classes,) * 2}, or shape {(num_classes + 1,) * 2} with "
            f"a background row and column, got shape {matrix.shape}"
        )
    return num_classes
