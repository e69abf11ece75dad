"""Layout of figures for a screen or a paper, with or without titles."""

import math
import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

TEXT = 11.0  # points, on a screen
MOST_NAMES = 60  # largest number of class names that fit along an axis
WIDTHS = {"column": 3.25, "page": 6.875}  # inches, in a two-column paper such as those of CVPR
_PAGE = 8.875  # inches, height of the text on a page of such a paper
_NARROW = 5.0  # inches; narrower figures have stacked panels, and a legend below the axes
_PRINT_SCALE = 8.0 / TEXT  # in print, text has 8 points
_SMALLEST = 7.0  # points, the smallest text in print


@dataclass(frozen=True)
class Layout:
    """Layout settings chosen with :func:`use`.

    Attributes:
        width: Width of all figures in inches; None to use the best width for a screen.
        titles: Whether figures have titles.
    """

    width: float | None = None
    titles: bool = True


_layout = Layout()


def use(width: str | float | None = None, titles: bool = True) -> AbstractContextManager[Any]:
    """Set the layout of all figures that are drawn after this call.

    Figures for a paper have text of 7 to 10 points at any figure width. Do not scale the figures
    in the paper. In a narrow figure, panels are stacked, and class names that do not fit are left
    out.

    Args:
        width: ``"column"`` (3.25 inches) or ``"page"`` (6.875 inches), as in a CVPR paper, or a
            number of inches. Pass None or ``""`` for figures on a screen.
        titles: Whether to draw titles, which name the training run, the data and the metric.

    Returns:
        A context manager that restores the previous layout at the end of a ``with`` block. Without
        a ``with`` block, the new layout stays in effect.

    Raises:
        ValueError: If ``width`` or ``titles`` is invalid.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> from pcb import plots
        >>> with plots.use(width="column", titles=False):
        ...     figure, axes = plots.ap_by_group({"softmax": {"AP": 0.3}})
        >>> float(figure.get_figwidth()), axes.get_title(loc="left")
        (3.25, '')
        >>> plt.close(figure)
    """
    global _layout
    if not isinstance(titles, bool):
        raise ValueError(f"titles must be True or False, got {titles!r}")
    before, _layout = _layout, Layout(_inches(width), titles)
    restoring = ExitStack()
    restoring.callback(_restore, before)
    return restoring


def _restore(layout: Layout) -> None:
    global _layout
    _layout = layout


def _inches(width: str | float | None) -> float | None:
    """Convert the ``width`` argument of :func:`use` to inches; None and ``""`` become None.

    Raises:
        ValueError: The argument is invalid.

    Example:
        >>> _inches("page"), _inches("5.5"), _inches("")
        (6.875, 5.5, None)
    """
    if width is None or width == "":
        return None
    try:
        inches = WIDTHS.get(str(width)) or float(width)
    except (TypeError, ValueError):
        inches = math.nan
    if isinstance(width, bool) or not 2 <= inches <= 40:
        raise ValueError(
            f"width must be 'column', 'page' or a number of inches from 2 to 40, got {width!r}"
        )
    return inches


def is_for_print() -> bool:
    """Return whether the current layout is for a paper instead of a screen."""
    return _layout.width is not None


def is_narrow() -> bool:
    """Return whether figures in the current layout are narrow (less than 5 inches wide)."""
    return _layout.width is not None and _layout.width < _NARROW


def points(length: float) -> float:
    """Convert a length from the screen layout to the current layout.

    Both lengths are in points. In a layout for a paper, lengths shrink in proportion to the text.
    """
    return length * _PRINT_SCALE if is_for_print() else length


def text_size(size: float) -> float:
    """Convert a text size from the screen layout to the current layout.

    Both sizes are in points. In a layout for a paper, the result is at least 7 points.
    """
    return max(size * _PRINT_SCALE, _SMALLEST) if is_for_print() else size


