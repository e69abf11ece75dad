"""What pictures of a whole matrix share: order, groups, background, and cells that can be seen."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from pcb.metrics.matrix import class_order
from pcb.plots.style import (
    GROUP_COLORS,
    GROUP_NAMES,
    INK,
    MOST_NAMES,
    check_groups,
    group_handles,
    short,
    wrapped,
)

MOST_CELLS = 500  # a raster of more cells a side than this is pooled: pixels would swallow cells


@dataclass(frozen=True)
class Frame:
    """Everything of the picture but its cells: order, names, groups, background, labels."""

    labels: np.ndarray  # (C,) class drawn at each place
    size: int  # C, or C + 1 with background
    names: list[str] | None  # of the places
    groups: np.ndarray | None  # of the places
    bordered: bool  # groups are contiguous

    @classmethod
    def of(cls, matrix, names, image_count, frequency, order: str) -> "Frame":
        """The frame of a matrix; arguments and errors are those of ``confusion_heatmap``."""
        matrix = np.asarray(matrix, dtype=float)
        num_classes = _num_classes(matrix, names, image_count, frequency)
        if order == "frequency" and image_count is None:
            labels = np.arange(num_classes)
        else:
            labels = class_order(matrix, order, image_count, names, num_classes)
        size = len(matrix)
        return cls(
            labels,
            size,
            names=[short(names[label]) for label in labels]
            if names is not None and size <= MOST_NAMES + 1
            else None,
            groups=None if frequency is None else np.array(check_groups(frequency))[labels],
            bordered=order == "frequency",
        )

    @property
    def with_background(self) -> bool:
        """Whether the last row and column stand for background."""
        return self.size > len(self.labels)

    @property
    def factor(self) -> int:
        """How many entries a side one cell stands for."""
        return -(-self.size // MOST_CELLS)

    def arranged(self, matrix: np.ndarray) -> np.ndarray:
        """The cells as they are drawn."""
        places = np.append(self.labels, len(self.labels)) if self.with_background else self.labels
        matrix = matrix[np.ix_(places, places)]
        return _pool_largest(matrix, self.factor) if self.factor > 1 else matrix

    def show(self, axes, cells: np.ndarray, norm: Normalize | None = None, colors=None):
        """Draw cells; at the border the last one may reach beyond the matrix, which cuts it off."""
        end = len(cells) * self.factor - 0.5
        extent = (-0.5, end, end, -0.5)
        image = axes.imshow(cells, norm=norm, cmap=colors, extent=extent, interpolation="nearest")
        axes.set_xlim(-0.5, self.size - 0.5)
        axes.set_ylim(self.size - 0.5, -0.5)
        return image

    def draw(self, xlabel: str, ylabel: str, title: str, normalize: str):
        """Figure and axes with all but the cells."""
        side = 7.5 if self.names is None else float(np.clip(0.21 * self.size, 5.5, 10.5))
        figure, axes = plt.subplots(figsize=(side + 1.6, side + 0.8), layout="compressed")
        axes.set_xlim(-0.5, self.size - 0.5)
        axes.set_ylim(self.size - 0.5, -0.5)
        for spine in axes.spines.values():
            spine.set_visible(True)
        if self.with_background:
            for line in (axes.axvline, axes.axhline):
                line(len(self.labels) - 0.5, color=INK, lw=1.2)
            xlabel += "; last column: missed objects"
            ylabel += "; last row: detections on background"
            if normalize != "none":
                xlabel += ", share of all missed" if normalize == "column" else ""
                ylabel += ", share of all of them" if normalize == "row" else ""
        if self.factor > 1:
            xlabel += f"\n(each pixel: the largest of {self.factor} x {self.factor} entries)"
        self._name_ticks(axes)
        if self.groups is not None:
            self._mark_groups(axes)
        pad = 4 if self.names is not None or self.groups is None else 16  # below the strips
        axes.set_xlabel(xlabel, labelpad=pad)
        axes.set_ylabel(ylabel, labelpad=pad)
        above = self.groups is not None and self.bordered  # the names of the groups
        axes.set_title(wrapped(title, side), pad=24 if above else 9)
        return figure, axes

    def _name_ticks(self, axes) -> None:
        """Write class names on both axes, background as what it means on each."""
        if self.names is None:
            axes.set_xticks([])
            axes.set_yticks([])
            return
        text = 9.5 if self.size <= 45 else 8
        columns, rows = self.names, self.names
        if self.with_background:
            columns, rows = [*columns, "missed"], [*rows, "background"]
        axes.set_xticks(range(self.size), columns, rotation=90, fontsize=text)
        axes.set_yticks(range(self.size), rows, fontsize=text)
        axes.tick_params(length=0)

    def _mark_groups(self, axes) -> None:
        """Tick labels, or else a strip along the axes, in the colours of the groups."""
        starts = np.flatnonzero(np.append(True, self.groups[1:] != self.groups[:-1]))
        ends = np.append(starts[1:], len(self.groups))
        spans = list(zip(starts, ends, self.groups[starts], strict=True))
        if self.names is not None:
            for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
                for tick, group in zip(ticks, self.groups, strict=False):
                    tick.set_color(GROUP_COLORS[group])
        else:
            for span in spans:
                _strip(axes, *span)
        if not self.bordered:
            handles = group_handles(self.groups, marker=False)
            axes.figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
            return
        for start, end, group in spans:
            if start:
                axes.axvline(start - 0.5, color=INK, lw=0.6)
                axes.axhline(start - 0.5, color=INK, lw=0.6)
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
                fontsize=10,
            )


def _strip(axes, start: int, end: int, group: str, width: float = 0.012) -> None:
    """A piece of the coloured strips left of the matrix and below it."""
    look = {"facecolor": GROUP_COLORS[group], "edgecolor": "none", "clip_on": False}
    left, below = axes.get_yaxis_transform(), axes.get_xaxis_transform()
    length = end - start
    axes.add_patch(Rectangle((-2 * width, start - 0.5), width, length, transform=left, **look))
    axes.add_patch(Rectangle((start - 0.5, -2 * width), length, width, transform=below, **look))


def _pool_largest(matrix: np.ndarray, factor: int) -> np.ndarray:
    """The entry farthest from 0 of every block of ``factor`` x ``factor``.

    nan is farther than 0, so that rows without instances stay visible among zeros.

    >>> _pool_largest(np.array([[1.0, 2.0, 0.0], [4.0, -5.0, np.nan], [np.nan, 8.0, 9.0]]), 2)
    array([[-5., nan],
           [ 8.,  9.]])
    """
    size = -(-len(matrix) // factor) * factor
    padded = np.zeros((size, size))
    padded[: len(matrix), : len(matrix)] = matrix
    blocks = padded.reshape(size // factor, factor, size // factor, factor)
    blocks = blocks.transpose(0, 2, 1, 3).reshape(size // factor, size // factor, -1)
    smallest = np.nextafter(0, 1)
    largest = np.where(np.isnan(blocks), smallest, np.abs(blocks)).argmax(axis=2)
    return np.take_along_axis(blocks, largest[..., None], axis=2)[..., 0]


def _num_classes(matrix: np.ndarray, names, image_count, frequency) -> int:
    """C, or an error naming what does not fit."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise ValueError(f"matrix must be square, got shape {matrix.shape}")
    given = [values for values in (names, image_count, frequency) if values is not None]
    num_classes = len(given[0]) if given else len(matrix)
    if any(len(values) != num_classes for values in given):
        lengths = [len(values) for values in given]
        raise ValueError(f"names, image_count and frequency differ in length: {lengths}")
    if len(matrix) not in (num_classes, num_classes + 1):
        raise ValueError(
            f"matrix of shape {matrix.shape} does not fit {num_classes} classes: it must have "
            f"{num_classes} rows, or {num_classes + 1} with background"
        )
    return num_classes
