"""Heat maps of confusion matrices and of their differences, for up to 1203 classes (LVIS v1)."""

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
    """Draw a confusion matrix of any size on a logarithmic colour scale.

    Zeros are white, and undefined entries (nan) are grey. Class names are written on the axes if
    they fit and there are at most 60 classes. With more than 500 classes, each pixel shows the
    largest of several adjacent entries. In a large matrix, the background row and column are drawn
    thicker.

    Args:
        matrix: (C, C) confusion matrix, or (C + 1, C + 1) for detections, with background last.
            Rows are true classes, columns are predicted classes.
        names: (C,) class names.
        image_count: (C,) number of training images of each class.
        frequency: (C,) frequency group of each class: ``"f"``, ``"c"`` or ``"r"``. The
            class names are coloured by group. If the names do not fit, coloured strips along the
            axes show the groups.
        order: Order of the classes: ``"frequency"``, ``"cluster"`` (similar classes are adjacent)
            or ``"name"``; see :func:`pcb.metrics.class_order`. Without image counts,
            ``"frequency"`` keeps the order of the labels.
        normalize: ``"row"`` divides each row by its sum, ``"column"`` divides each column by its
            sum, and ``"none"`` keeps the entries.
        title: Title of the figure; it should say whether the matrix was learned during training,
            computed at ground-truth boxes, or computed from detections.
        value_label: Label of the colour bar: the meaning of an entry. The default depends on
            ``normalize``.
        xlabel: Label of the x axis: the meaning of a column.
        ylabel: Label of the y axis: the meaning of a row.
        smallest: Lower end of the colour scale; smaller positive entries have the lightest colour.
            The default for counts is 1. The default for shares is 1e-3, or less if the largest
            entry is below 0.1.

    Returns:
        (figure, axes).

    Raises:
        ValueError: If the matrix is not square, has the wrong size or contains a negative entry, or
            if ``order`` or ``normalize`` is unknown.

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
        raise ValueError(
            f"matrix has a negative entry, {np.nanmin(matrix)}. "
            "To draw the difference of two matrices, use confusion_difference"
        )
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
    # LogNorm masks zeros as well as nan, so draw zeros in a separate white layer on top.
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
    """Draw the difference between two confusion matrices.

    Each row of both matrices is first scaled to sum to 1.

    Entries that grew are red, and entries that shrank are blue. The colour scale is linear for
    changes up to 1 percentage point and logarithmic for larger changes. With more than 500 classes,
    each pixel covers several adjacent entries and shows the change with the largest absolute value.

    Args:
        before, after: Two confusion matrices with the same classes: both (C, C), or both
            (C + 1, C + 1) for detections.
        names, image_count, frequency, order: As in :func:`confusion_heatmap`. The order
            ``"cluster"`` depends only on ``before``.
        title: Title of the figure.
        value_label: Label of the colour bar.

    Returns:
        (figure, axes).

    Raises:
        ValueError: If the matrices differ in shape, are not square or have the wrong size, or if
            ``order`` is unknown.

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
    """Draw the colour bar, with a legend that states how many rows or columns are undefined."""
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
    """Return the default lower end of the colour scale, given the largest entry of the matrix.

    Example:
        >>> [float(_smallest_color(largest)) for largest in (100.0, 0.9, 0.007, 0.0)]
        [1.0, 0.001, 1e-05, 0.001]
    """
    if largest > 1.001:  # allows for the rounding error of a share of 1
        return 1.0
    return min(1e-3, 10.0 ** (np.floor(np.log10(largest)) - 2)) if largest > 0 else 1e-3


def light_to_dark() -> mpl.colors.Colormap:
    """Return a colour map from light to dark. Its lightest colour visibly differs from white."""
    samples = mpl.colormaps["YlGnBu"](np.linspace(0.1, 1.0, 256))
    colors = mpl.colors.ListedColormap(samples, name="light_to_dark")
    return colors.with_extremes(bad=UNDEFINED_COLOR)
