"""Export an executed notebook as a single HTML file that needs no network and no other file.

Code is folded, and static figures are embedded. Interactive figures are drawn by plotly.js; a page
with interactive figures contains one copy of plotly.js. Equations are written as MathML, because
browsers display MathML without a script.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import CoalesceStreamsPreprocessor, Preprocessor

from pcb.messages.printable import shortened
from pcb.storage.files import write_atomically

TEMPLATE = "folded"  # readers want the text and figures; they can unfold the code
PLOTLY = "application/vnd.plotly.v1+json"
LONGEST_OUTPUT = 100_000  # maximum number of characters of one output on a page
MOST_TEXT = 4_000_000  # maximum number of characters of all outputs, without figures
LONGEST_LABEL = 600  # maximum number of characters of one text in an interactive figure

# Unpacks plotly.js and runs it; figures wait for `plotlyReady`.
_UNPACK = """\
window.plotlyReady = (async () => {
  const packed = Uint8Array.from(atob("%s"), c => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.text = await new Response(stream).text();
  document.head.append(script);
})();
"""
_FIGURE = """\
<div id="{name}">This interactive figure needs JavaScript and a browser from 2023 or later.</div>
<script>
plotlyReady.then(() => {{
  document.getElementById("{name}").textContent = "";
  Plotly.newPlot("{name}", {data}, {layout}, {config});
}});
</script>
"""


def export_page(executed: str | os.PathLike[str], page: str | os.PathLike[str]) -> None:
    """Write an executed notebook as one HTML file with folded code.

    Args:
        executed: Path of the executed notebook.
        page: Path of the HTML file to write.
    """
    exporter = PageExporter(
        extra_template_basedirs=[str(Path(__file__).with_name("templates"))],
        template_name=TEMPLATE,
        preprocessors=[
            CoalesceStreamsPreprocessor,  # a progress bar is one output instead of hundreds
            ShortOutputs,
            InteractiveFigures,
            StaticFigures,
        ],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    html, _ = exporter.from_filename(str(executed))
    write_atomically(page, html.encode(errors="backslashreplace"))  # surrogates cannot be encoded


class PageExporter(HTMLExporter):
    """nbconvert's HTML exporter, changed to write equations as MathML."""

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        """Convert Markdown to HTML. nbconvert's templates call this method as a filter."""
        return MarkdownWithMath(renderer=EquationRenderer(escape=False)).render(source)


class EquationRenderer(IPythonRenderer):
    r"""A Markdown renderer that converts equations to MathML.

    Text between dollar signs is not an equation if it begins or ends with a space, as in
    "from $5 to $10".

    >>> render = MarkdownWithMath(renderer=EquationRenderer(escape=False)).render
    >>> print(render("$x$"))  # doctest: +ELLIPSIS
    <p><math ... display="inline"><mrow><mi>x</mi></mrow></math></p>
    >>> print(render("from $5 to $10"))
    <p>from $5 to $10</p>
    """

    def inline_math(self, body: str) -> str:
        """Return the HTML of an inline equation."""
        if body != body.strip():
            return super().inline_math(body)
        return convert(body)

    def block_math(self, body: str) -> str:
        """Return the HTML of a display equation."""
        return convert(body.strip(), display="block")


class ShortOutputs(Preprocessor):
    """An nbconvert preprocessor that shortens long code and outputs.

    A note states how many characters were removed. The notebook file is not changed.
    """

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Shorten the code and the outputs of a notebook."""
        self._left = MOST_TEXT
        return super().preprocess(nb, resources)

    def preprocess_cell(self, cell: Any, resources: Any, index: int) -> tuple[Any, Any]:
        """Shorten the code and the outputs of a notebook cell."""
        if cell.cell_type == "code":
            cell.source = self._cut(cell.source)
        for output in cell.get("outputs", []):
            for key in ("text", "ename", "evalue"):
                if key in output:
                    output[key] = self._cut(output[key])
            if "traceback" in output:
                output["traceback"] = self._cut("\n".join(output["traceback"])).split("\n")
            for kind, value in output.get("data", {}).items():
                if kind == PLOTLY:
                    output["data"][kind] = _with_short_labels(value)
                elif isinstance(value, str) and not kind.startswith("image/"):
                    output["data"][kind] = self._cut(value, kind)
        return cell, resources

    def _cut(self, text: str, kind: str = "text/plain") -> str:
        """Shorten long plain text. Replace long markup, such as HTML, with a note.

        Args:
            text: Code or output of a notebook cell.
            kind: MIME type of the text.
        """
        most = min(LONGEST_OUTPUT, self._left)
        is_markup = kind in ("text/html", "text/markdown", "text/latex")
        size = len(text) if is_markup else len(escape(text))
        if size <= most:
            self._left -= size
            return text
        # Incomplete markup is invalid.
        shown = "" if is_markup else text[: most * len(text) // size]
        self._left -= 0 if is_markup else most
        note = f"[{len(text) - len(shown):,} more characters: see the executed notebook (.ipynb)]"
        return f"<p>{note}</p>" if is_markup else f"{shown}\n{note}"


class InteractiveFigures(Preprocessor):
    """An nbconvert preprocessor that replaces plotly figures with HTML."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Replace all plotly figures in a notebook with HTML."""
        found = [output for _, output in _outputs(nb) if PLOTLY in output["data"]]
        if not found:
            return nb, resources  # the import below takes half a second
        from pcb.plots.interactive import CONFIG

        for number, output in enumerate(found):
            figure = output["data"][PLOTLY]
            html = _FIGURE.format(
                name=f"interactive-{number}",
                data=_in_script(figure["data"]),
                layout=_in_script(figure["layout"]),
                config=_in_script(CONFIG),
            )
            if number == 0:
                html = f"<script>{plotly_script()}</script>\n{html}"
            output["data"] = {"text/html": html}
        return nb, resources


class StaticFigures(Preprocessor):
    """An nbconvert preprocessor that adds alternative text to static figures."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Use the heading above each static figure as the figure's alternative text."""
        for heading, output in _outputs(nb):
            if "image/png" in output["data"]:
                output["metadata"]["alt"] = f"Figure: {heading}"
        return nb, resources


def plotly_script() -> str:
    """Return JavaScript code that unpacks and runs a compressed copy of plotly.js."""
    from plotly.offline import get_plotlyjs

    packed = gzip.compress(get_plotlyjs().encode(), mtime=0)
    return _UNPACK % base64.b64encode(packed).decode()


def _with_short_labels(value: Any) -> Any:
    """Shorten all long texts in the data of an interactive figure."""
    if isinstance(value, str):
        return shortened(value, LONGEST_LABEL)
    if isinstance(value, dict):
        # Arrays of numbers are base64 text in `bdata`.
        return {k: v if k == "bdata" else _with_short_labels(v) for k, v in value.items()}
    return [_with_short_labels(one) for one in value] if isinstance(value, list) else value


def _in_script(value: Any) -> str:
    r"""Return a value as JSON that is safe inside an HTML script element.

    >>> print(_in_script("<b>cat</b><!--</script>"))
    "<b>cat<\/b>\u003c!--<\/script>"
    """
    return json.dumps(value).replace("</", r"<\/").replace("<!--", r"\u003c!--")


def _outputs(nb: Any) -> Iterator[tuple[str, Any]]:
    """Yield ``(heading, output)`` for each notebook output that has data.

    The heading is the last heading above the output.
    """
    heading = ""
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                heading = line.lstrip("#").strip() if line.startswith("#") else heading
        for output in cell.get("outputs", []):
            if "data" in output:
                yield heading, output
