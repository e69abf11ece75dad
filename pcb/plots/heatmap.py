"""A confusion matrix as a picture, from a handful of classes to LVIS's 1203; and what changed."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pcb.metrics.matrix import column_shares, row_shares, share_difference
from pcb.plots.layout import fitted
from pcb.plots.raster import Frame
from pcb.plots.style import MUTED, plain_numbers, styled, written

ZERO_COLOR = "#FFFFFF"
UNDEFINED_COLOR = "#D9D9D9"
NORMALIZERS = {"none": np.asarray, "row": row_shares, "column": column_shares}


@styled
def confusion_heatmap(
    matrix: np.ndarray,
    names: Sequence[str] | None = None,
    image_count: Sequence[int] | None = None,
    frequency: Sequence[str] | None = None,
    order: str = "frequency",
    normalize: str = "none",
    title: str = "Confusion matrix",
    value_label: str | None = None,
    xlabel: str = "predicted class",
    ylabel: str = "true class",
    smallest: float | None = None,
) -> tuple[Figure, Axes]:
    """A confusion matrix as one raster in logarithmic colours, at any number of classes.

    Zeros are white and undefined rows (nan) grey, both apart from the smallest colour. Up to 60
    classes carry their names, fewer in a narrow figure; a very large matrix is drawn so that each
    pixel shows the largest entry it covers, and the row and column of background so broad that they
    are seen.

    Args:
        matrix: (C, C), or (C + 1, C + 1) for detections, whose last row and column stand for
            background and stay last. ``[i, j]``: true class i, predicted class j.
        names: (C,) class names.
        image_count: (C,) training images per class.
        frequency: (C,) 'r', 'c' or 'f' per class, which colours the name of each class, or a strip
            where names do not fit; with borders between the groups where each is contiguous.
        order: ``"frequency"`` (where image counts are given, else that of the labels),
            ``"cluster"`` or ``"name"``; see :func:`pcb.metrics.class_order`.
        normalize: ``"row"`` or ``"column"`` divides each by its sum; ``"none"`` draws it as it is.
        title: which matrix this is: learned, at ground-truth boxes, or of detections.
        value_label: what an entry is, written at the colour bar; by default what ``normalize``
            makes of it.
        xlabel: what a column stands for.
        ylabel: what a row stands for.
        smallest: entries below this share the smallest colour; by default 1e-3, less for a matrix
            whose largest entry is below 0.1, as that of a sigmoid classifier may be, and 1 for
            counts.

    Returns:
        (figure, axes).

    Raises:
        ValueError: the matrix is not square, does not fit the names, or has a negative entry; an
            unknown order or normalisation.

    >>> import matplotlib.pyplot as plt
    >>> figure, axes = confusion_heatmap(np.eye(2), ["cat", "dog"], title="learned confusion")
    >>> axes.get_xlabel(), axes.get_ylabel()
    ('predicted class', 'true class')
    >>> plt.close(figure)
    """
    if normalize not in NORMALIZERS:
        raise ValueError(f"normalize must be 'none', 'row' or 'column', got {normalize!r}")
    frame = Frame.of(matrix, names, image_count, frequency, order)
    if np.nanmin(matrix, initial=0) < 0:
        raise ValueError(f"matrix has a negative entry, {np.nanmin(matrix)}: pass shares or counts")
    values = NORMALIZERS[normalize](np.asarray(matrix, dtype=float))
    shown = frame.arranged(values)
    figure, axes = frame.draw(xlabel, ylabel, title, normalize)
    largest = np.nanmax(shown, initial=0)
    of_objects = normalize == "none" and frame.with_background and largest > 1
    if smallest is None:
        smallest = 1.0 if of_objects else _smallest_color(largest)
    below = "min" if ((shown > 0) & (shown < smallest)).any() else "neither"
    masked = np.ma.masked_invalid(np.where(shown > 0, np.maximum(shown, smallest), shown))
    norm = LogNorm(smallest, max(largest, 10 * smallest))
    image = frame.show(axes, masked, norm, light_to_dark())
    # LogNorm masks zeros together with nan, so zeros get a white layer of their own above.
    white = np.zeros((*shown.shape, 4))
    white[shown == 0] = mpl.colors.to_rgba(ZERO_COLOR)
    frame.show(axes, white)
    legend = [Patch(facecolor=ZERO_COLOR, edgecolor=MUTED, label="0")] if (shown == 0).any() else []
    entry = "objects, or detections on background" if of_objects else "entry"
    labels = {"none": entry, "row": "share of the true class"}
    label = value_label or labels.get(normalize, "share of the predicted class")
    plain_numbers(_color_bar(axes, image, label, values, legend, extend=below).ax.yaxis)
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
) -> tuple[Figure, Axes]:
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

    >>> import matplotlib.pyplot as plt
    >>> figure, axes = confusion_difference(np.eye(2), np.ones((2, 2)), ["cat", "dog"])
    >>> axes.get_title(loc="left")
    'What changed'
    >>> plt.close(figure)
    """
    frame = Frame.of(before, names, image_count, frequency, order)
    change = share_difference(before, after)
    shown = frame.arranged(change)
    figure, axes = frame.draw("predicted class", "true class", title, "row")
    largest = max(np.nanmax(np.abs(shown), initial=0), 0.1)
    norm = SymLogNorm(0.01, vmin=-largest, vmax=largest)
    colors = mpl.colormaps["RdBu_r"].with_extremes(bad=UNDEFINED_COLOR)
    image = frame.show(axes, np.ma.masked_invalid(shown), norm, colors)
    bar = _color_bar(axes, image, value_label, change)
    ticks = [t for t in (0.01, 0.1, 0.5) if t <= largest]
    bar.set_ticks([-t for t in reversed(ticks)] + [0.0, *ticks])
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{written(100 * value, '+.0f')}%")
    bar.ax.minorticks_off()
    return figure, axes


def _color_bar(axes, image, label: str, values: np.ndarray, legend: Sequence = (), **look):
    """The colour bar, with a legend of what is no colour on it; ``values`` are not pooled yet."""
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02, **look)
    bar.set_label(fitted(label, 26))
    legend = list(legend)
    undefined = np.isnan(values)
    if undefined.any():
        count = max(undefined.all(axis=axis).sum() for axis in (0, 1))  # whole rows, or columns
        legend.append(Patch(facecolor=UNDEFINED_COLOR, edgecolor=MUTED, label=f"n/a ({count})"))
    if legend:
        place = {"loc": "upper left", "bbox_to_anchor": (-0.6, -0.06), "handlelength": 1}
        bar.ax.legend(handles=legend, **place)
    return bar


def _smallest_color(largest: float) -> float:
    """Where the colours begin: two decades below that of the largest entry, at most 1e-3.

    Of counts, the largest of which is above 1, they begin at 1.

    >>> [float(_smallest_color(largest)) for largest in (100.0, 0.9, 0.007, 0.0)]
    [1.0, 0.001, 1e-05, 0.001]
    """
    if largest > 1.001:  # not a share that is 1 but for rounding
        return 1.0
    return min(1e-3, 10.0 ** (np.floor(np.log10(largest)) - 2)) if largest > 0 else 1e-3


def light_to_dark() -> mpl.colors.Colormap:
    """Colours from pale to dark whose palest is still apart from the white of a zero."""
    samples = mpl.colormaps["YlGnBu"](np.linspace(0.1, 1.0, 256))
    colors = mpl.colors.ListedColormap(samples, name="light_to_dark")
    return colors.with_extremes(bad=UNDEFINED_COLOR)
