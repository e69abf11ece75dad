"""Interactive figure of the confusion between some classes; hovering shows a cell's numbers."""

from collections.abc import Sequence
from functools import partial
from html import escape as escape_html

import numpy as np
import plotly.graph_objects as go
from plotly.io.base_renderers import PlotlyRenderer

from pcb.messages.printable import display_names, printable
from pcb.metrics.groups import GROUP_NAMES, check_groups
from pcb.metrics.matrix import row_shares
from pcb.plots.heatmap import UNDEFINED_COLOR, ZERO_COLOR, light_to_dark
from pcb.plots.raster import check_matrix
from pcb.plots.style import GROUP_COLORS, INK
from pcb.plots.text import short

# Plotly interprets some HTML tags and entities in texts, so escape them. Quotes need no escape.
escape = partial(escape_html, quote=False)

# The colour scale shows the exponent of ten of each share. Shares below 10**SMALLEST have the
# lightest colour, as in the static figures. Zeros are drawn in white, at the exponent ZERO.
SMALLEST, ZERO = -3, -3.2
# Remove plotly's button that uploads the figure; users do not expect an upload from a local page.
CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["sendChartToCloud"]}
CELL, WIDEST = 26, 660  # pixels: size of a cell, and largest size of the matrix


def interactive_confusion(
    matrix: np.ndarray,
    classes: Sequence[int],
    names: Sequence[str],
    frequency: Sequence[str],
    image_count: Sequence[int],
    title: str = "",
    value_label: str = "share of the true class",
) -> go.Figure:
    """Draw the confusion between some classes as an interactive figure.

    Hovering over a cell shows its numbers. JupyterLab needs plotly's extension to show the figure.
    HTML pages exported from a notebook show the figure without a network connection.

    Args:
        matrix: (C, C) confusion matrix, or (C + 1, C + 1) for detections. The figure shows each
            row divided by its sum. For detections, the last row shows detections on background,
            the last column shows missed objects, and hovering also shows counts.
        classes: Labels of the classes to draw, in this order. A figure with more than about 60
            classes is hard to read.
        names: (C,) class names.
        frequency: (C,) frequency group of each class: ``"f"``, ``"c"`` or ``"r"``. The class
            names are coloured by group.
        image_count: (C,) number of training images of each class.
        title: Title of the figure; it should say which matrix is shown.
        value_label: Label of the colour bar; it should say what the numbers mean.

    Returns:
        The plotly figure, which contains one heat map.

    Raises:
        ValueError: If the matrix has the wrong size, ``classes`` is empty, or a label in
            ``classes`` is out of range.

    Example:
        >>> figure = interactive_confusion(np.eye(2), [1], ["cat", "dog"], ["f", "r"], [90, 3])
        >>> print(figure.data[0].text[0][0].replace("<br>", "; "))
        <b>dog</b> predicted as <b>dog</b>; 100% of the true class; true: rare, 3 training images
    """
    classes, names = [int(label) for label in classes], display_names(names)
    groups, matrix = check_groups(frequency), np.asarray(matrix)
    check_matrix(matrix, names, image_count, frequency)
    if not classes:
        raise ValueError("the list of classes is empty: pass at least one class")
    if not 0 <= min(classes) <= max(classes) < len(names):
        raise ValueError(
            f"`classes` must contain only labels in [0, {len(names) - 1}], got {classes}"
        )
    with_background = len(matrix) > len(names)
    places = [*classes, len(names)] if with_background else classes
    shares = row_shares(matrix)
    facts = [_facts(label, groups, image_count) for label in range(len(names))]
    texts = [
        [
            _hover(matrix, shares, true, predicted, names, facts, with_background)
            for predicted in places
        ]
        for true in places
    ]
    rows = [_tick(names[label], groups[label]) for label in classes]
    columns = list(rows)
    if with_background:
        rows, columns = [*rows, "background"], [*columns, "missed"]
    cells = shares[np.ix_(places, places)]
    heatmap = go.Heatmap(
        z=_levels(cells),
        zmin=ZERO,
        zmax=0,
        text=texts,
        hoverinfo="text",
        hoverongaps=True,  # for undefined cells, which have the background colour
        xgap=1,
        ygap=1,
        colorscale=_color_scale(),
        colorbar={
            "title": {"text": escape(printable(value_label)), "side": "right"},
            "tickvals": [(ZERO + SMALLEST) / 2, -2, -1, 0],
            "ticktext": ["0", "1%", "10%", "100%"],
            "len": 0.8,
            "outlinewidth": 1,
        },
    )
    axis = {"tickvals": list(range(len(places))), "showgrid": False, "zeroline": False}
    axis |= {"tickfont": {"size": 11}, "automargin": True}
    side = min(CELL * len(places), WIDEST)
    return _Embedded(
        heatmap,
        go.Layout(
            template="none",
            title={"text": escape(printable(title)), "x": 0.01, "font": {"size": 15, "color": INK}},
            xaxis={
                **axis,
                "ticktext": columns,
                "tickangle": -90,
                "title": _axis_title("predicted class"),
            },
            yaxis={
                **axis,
                "ticktext": rows,
                "autorange": "reversed",
                "title": _axis_title("true class"),
            },
            plot_bgcolor=UNDEFINED_COLOR,
            margin={"l": 60, "b": 60, "t": 50, "r": 20},
            width=max(side + 300, 560),
            height=max(side + 220, 420),
            hoverlabel={"align": "left", "bgcolor": "white"},
        ),
    )


