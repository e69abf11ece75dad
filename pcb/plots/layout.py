"""How figures are laid out: for a screen or for a paper, with titles or without."""

import math
import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

TEXT = 11.0  # points, on a screen
MOST_NAMES = 60  # with more classes than this their names no longer fit on an axis
WIDTHS = {"column": 3.25, "page": 6.875}  # inches, in a paper of two columns, as of CVPR
_NARROW = 5.0  # inches; below, panels stand one above the other, and legends below them
_PRINTED = 8.0 / TEXT  # text of a paper's figure, 8 points, to that on a screen
_SMALLEST = 7.0  # points, of text in print


@dataclass(frozen=True)
class Layout:
    """What :func:`use` sets.

    Attributes:
        width: of figures, in inches; None for as wide as each is best read on a screen.
        titles: whether figures have their titles.
    """

    width: float | None = None
    titles: bool = True


_layout = Layout()


def use(width: str | float | None = None, titles: bool = True) -> AbstractContextManager[Any]:
    """Lay out the figures that are drawn from here on, or in a ``with`` block, for a paper.

    Text is of 7 to 10 points, to be read in print, whatever the width; so include a figure as it
    is, unscaled. Where it does not fit, panels stand one above the other, and names of many classes
    are left out.

    Args:
        width: ``"column"`` (3.25 inches) or ``"page"`` (6.875), as of CVPR, or inches; None or ""
            for figures to be read on a screen.
        titles: False leaves the titles out, which say the run, the data and the measure: that is
            what a caption is for.

    Returns:
        A context manager, to restore what was set before; without ``with`` nothing is restored.

    Raises:
        ValueError: it is no such width.

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
    """A width in inches; the errors of :func:`use`.

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
        raise ValueError(f"width must be 'column', 'page' or inches from 2 to 40, got {width!r}")
    return inches


def printed() -> bool:
    """Whether figures are laid out for a paper."""
    return _layout.width is not None


def narrow() -> bool:
    """Whether figures are as narrow as a column."""
    return _layout.width is not None and _layout.width < _NARROW


def points(length: float) -> float:
    """A length in points as it is on a screen, scaled like the text around it."""
    return length * _PRINTED if printed() else length


def text_size(size: float) -> float:
    """A size of text on a screen, scaled for print, where it stays readable."""
    return max(size * _PRINTED, _SMALLEST) if printed() else size


def canvas(width: float, height: float, lines: bool = False) -> tuple[float, float]:
    """Size of a figure in inches, of that which is best on a screen.

    Args:
        width: on a screen.
        height: on a screen.
        lines: whether the height is that of lines of text, and none may be lost.
    """
    if _layout.width is None:
        return width, height
    squeeze = _PRINTED if lines else math.sqrt(_PRINTED * _layout.width / width)
    return _layout.width, height * squeeze


def columns_of(width: float, most: int) -> int:
    """How many panels, each so wide on a screen in inches, stand side by side."""
    if _layout.width is None:
        return most
    return min(most, max(1, round(_layout.width / (width * _PRINTED))))


def most_names(share: float = 0.85) -> int:
    """How many classes can be named along an axis that is this share of the figure's width."""
    if _layout.width is None:
        return MOST_NAMES
    return min(MOST_NAMES, int(share * _layout.width / (1.15 * _SMALLEST / 72)))


def fitted(text: str, letters: int) -> str:
    """The text on lines of so many letters where the figure is narrow."""
    return textwrap.fill(text, letters) if narrow() else text


def wrapped(title: str, inches: float) -> str:
    """A title broken into lines that fit ``inches``, at the size of titles.

    >>> wrapped("Detections: openmoji/softmax_pcb/seed0 minus openmoji/softmax/seed0", 5)
    'Detections: openmoji/softmax_pcb/seed0 minus\\nopenmoji/softmax/seed0'
    """
    letters = max(20, int(9 * inches / points(1)))
    return textwrap.fill(title, letters, break_long_words=False)


def entitle(
    figure: Figure, title: str | None, axes: Axes | None = None, pad: float | None = None
) -> None:
    """Write a title over the figure, or over its axes, in the lines it needs, if titles are wanted.

    >>> import matplotlib.pyplot as plt
    >>> figure, axes = plt.subplots()
    >>> entitle(figure, "Mask AP", axes)
    >>> axes.get_title()
    'Mask AP'
    >>> plt.close(figure)
    """
    if not (title and _layout.titles):
        return
    if axes is None or narrow():
        figure.suptitle(wrapped(title, figure.get_figwidth()), x=0.01, ha="left")
    else:
        axes.set_title(wrapped(title, 0.85 * figure.get_figwidth()), pad=pad)


def legend_outside(axes: Axes, handles: Sequence[Any] | None = None) -> None:
    """A legend right of the axes, or below everything where the figure is narrow."""
    handles = axes.get_legend_handles_labels()[0] if handles is None else handles
    if not narrow():
        axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.02))
        return
    legend_below(axes.figure, handles)


def legend_below(figure: Figure, handles: Sequence[Any], title: str | None = None) -> None:
    """A legend below everything, in a line or, where the figure is narrow, in two columns."""
    longest = max(len(handle.get_label()) for handle in handles)
    ncols = len(handles) if not narrow() else 1 if longest > 24 else 2
    figure.legend(handles=handles, loc="outside lower center", ncols=ncols, title=title)