def canvas(width: float, height: float, lines: bool = False) -> tuple[float, float]:
    """Convert the size of a figure from the screen layout to the current layout.

    Args:
        width: Width in the screen layout, in inches.
        height: Height in the screen layout, in inches.
        lines: Whether to scale the height like the text. Pass True if the figure contains many
            lines of text, such as class names.

    Returns:
        The width and the height in inches.
    """
    if _layout.width is None:
        return width, height
    squeeze = _PRINT_SCALE if lines else math.sqrt(_PRINT_SCALE * _layout.width / width)
    return _layout.width, height * squeeze


def fit_panels(height: float, rows: int, rest: float) -> float:
    """Limit the height of a panel so that all rows of panels fit on one page of a paper.

    All heights are in inches, and refer to the screen layout.

    Args:
        height: Preferred height of a panel.
        rows: Number of rows of panels.
        rest: Height of the rest of the figure.

    Returns:
        The height of a panel; at most ``height``.
    """
    if _layout.width is None:
        return height
    return min(height, (_PAGE / _PRINT_SCALE - rest) / rows)


def fit_columns(width: float, most: int) -> int:
    """Return how many panels fit side by side in the current layout.

    Args:
        width: Width of a panel in the screen layout, in inches.
        most: Maximum number of panels side by side.
    """
    if _layout.width is None:
        return most
    return min(most, max(1, round(_layout.width / (width * _PRINT_SCALE))))


def most_names(share: float = 0.85) -> int:
    """Return how many class names fit along an axis.

    Args:
        share: Length of the axis as a fraction of the figure's width.
    """
    if _layout.width is None:
        return MOST_NAMES
    return min(MOST_NAMES, int(share * _layout.width / (1.15 * _SMALLEST / 72)))


def wrap_if_narrow(text: str, letters: int) -> str:
    """In a narrow layout, break a text into lines of at most ``letters`` characters."""
    return textwrap.fill(text, letters) if is_narrow() else text


def wrap_title(title: str, inches: float) -> str:
    """Break a title into lines that are at most ``inches`` wide.

    Example:
        >>> wrap_title("Detections: openmoji/softmax_pcb/seed0 minus openmoji/softmax/seed0", 5)
        'Detections: openmoji/softmax_pcb/seed0 minus\\nopenmoji/softmax/seed0'
    """
    letters = max(20, int(9 * inches / points(1)))
    return textwrap.fill(title, letters, break_long_words=False)


def add_title(
    figure: Figure, title: str | None, axes: Axes | None = None, pad: float | None = None
) -> None:
    """Write a title above ``axes``, or above the whole figure.

    The title is above the whole figure if ``axes`` is None or the figure is narrow. Nothing is
    written if the title is empty, or if :func:`use` has turned titles off.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> figure, axes = plt.subplots()
        >>> add_title(figure, "Mask AP", axes)
        >>> axes.get_title()
        'Mask AP'
        >>> plt.close(figure)
    """
    if not (title and _layout.titles):
        return
    if axes is None or is_narrow():
        figure.suptitle(wrap_title(title, figure.get_figwidth()), x=0.01, ha="left")
    else:
        axes.set_title(wrap_title(title, 0.85 * figure.get_figwidth()), pad=pad)


def legend_outside(axes: Axes, handles: Sequence[Any] | None = None) -> None:
    """Draw a legend to the right of the axes or, if the figure is narrow, below the figure."""
    handles = axes.get_legend_handles_labels()[0] if handles is None else handles
    if not is_narrow():
        axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.02))
        return
    legend_below(axes.figure, handles)


def legend_below(figure: Figure, handles: Sequence[Any], title: str | None = None) -> None:
    """Draw a legend below the figure.

    The legend has a single row or, in a narrow figure, one or two columns.
    """
    longest = max(len(handle.get_label()) for handle in handles)
    ncols = len(handles) if not is_narrow() else 1 if longest > 24 else 2
    figure.legend(handles=handles, loc="outside lower center", ncols=ncols, title=title)
