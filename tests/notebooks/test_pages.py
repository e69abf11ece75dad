"""Pages in a browser: no errors, no network, every image and interactive figure is drawn."""

import base64
import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest

from pcb import plots
from pcb.grids.report import write_page
from pcb.notebooks.pages import PLOTLY, export_page
from pcb.runs.folder import RunFolder
from tests.support.browser import needs_browser, open_page

pytestmark = pytest.mark.slow

MOST_BYTES = 10_000_000
HOSTILE = ["<script>console.error(1)</script>", "a 'b' \"c\"", "${x} & `y`"]


def output(data: dict) -> nbformat.NotebookNode:
    return nbformat.v4.new_output("display_data", data=data)


@pytest.fixture
def executed(tmp_path: Path) -> Path:
    """A notebook with a static figure, two interactive ones and hostile names."""
    figure, _ = plt.subplots()
    png = plots.save(figure, tmp_path, "static").read_bytes()
    plt.close(figure)
    encoded = base64.b64encode(png).decode()
    interactive = [
        plots.interactive_confusion(np.eye(3), [0, 1, 2], HOSTILE, "fcr", [9, 5, 1], HOSTILE[0])
        for _ in range(2)
    ]
    outputs = [output({"image/png": encoded})]
    outputs += [output(figure._repr_mimebundle_()) for figure in interactive]
    cells = [
        nbformat.v4.new_markdown_cell("# What costs $5 and $x^2$?"),
        nbformat.v4.new_code_cell("print('<script>')", outputs=outputs),
    ]
    path = tmp_path / "notebook.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def assert_sound(page: Path, images: int, interactive: int) -> str:
    opened = open_page(page)
    assert opened.errors == [] and opened.remote == []
    assert opened.images == images and opened.broken == []
    assert opened.interactive == [1] * interactive
    assert opened.buttons.count("Zoom in") == interactive
    assert "share" not in " ".join(opened.buttons).lower()  # which uploads the figure
    return opened.text


@needs_browser
def test_page_in_a_browser(executed, tmp_path):
    page = tmp_path / "page.html"
    export_page(executed, page)
    text = assert_sound(page, images=1, interactive=2)
    assert "<script>console.error(1)</script>" in text  # shown, not run
    assert "What costs $5" in text
    assert 'alt="Figure: What costs $5 and $x^2$?"' in page.read_text()


def test_plotly_is_in_a_page_once(executed, tmp_path):
    page = tmp_path / "page.html"
    export_page(executed, page)
    html = page.read_text()
    assert html.count("DecompressionStream") == 1 and html.count("Plotly.newPlot") == 2
    assert page.stat().st_size < MOST_BYTES
    assert PLOTLY in executed.read_text()  # the notebook itself is not changed


def test_page_without_interactive_figures_has_no_plotly(tmp_path):
    path = tmp_path / "plain.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A?")]), path)
    export_page(path, tmp_path / "plain.html")
    html = (tmp_path / "plain.html").read_text()
    assert "plotly" not in html.lower() and len(html) < 20_000
    assert not re.findall(r'(?:src|href)="https?://', html) and "import(" not in html


def test_page_of_long_names_stays_small(tmp_path):
    """1203 classes with names of 5000 characters, everywhere a notebook may show them."""
    names = [f"{label} {'<&>' * 1665}" for label in range(1203)]
    figure = plots.interactive_confusion(
        np.eye(1203), list(range(60)), names, "f" * 1203, [9] * 1203, names[0]
    )
    rows = "".join(f"<tr><td>{name}</td></tr>" for name in names)
    outputs = [
        output(figure._repr_mimebundle_()),
        output({"text/html": f"<table>{rows}</table>", "text/plain": "\n".join(names)}),
        output({"text/plain": repr(names)}),
        nbformat.v4.new_output("stream", name="stdout", text="\n".join(names)),
        nbformat.v4.new_output(
            "error", ename="KeyError", evalue=repr(names), traceback=["Traceback", repr(names)]
        ),
    ]
    cells = [nbformat.v4.new_code_cell(f"classes = {names!r}", outputs=outputs)]
    path = tmp_path / "notebook.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    assert path.stat().st_size > 2 * MOST_BYTES
    export_page(path, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert len(page.encode()) < MOST_BYTES
    assert page.count("more characters: see the executed notebook (.ipynb)]") >= 4
    assert "<td>1 " not in page  # not half of a table


def test_page_of_many_outputs_stays_small(tmp_path):
    """Also if each character takes several in HTML."""
    outputs = [output({"text/plain": "<&>" * 33_000}) for _ in range(150)]
    path = tmp_path / "notebook.ipynb"
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=outputs)]), path
    )
    export_page(path, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert len(page.encode()) < MOST_BYTES
    assert "[99,000 more characters: see the executed notebook (.ipynb)]" in page


def test_page_of_usual_outputs_is_whole(tmp_path):
    cells = [nbformat.v4.new_code_cell("1", outputs=[output({"text/plain": "a" * 90_000})])]
    path = tmp_path / "notebook.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    export_page(path, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "a" * 90_000 in page and "more characters" not in page


@needs_browser
def test_index_in_a_browser(tmp_path):
    for name in ("softmax", "softmax_pcb"):
        run = RunFolder(tmp_path / "my <data>" / name / "seed0").create()
        run.write_metrics({"segm": {"AP": 0.25}})
        (run.path / "01_train.html").touch()
        parameters = {"papermill": {"parameters": {"cfg_options": {"a": "<b>'"}}}}
        (run.path / "01_train.ipynb").write_text(json.dumps({"cells": [], "metadata": parameters}))
        figure, _ = plt.subplots()
        plots.save(figure, run.figures, "loss")
        plt.close(figure)
    text = assert_sound(write_page(tmp_path, "Many <runs>"), images=2, interactive=0)
    assert "Many <runs>" in text and 'cfg_options = {"a": "<b>\'"}' in text