class _Embedded(go.Figure):
    """A plotly figure whose output in a notebook does not depend on plotly's default renderer."""

    def _repr_mimebundle_(self, *_include, **_exclude) -> dict:
        bundle = PlotlyRenderer(config=CONFIG).to_mimebundle(self.to_plotly_json())
        text = "An interactive figure: open the notebook in JupyterLab to see it."
        return {**bundle, "text/plain": text}

    def _ipython_display_(self) -> None:  # IPython tries this method first
        from IPython.display import display

        display(self._repr_mimebundle_(), raw=True)


def _levels(shares: np.ndarray) -> list[list[float]]:
    """Return the decimal logarithm of each share; the cells are coloured by this number.

    A positive share below 0.001 becomes -3. A share of 0 becomes -3.2.

    Example:
        >>> _levels(np.array([[1, 0.01, 1e-5, 0, np.nan]]))
        [[0.0, -2.0, -3.0, -3.2, nan]]
    """
    powers = np.log10(np.maximum(shares, 10.0**SMALLEST))
    return np.where(shares == 0, ZERO, powers).round(3).tolist()


def _color_scale() -> list[list]:
    """Return a plotly colour scale that matches the static figures and shows zeros in white."""
    places = np.linspace((SMALLEST - ZERO) / -ZERO, 1, 12).round(4).tolist()
    colors = [
        f"rgb({r * 255:.0f},{g * 255:.0f},{b * 255:.0f})"
        for r, g, b, _ in light_to_dark()(np.linspace(0, 1, 12))
    ]
    white = [[0.0, ZERO_COLOR], [places[0], ZERO_COLOR]]
    return white + [list(stop) for stop in zip(places, colors, strict=True)]


def _axis_title(text: str) -> dict:
    return {"text": text, "standoff": 12}


def _tick(name: str, group: str) -> str:
    return f'<span style="color:{GROUP_COLORS[group]}">{escape(short(name))}</span>'


def _facts(label: int, groups: Sequence[str], image_count: Sequence[int]) -> str:
    return f"{GROUP_NAMES[groups[label]]}, {int(image_count[label])} training images"


def _hover(matrix, shares, true, predicted, names, facts, counted: bool) -> str:
    """Return the HTML text that appears when the mouse is over a cell of the matrix."""
    background = len(names)
    if true == predicted == background:
        return ""
    number = "n/a" if np.isnan(shares[true, predicted]) else f"{100 * shares[true, predicted]:.3g}%"
    count = f" ({int(matrix[true, predicted])})" if counted else ""
    if true == background:
        name = escape(names[predicted])
        return f"<b>{name}</b> detected on background<br>{number} of such detections{count}"
    name, end = f"<b>{escape(names[true])}</b>", f"<br>true: {facts[true]}"
    if predicted == background:
        return f"{name} missed<br>{number} of the true class{count}{end}"
    text = f"{name} predicted as <b>{escape(names[predicted])}</b><br>"
    text += f"{number} of the true class{count}"
    if true != predicted:
        reverse = shares[predicted, true]
        text += f"<br>reverse direction: {'n/a' if np.isnan(reverse) else f'{100 * reverse:.3g}%'}"
        end += f"<br>predicted: {facts[predicted]}"
    return text + end
