"""A confusion matrix as a picture, from a handful of classes to LVIS's 1203."""

from collections.abc import Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.patches import Patch, Rectangle

from pcb.plots.style import (
    GROUP_COLORS,
    GROUP_NAMES,
    INK,
    MOST_NAMES,
    MUTED,
    by_frequency,
    check_groups,
    short,
    styled,
)

ZERO_COLOR = "#FFFFFF"
UNDEFINED_COLOR = "#D9D9D9"
FEW = 12  # up to this many classes the numbers are written into the cells
MOST_CELLS = 500  # a raster of more cells a side than this is pooled: pixels would swallow cells


def _pool_largest(matrix: np.ndarray, factor: int) -> np.ndarray:
    """The largest entry of every block of ``factor`` x ``factor``; nan only if all are nan.

    >>> _pool_largest(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]), 2)
    array([[5., 6.],
           [8., 9.]])
    """
    size = -(-len(matrix) // factor) * factor
    padded = np.full((size, size), -np.inf)
    padded[: len(matrix), : len(matrix)] = np.where(np.isnan(matrix), -np.inf, matrix)
    blocks = padded.reshape(size // factor, factor, size // factor, factor).max(axis=(1, 3))
    return np.where(np.isneginf(blocks), np.nan, blocks)


@styled
def confusion_heatmap(
    matrix: np.ndarray,
    names: Sequence[str] | None = None,
    image_count: Sequence[int] | None = None,
    frequency: Sequence[str] | None = None,
    title: str = "Confusion matrix",
    value_label: str = "share of the true class",
    xlabel: str = "predicted class",
    ylabel: str = "true class",
    smallest: float | None = None,
):
    """A confusion matrix in logarithmic colours, ordered by training frequency.

    Zeros are white and undefined rows (nan) grey, both apart from the smallest colour. Up to 60
    classes carry their names, up to 12 their numbers; a very large matrix is drawn so that each
    pixel shows the largest entry it covers.

    Args:
        matrix: (C, C), or (C + 1, C + 1) for detections, whose last row and column stand for
            background and stay last. ``[i, j]``: true class i, predicted class j.
        names: (C,) class names.
        image_count: (C,) training images per class; None keeps the order of the labels.
        frequency: (C,) 'r', 'c' or 'f' per class; draws a thin line between groups. Groups are
            thresholds on ``image_count``, so they are contiguous when ordered by it.
        title: which matrix this is: learned on training RoIs, or measured on detections.
        value_label: what an entry is, written at the colour bar.
        xlabel: what a column stands for.
        ylabel: what a row stands for.
        smallest: entries below this share the smallest colour; by default 1e-3, and less for a
            matrix whose largest entry is below 0.1, as that of a sigmoid classifier may be.

    Returns:
        (figure, axes).

    Raises:
        ValueError: the matrix is not square, does not fit the names, or has a negative entry.

    >>> figure, axes = confusion_heatmap(np.eye(2), ["cat", "dog"], title="learned confusion")
    >>> axes.get_xlabel(), axes.get_ylabel()
    ('predicted class', 'true class')
    >>> plt.close(figure)
    """
    matrix, num_classes = _checked(matrix, names, image_count, frequency)
    order = np.arange(num_classes) if image_count is None else by_frequency(image_count)
    with_background = len(matrix) > num_classes
    full_order = np.append(order, num_classes) if with_background else order
    matrix = matrix[np.ix_(full_order, full_order)]
    size = len(matrix)
    factor = -(-size // MOST_CELLS)
    shown = _pool_largest(matrix, factor) if factor > 1 else matrix
    named = names is not None and size <= MOST_NAMES + 1

    side = float(np.clip(0.21 * size, 5.5, 10.5)) if named else 7.5
    size_in_inches = (side + 1.6, side + 0.8)
    figure, axes = plt.subplots(figsize=size_in_inches, layout="compressed")
    largest = np.nanmax(shown, initial=0)
    smallest = _smallest_color(largest) if smallest is None else smallest
    colors = _light_to_dark().with_extremes(bad=UNDEFINED_COLOR)
    masked = np.ma.masked_invalid(np.where(shown > 0, np.maximum(shown, smallest), shown))
    norm = LogNorm(smallest, max(largest, 10 * smallest))
    # LogNorm masks zeros together with nan, so zeros get a white layer of their own above.
    end = shown.shape[0] * factor - 0.5
    extent = (-0.5, end, end, -0.5)
    image = axes.imshow(masked, norm=norm, cmap=colors, extent=extent, interpolation="nearest")
    white = np.zeros((*shown.shape, 4))
    white[shown == 0] = mpl.colors.to_rgba(ZERO_COLOR)
    axes.imshow(white, extent=extent, interpolation="nearest")
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    for spine in axes.spines.values():
        spine.set_visible(True)

    if with_background:
        for line in (axes.axvline, axes.axhline):
            line(num_classes - 0.5, color=INK, lw=1.2)
    if named:
        labels = [short(names[label]) for label in order]
        _name_ticks(axes, labels, with_background)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    if frequency is not None:
        _mark_groups(axes, np.array(check_groups(frequency))[order], named)
    if size <= FEW + 1:
        _write_values(axes, matrix, norm)
    bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02, extend="min")
    bar.set_label(value_label)
    legend = [Patch(facecolor=ZERO_COLOR, edgecolor=MUTED, label="0")] if (shown == 0).any() else []
    if np.isnan(shown).any():
        legend.append(Patch(facecolor=UNDEFINED_COLOR, edgecolor=MUTED, label="n/a"))
    if legend:
        bar.ax.legend(
            handles=legend, loc="upper left", bbox_to_anchor=(-0.6, -0.06), handlelength=1
        )
    axes.set_xlabel(xlabel, labelpad=4 if named else 16)  # below the strips of the groups
    axes.set_ylabel(ylabel, labelpad=4 if named else 16)
    note = f"\n(each pixel: the largest of {factor} x {factor} entries)" if factor > 1 else ""
    axes.set_title(title + note, pad=9 if frequency is None else 24)  # above the groups' names
    return figure, axes


def _smallest_color(largest: float) -> float:
    """Where the colours begin: two decades below that of the largest entry, at most 1e-3.

    >>> [float(_smallest_color(largest)) for largest in (100.0, 0.9, 0.007, 0.0)]
    [0.001, 0.001, 1e-05, 0.001]
    """
    return min(1e-3, 10.0 ** (np.floor(np.log10(largest)) - 2)) if largest > 0 else 1e-3


def _light_to_dark() -> mpl.colors.Colormap:
    """Colours from pale to dark whose palest is still apart from the white of a zero."""
    samples = mpl.colormaps["YlGnBu"](np.linspace(0.1, 1.0, 256))
    return mpl.colors.ListedColormap(samples, name="light_to_dark")


def _checked(matrix, names, image_count, frequency) -> tuple[np.ndarray, int]:
    """The matrix as floats and its number of classes, or an error naming what does not fit."""
    matrix = np.asarray(matrix, dtype=float)
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
    if np.nanmin(matrix, initial=0) < 0:
        raise ValueError(f"matrix has a negative entry, {np.nanmin(matrix)}: pass shares or counts")
    return matrix, num_classes


def _name_ticks(axes, labels: list[str], with_background: bool) -> None:
    """Write class names on both axes, background as what it means on each."""
    text = 9.5 if len(labels) <= 45 else 8
    columns = [*labels, "missed"] if with_background else labels
    rows = [*labels, "background"] if with_background else labels
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=text)
    axes.set_yticks(range(len(rows)), rows, fontsize=text)
    axes.tick_params(length=0)


def _mark_groups(axes, groups: np.ndarray, named: bool) -> None:
    """Thin lines between groups; tick labels, or else a strip along the axes, in their colour."""
    starts = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
    ends = np.append(starts[1:], len(groups))
    for start, end in zip(starts, ends, strict=True):
        group = groups[start]
        color = GROUP_COLORS[group]
        if start:
            axes.axvline(start - 0.5, color=INK, lw=0.6)
            axes.axhline(start - 0.5, color=INK, lw=0.6)
        if named:
            for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
                for tick in ticks[start:end]:
                    tick.set_color(color)
        else:
            strip = {"facecolor": color, "edgecolor": "none", "clip_on": False}
            width = 0.012
            axes.add_patch(
                Rectangle(
                    (-2 * width, start - 0.5),
                    width,
                    end - start,
                    transform=axes.get_yaxis_transform(),
                    **strip,
                )
            )
            axes.add_patch(
                Rectangle(
                    (start - 0.5, -2 * width),
                    end - start,
                    width,
                    transform=axes.get_xaxis_transform(),
                    **strip,
                )
            )
    # Names of the groups above the matrix, where they do not collide with class names.
    for start, end in zip(starts, ends, strict=True):
        axes.annotate(
            GROUP_NAMES[groups[start]],
            ((start + end - 1) / 2, 1.0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            color=GROUP_COLORS[groups[start]],
            fontweight="bold",
            fontsize=10,
        )


def _write_values(axes, matrix: np.ndarray, norm: LogNorm) -> None:
    """Write each entry into its cell, light on dark and dark on light."""
    for (row, column), value in np.ndenumerate(matrix):
        dark = value > 0 and norm(value) > 0.5
        axes.text(
            column,
            row,
            _written(value),
            ha="center",
            va="center",
            fontsize=9,
            color="white" if dark else INK,
        )


def _written(value: float) -> str:
    """An entry in at most four characters.

    >>> [_written(value) for value in (0.0, 0.004, 0.25, 120.0, float("nan"))]
    ['0', '<.01', '0.25', '120', 'n/a']
    """
    if np.isnan(value):
        return "n/a"
    if value == 0 or value >= 10:
        return f"{value:.0f}"
    return f"{value:.2f}" if value >= 0.005 else "<.01"
