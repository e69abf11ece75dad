"""A confusion matrix, or its change, as an image; from a few classes to the 1203 of LVIS."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pcb.metrics.matrix import column_shares, row_shares, share_difference
from pcb.plots.layout import wrap_if_narrow
from pcb.plots.raster import Frame
from pcb.plots.style import MUTED, with_style
from pcb.plots.text import number_text, plain_numbers

ZERO_COLOR = "#FFFFFF"
UNDEFINED_COLOR = "#D9D9D9"
NORMALIZERS = {"none": np.asarray, "row": row_shares, "column": column_shares}


@with_style
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
    """Draw a confusion matrix of any size with logarithmic colours.

    Zeros are white and undefined rows (nan) grey; both differ from the lightest colour. Up to 60
    classes have their names on the axes (fewer in a narrow figure). In a very large matrix, each
    pixel shows the largest entry it covers, and the row and column of background are widened so
    that they are visible.

    Args:
        matrix: (C, C), or (C + 1, C + 1) for detections, with background last. ``matrix[i, j]``:
            true class i predicted as class j.
        names: (C,) class names.
        image_count: (C,) number of training images of each class.
        frequency: (C,) ``"f"``, ``"c"`` or ``"r"`` for each class; colours the class names, or
            strips along the axes if the names do not fit. Lines separate groups that are
            contiguous.
        order: ``"frequency"`` (the order of labels if there are no image counts), ``"cluster"`` or
            ``"name"``; see :func:`pcb.metrics.class_order`.
        normalize: ``"row"`` or ``"column"`` divides each by its sum; ``"none"`` keeps the entries.
        title: title of the figure; should say if the matrix is learned, at ground-truth boxes, or
            of detections.
        value_label: meaning of an entry, written at the colour bar; default: depends on
            ``normalize``.
        xlabel: meaning of a column.
        ylabel: meaning of a row.
        smallest: entries below this value have the lightest colour. Default: 1e-3; less if the
            largest entry is below 0.1, as with sigmoid classifiers; 1 for counts.

    Returns:
        (figure, axes).

    Raises:
        ValueError: if the matrix is not square, has the wrong size or a negative entry, or the
            order or normalisation is unknown.

    Example:
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
    shown = frame.arrange(values)
    figure, axes = frame.draw(xlabel, ylabel, title, normalize)
    largest = np.nanmax(shown, initial=0)
    are_counts = normalize == "none" and frame.with_background and largest > 1
    if smallest is None:
        smallest = 1.0 if are_counts else _smallest_color(largest)
    below = "min" if ((shown > 0) & (shown < smallest)).any() else "neither"
    masked = np.ma.masked_invalid(np.where(shown > 0, np.maximum(shown, smallest), shown))
    norm = LogNorm(smallest, max(largest, 10 * smallest))
    image = frame.show(axes, masked, norm, light_to_dark())
    # LogNorm masks zeros along with nan, so draw zeros in a separate white layer on top.
    white = np.zeros((*shown.shape, 4))
    white[shown == 0] = mpl.colors.to_rgba(ZERO_COLOR)
    frame.show(axes, white)
    legend = [Patch(facecolor=ZERO_COLOR, edgecolor=MUTED, label="0")] if (shown == 0).any() else []
    entry = "objects, or detections on background" if are_counts else "entry"
    labels = {"none": entry, "row": "share of the true class"}
    label = value_label or labels.get(normalize, "share of the predicted class")
    plain_numbers(_color_bar(axes, image, label, values, legend, extend=below).ax.yaxis)
    return figure, axes


@with_style
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
    """Draw the row shares of one run minus those of another, on a diverging scale.

    Red cells gained, blue cells lost. The scale is linear up to 1% and logarithmic beyond. In a
    very large matrix, each pixel shows the largest change it covers.

    Args:
        before, after: two matrices of the same kind and classes, (C, C) or (C + 1, C + 1).
        names, image_count, frequency, order: as in :func:`confusion_heatmap`; clusters are computed
            from ``before``.
        title: title of the figure; should name the matrix and the runs.
        value_label: label of the colour bar.

    Returns:
        (figure, axes).

    Raises:
        ValueError: if the matrices differ in shape, or as in :func:`confusion_heatmap`.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> figure, axes = confusion_difference(np.eye(2), np.ones((2, 2)), ["cat", "dog"])
        >>> axes.get_title(loc="left")
        'What changed'
        >>> plt.close(figure)
    """
    frame = Frame.of(before, names, image_count, frequency, order)
    change = share_difference(before, after)
    shown = frame.arrange(change)
    figure, axes = frame.draw("predicted class", "true class", title, "row")
    largest = max(np.nanmax(np.abs(shown), initial=0), 0.1)
    norm = SymLogNorm(0.01, vmin=-largest, vmax=largest)
    colors = mpl.colormaps["RdBu_r"].with_extremes(bad=UNDEFINED_COLOR)
    image = frame.show(axes, np.ma.masked_invalid(shown), norm, colors)
    bar = _color_bar(axes, image, value_label, change)
    ticks = [t for t in (0.01, 0.1, 0.5) if t <= largest]
    bar.set_ticks([-t for t in reversed(ticks)] + [0.0, *ticks])
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{number_text(100 * value, '+.0f')}%")
    bar.ax.minorticks_off()
    return figure, axes


def _color_bar(axes, image, label: str, values: np.ndarray, legend: Sequence = (), **look):
    """Draw the colour bar, with a legend for zeros and undefined cells of ``values`` (unpooled)."""
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02, **look)
    bar.set_label(wrap_if_narrow(label, 26))
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
    """Return where the colour scale begins: two decades below the largest entry, at most 1e-3.

    For counts, which are above 1, the scale begins at 1.

    Example:
        >>> [float(_smallest_color(largest)) for largest in (100.0, 0.9, 0.007, 0.0)]
        [1.0, 0.001, 1e-05, 0.001]
    """
    if largest > 1.001:  # tolerates the rounding error of a share of 1
        return 1.0
    return min(1e-3, 10.0 ** (np.floor(np.log10(largest)) - 2)) if largest > 0 else 1e-3


def light_to_dark() -> mpl.colors.Colormap:
    """Return a colour map from light to dark, whose lightest colour differs from white."""
    samples = mpl.colormaps["YlGnBu"](np.linspace(0.1, 1.0, 256))
    colors = mpl.colors.ListedColormap(samples, name="light_to_dark")
    return colors.with_extremes(bad=UNDEFINED_COLOR)
