"""A confusion matrix as a picture, from a handful of classes to LVIS's 1203; and what changed."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm, Normalize, SymLogNorm
from matplotlib.patches import Patch, Rectangle

from pcb.metrics.matrix import class_order, column_shares, row_shares, share_difference
from pcb.plots.style import (
    GROUP_COLORS,
    GROUP_NAMES,
    INK,
    MOST_NAMES,
    MUTED,
    check_groups,
    group_handles,
    short,
    styled,
    wrapped,
)

ZERO_COLOR = "#FFFFFF"
UNDEFINED_COLOR = "#D9D9D9"
MOST_CELLS = 500  # a raster of more cells a side than this is pooled: pixels would swallow cells
NORMALIZERS = {None: np.asarray, "row": row_shares, "column": column_shares}


@styled
def confusion_heatmap(
    matrix: np.ndarray,
    names: Sequence[str] | None = None,
    image_count: Sequence[int] | None = None,
    frequency: Sequence[str] | None = None,
    order: str = "frequency",
    normalize: str | None = None,
    title: str = "Confusion matrix",
    value_label: str | None = None,
    xlabel: str = "predicted class",
    ylabel: str = "true class",
    smallest: float | None = None,
):
    """A confusion matrix as one raster in logarithmic colours, at any number of classes.

    Zeros are white and undefined rows (nan) grey, both apart from the smallest colour. Up to 60
    classes carry their names; a very large matrix is drawn so that each pixel shows the largest
    entry it covers.

    Args:
        matrix: (C, C), or (C + 1, C + 1) for detections, whose last row and column stand for
            background and stay last. ``[i, j]``: true class i, predicted class j.
        names: (C,) class names.
        image_count: (C,) training images per class.
        frequency: (C,) 'r', 'c' or 'f' per class: borders between groups where classes are ordered
            by frequency, else a strip that colours each class.
        order: ``"frequency"`` (where image counts are given, else that of the labels),
            ``"cluster"`` or ``"name"``; see :func:`pcb.metrics.class_order`.
        normalize: ``"row"`` or ``"column"`` divides each by its sum; None draws it as it is.
        title: which matrix this is: learned, at ground-truth boxes, or of detections.
        value_label: what an entry is, written at the colour bar; by default what ``normalize``
            makes of it.
        xlabel: what a column stands for.
        ylabel: what a row stands for.
        smallest: entries below this share the smallest colour; by default 1e-3, and less for a
            matrix whose largest entry is below 0.1, as that of a sigmoid classifier may be.

    Returns:
        (figure, axes).

    Raises:
        ValueError: the matrix is not square, does not fit the names, or has a negative entry; an
            unknown order or normalisation.

    >>> figure, axes = confusion_heatmap(np.eye(2), ["cat", "dog"], title="learned confusion")
    >>> axes.get_xlabel(), axes.get_ylabel()
    ('predicted class', 'true class')
    >>> plt.close(figure)
    """
    if normalize not in NORMALIZERS:
        raise ValueError(f"normalize must be None, 'row' or 'column', got {normalize!r}")
    frame = _Frame.of(matrix, names, image_count, frequency, order)
    if np.nanmin(matrix, initial=0) < 0:
        raise ValueError(f"matrix has a negative entry, {np.nanmin(matrix)}: pass shares or counts")
    values = NORMALIZERS[normalize](np.asarray(matrix, dtype=float))
    shown = frame.arranged(values)
    figure, axes = frame.draw(xlabel, ylabel, title, normalize)
    largest = np.nanmax(shown, initial=0)
    smallest = _smallest_color(largest) if smallest is None else smallest
    masked = np.ma.masked_invalid(np.where(shown > 0, np.maximum(shown, smallest), shown))
    norm = LogNorm(smallest, max(largest, 10 * smallest))
    image = frame.show(axes, masked, norm, light_to_dark())
    # LogNorm masks zeros together with nan, so zeros get a white layer of their own above.
    white = np.zeros((*shown.shape, 4))
    white[shown == 0] = mpl.colors.to_rgba(ZERO_COLOR)
    frame.show(axes, white)
    legend = [Patch(facecolor=ZERO_COLOR, edgecolor=MUTED, label="0")] if (shown == 0).any() else []
    labels = {
        None: "entry",
        "row": "share of the true class",
        "column": "share of the predicted class",
    }
    _color_bar(axes, image, value_label or labels[normalize], shown, legend, extend="min")
    return figure, axes


@styled
def confusion_difference(
    before: np.ndarray,
    after: np.ndarray,
    names: Sequence[str] | None = None,
    image_count: Sequence[int] | None = None,
    frequency: Sequence[str] | None = None,
    order: str = "frequency",
    title: str = "What changed",
    value_label: str = "change of the share of the true class",
):
    """The row shares of one run minus those of another, on a diverging scale.

    Red cells gained, blue ones lost; the scale is linear up to 1% and logarithmic beyond. A very
    large matrix is drawn so that each pixel shows the largest change it covers.

    Args:
        before, after: two matrices of one kind and of the same classes, (C, C) or (C + 1, C + 1).
        names, image_count, frequency, order: as in :func:`confusion_heatmap`; clusters are those
            of ``before``.
        title: which matrix, and of which runs.
        value_label: written at the colour bar.

    Returns:
        (figure, axes).

    Raises:
        ValueError: the two differ in shape; or as :func:`confusion_heatmap`.

    >>> figure, axes = confusion_difference(np.eye(2), np.ones((2, 2)), ["cat", "dog"])
    >>> axes.get_title(loc="left")
    'What changed'
    >>> plt.close(figure)
    """
    frame = _Frame.of(before, names, image_count, frequency, order)
    shown = frame.arranged(share_difference(before, after))
    figure, axes = frame.draw("predicted class", "true class", title, "row")
    largest = max(np.nanmax(np.abs(shown), initial=0), 0.1)
    norm = SymLogNorm(0.01, vmin=-largest, vmax=largest)
    colors = mpl.colormaps["RdBu_r"].with_extremes(bad=UNDEFINED_COLOR)
    image = frame.show(axes, np.ma.masked_invalid(shown), norm, colors)
    bar = _color_bar(axes, image, value_label, shown)
    ticks = [t for t in (0.01, 0.1, 0.5) if t <= largest]
    bar.set_ticks([-t for t in reversed(ticks)] + [0.0, *ticks])
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:+.0f}%" if value else "0")
    bar.ax.minorticks_off()
    return figure, axes


@dataclass(frozen=True)
class _Frame:
    """Everything of the picture but its cells: order, names, groups, background, labels."""

    labels: np.ndarray  # (C,) class drawn at each place
    size: int  # C, or C + 1 with background
    names: list[str] | None  # of the places
    groups: np.ndarray | None  # of the places
    bordered: bool  # groups are contiguous

    @classmethod
    def of(cls, matrix, names, image_count, frequency, order: str) -> "_Frame":
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

    def draw(self, xlabel: str, ylabel: str, title: str, normalize: str | None):
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
            if normalize:
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


def _color_bar(axes, image, label: str, shown: np.ndarray, legend: Sequence = (), **look):
    """The colour bar, with a legend of what is no colour on it."""
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02, **look)
    bar.set_label(label)
    legend = list(legend)
    if np.isnan(shown).any():
        legend.append(Patch(facecolor=UNDEFINED_COLOR, edgecolor=MUTED, label="n/a"))
    if legend:
        place = {"loc": "upper left", "bbox_to_anchor": (-0.6, -0.06), "handlelength": 1}
        bar.ax.legend(handles=legend, **place)
    return bar


def _pool_largest(matrix: np.ndarray, factor: int) -> np.ndarray:
    """The entry farthest from 0 of every block of ``factor`` x ``factor``; nan only if all are nan.

    >>> _pool_largest(np.array([[1.0, 2.0, 3.0], [4.0, -5.0, 6.0], [7.0, 8.0, 9.0]]), 2)
    array([[-5.,  6.],
           [ 8.,  9.]])
    """
    size = -(-len(matrix) // factor) * factor
    padded = np.full((size, size), np.nan)
    padded[: len(matrix), : len(matrix)] = matrix
    blocks = padded.reshape(size // factor, factor, size // factor, factor)
    blocks = blocks.transpose(0, 2, 1, 3).reshape(size // factor, size // factor, -1)
    largest = np.where(np.isnan(blocks), -1, np.abs(blocks)).argmax(axis=2)
    return np.take_along_axis(blocks, largest[..., None], axis=2)[..., 0]


def _smallest_color(largest: float) -> float:
    """Where the colours begin: two decades below that of the largest entry, at most 1e-3.

    >>> [float(_smallest_color(largest)) for largest in (100.0, 0.9, 0.007, 0.0)]
    [0.001, 0.001, 1e-05, 0.001]
    """
    return min(1e-3, 10.0 ** (np.floor(np.log10(largest)) - 2)) if largest > 0 else 1e-3


def light_to_dark() -> mpl.colors.Colormap:
    """Colours from pale to dark whose palest is still apart from the white of a zero."""
    samples = mpl.colormaps["YlGnBu"](np.linspace(0.1, 1.0, 256))
    colors = mpl.colors.ListedColormap(samples, name="light_to_dark")
    return colors.with_extremes(bad=UNDEFINED_COLOR)


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
