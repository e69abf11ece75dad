"""An executed notebook as one HTML file that needs nothing else: no network, no other file.

Code is folded, static figures are in the page, and interactive ones are drawn by plotly.js, which
a page holds once, and only if it has such a figure.
"""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from typing import Any

from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor, Preprocessor
from traitlets import Int, Unicode

from pcb.runs import repository_path, write_atomically

TEMPLATE = "folded"  # code can be unfolded: a page is read for its text and figures first
PLOTLY = "application/vnd.plotly.v1+json"


def export_page(
    executed: str | os.PathLike[str],
    page: str | os.PathLike[str],
    plotly_js: str = "",
    colors: int = 0,
) -> None:
    """Write an executed notebook as one HTML file with its code folded.

    Args:
        executed: the notebook.
        page: the HTML file.
        plotly_js: address of plotly.js relative to the page, so that pages can share the file;
            empty to have it in the page (4.8 MB).
        colors: reduce figures to so many colours, a fourth of the size; 0 leaves them as they are.
    """
    exporter = HTMLExporter(
        extra_template_basedirs=[str(repository_path("workflow/templates"))],
        template_name=TEMPLATE,
        preprocessors=[
            CoalesceStreamsPreprocessor,  # a progress bar is one block, not hundreds
            InteractiveFigures(plotly_js=plotly_js),
            FewerColors(colors=colors),
        ],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    html, _ = exporter.from_filename(str(executed))
    write_atomically(page, html)


class InteractiveFigures(Preprocessor):
    """Replaces the data of each plotly figure by HTML that draws it."""

    plotly_js = Unicode(help="address of plotly.js; empty for a copy in the page")

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Change the outputs of a notebook."""
        import plotly.io

        library: bool | str = self.plotly_js or True  # for the first figure
        for output in _outputs(nb):
            if PLOTLY in output["data"]:
                html = plotly.io.to_html(
                    # The figure as it is in the notebook; nothing in it is checked or changed.
                    {key: output["data"][PLOTLY][key] for key in ("data", "layout")},
                    config={"responsive": False, "displaylogo": False},
                    include_plotlyjs=library,
                    full_html=False,
                    validate=False,
                )
                output["data"] = {"text/html": html}
                library = False
        return nb, resources


class FewerColors(Preprocessor):
    """Reduces static figures to a palette."""

    colors = Int(help="of each figure; 0 leaves them as they are")

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Change the outputs of a notebook."""
        for output in _outputs(nb) if self.colors else ():
            if "image/png" in output["data"]:
                png = base64.b64decode(output["data"]["image/png"])
                output["data"]["image/png"] = base64.b64encode(
                    with_palette(png, self.colors)
                ).decode()
        return nb, resources


def with_palette(png: bytes, colors: int) -> bytes:
    """A PNG in so many colours; as it was, if that is no smaller."""
    from PIL import Image

    reduced = io.BytesIO()
    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.quantize(colors, dither=Image.Dither.NONE).save(reduced, "PNG", optimize=True)
    return min(png, reduced.getvalue(), key=len)


def plotly_js() -> Path:
    """Return the file of plotly.js that the installed plotly brings along."""
    import plotly

    return Path(plotly.__file__).parent / "package_data" / "plotly.min.js"


def _outputs(nb: Any) -> list[Any]:
    outputs = [output for cell in nb.cells for output in cell.get("outputs", [])]
    return [output for output in outputs if "data" in output]
