"""Write the results of a grid of training runs as an HTML page or as text."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pcb.grids.failures import Failure
from pcb.grids.questions import OF_DATASET, OF_PAIR, OF_RUN
from pcb.grids.results import DatasetResults, Results, read_results
from pcb.grids.table import HEADINGS, legend, text_table
from pcb.messages.printable import printable, shortened
from pcb.runs.folder import RunFolder
from pcb.storage.files import write_atomically

MOST_OF_A_PARAMETER = 300  # maximum number of characters of a parameter on the page
ENVIRONMENT = ("device", "cpu", "cpu_capability", "threads", "seed", "torch", "operators", "commit")

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)


class Link(NamedTuple):
    """A link on a grid's page; plain text if ``href`` is empty."""

    href: str
    text: str


class Figure(NamedTuple):
    """A figure on a grid's page, with a caption and a link to the figure's PDF.

    Attributes:
        href: Path of the image file, relative to the page.
        text: Caption of the figure.
        pdf: Link to the PDF of the figure; None if there is no PDF.
    """

    href: str
    text: str
    pdf: Link | None


def write_page(root: str | os.PathLike[str], title: str) -> Path:
    """Write a web page with the results of a grid of runs, and return the path of the page.

    The page begins with one sentence about the effect of PCB; see
    :func:`pcb.grids.finding.finding`. The page can be viewed offline.

    Args:
        root: The grid's folder, to which ``index.html`` is written. Runs must be in
            ``<root>/<dataset>/<config>/seed<N>``. Notebooks and figures about a whole dataset must
            be in ``<root>/<dataset>``.
        title: Heading of the page.

    Raises:
        FileNotFoundError: ``root`` is not a folder.
    """
    results = read_results(root)
    html = _TEMPLATES.get_template("grid.html.j2").render(
        title=title,
        finding=results.finding,
        failure_count=_count(results.failures),
        failures=[_failure(results.root, failure) for failure in results.failures],
        headings=HEADINGS,
        datasets=[_dataset(results.root, dataset) for dataset in results.datasets],
    )
    page = results.root / "index.html"
    write_atomically(page, html.encode(errors="backslashreplace"))  # surrogates cannot be encoded
    return page


def text_report(results: Results) -> str:
    """Return a grid's results as text: metrics, the effect of PCB, and failed notebooks."""
    notes = filter(None, [results.finding, legend(results.rows)])
    lines = ["", text_table(results.rows), "", *notes]
    lines.append(f"All notebooks and figures: {results.root / 'index.html'}")
    if results.running:
        lines += ["", "Still running:", *(f"  {one}" for one in results.running)]
    if results.failures:
        lines += ["", f"{_count(results.failures)}:"]
    for failure in results.failures:
        name = failure.executed.relative_to(results.root).with_suffix("").as_posix()
        cell = f", cell {failure.cell}" if failure.cell else ""
        shown = failure.page if failure.page.is_file() else failure.executed.parent
        lines += [f"  {name}{cell}: {failure.line}", f"    {shown}"]
    return "\n".join(lines)


def _count(failures: list[Failure]) -> str:
    return f"{len(failures)} notebook{'s' if len(failures) > 1 else ''} did not finish"


def _failure(root: Path, failure: Failure) -> dict[str, Any]:
    name = failure.executed.stem
    return {
        "run": failure.executed.parent.relative_to(root).as_posix(),
        "notebook": _link(root, failure.page, name) if failure.page.is_file() else Link("", name),
        "cell": failure.cell or "",
        "error": failure.line,
    }


def _dataset(root: Path, dataset: DatasetResults) -> dict[str, Any]:
    whole, single = [root / dataset.name], [run.path for run in dataset.runs]
    questions = [
        *(_question(root, name, figures, whole) for name, figures in OF_DATASET.items()),
        *(_question(root, name, figures, single) for name, figures in (OF_RUN | OF_PAIR).items()),
    ]
    return {
        "name": dataset.name,
        "rows": dataset.rows,
        "legend": legend(dataset.rows),
        "questions": [question for question in questions if question],
        "runs": [_run(root, run) for run in dataset.runs],
    }


def _question(
    root: Path, notebook: str, figures: Iterable[str], folders: list[Path]
) -> dict[str, Any]:
    """Return the title, links and figures of a notebook; {} if the notebook has no web page."""
    folders = [folder for folder in folders if (folder / f"{notebook}.html").is_file()]
    if not folders:
        return {}
    rows = [
        [file for folder in folders for file in sorted(folder.glob(f"figures/{figure}.png"))]
        for figure in figures
    ]
    return {
        "title": _heading(folders[0] / f"{notebook}.ipynb") or _words(notebook),
        "pages": [
            _link(root, folder / f"{notebook}.html", f"{notebook} of {_label(root, folder)}")
            for folder in folders
        ],
        "figures": [
            [_figure(root, file) for file in row]
            for row in _join_rows(rows, one_folder=len(folders) == 1)
        ],
    }


def _join_rows(rows: list[list[Path]], one_folder: bool) -> list[list[Path]]:
    """Drop empty rows of figures, and join adjacent rows that have only one figure each.

    If ``one_folder`` is True, join all rows.

    >>> a, b, c, d, e = map(Path, "abcde")
    >>> [len(row) for row in _join_rows([[a, b], [], [c], [d], [e, a]], one_folder=False)]
    [2, 2, 2]
    """
    joined: list[list[Path]] = []
    single_before = False
    for row in filter(None, rows):
        single = one_folder or len(row) == 1
        if single and single_before:
            joined[-1] = joined[-1] + row
        else:
            joined.append(row)
        single_before = single
    return joined


def _figure(root: Path, file: Path) -> Figure:
    pdf = file.with_suffix(".pdf")
    return Figure(
        _href(root, file),
        f"{_words(file.stem)}: {_label(root, file.parent.parent)}",
        _link(root, pdf, "PDF") if pdf.is_file() else None,
    )


def _run(root: Path, run: RunFolder) -> dict[str, Any]:
    environment = run.read_environment() if run.environment_file.is_file() else {}
    files = [run.config_file, run.environment_file, *run.tables]
    return {
        "label": _label(root, run.path),
        "files": [_link(root, file, file.name) for file in files if file.is_file()],
        "parameters": "; ".join(_parameters(run)),
        "environment": ", ".join(
            f"{key} {environment[key]}" for key in ENVIRONMENT if key in environment
        ),
    }


def _parameters(run: RunFolder) -> list[str]:
    """Return the parameters of a run's notebooks as strings such as ``seed = 0``."""
    given: dict[str, dict[str, list[str]]] = {}
    for name in OF_RUN | OF_PAIR:
        metadata = _read_notebook(run.path / f"{name}.ipynb").get("metadata", {})
        for key, value in metadata.get("papermill", {}).get("parameters", {}).items():
            if key not in ("work_dir", "before", "replace") and value not in ("", {}, [], None):
                text = f"{key} = {json.dumps(value)}"
                given.setdefault(key, {}).setdefault(text, []).append(name)
    return [
        _cut(text) if len(texts) == 1 else f"{_cut(text)} ({', '.join(names)})"
        for texts in given.values()
        for text, names in texts.items()
    ]


def _cut(text: str) -> str:
    return shortened(printable(text), MOST_OF_A_PARAMETER)


def _heading(notebook: Path) -> str:
    """Return the first heading of a notebook; "" if the file is missing or has no heading."""
    cells = _read_notebook(notebook).get("cells", [])
    lines = (line for cell in cells for line in "".join(cell["source"]).splitlines())
    return next((line[2:].strip() for line in lines if line.startswith("# ")), "")


def _read_notebook(notebook: Path) -> dict[str, Any]:
    """Read an executed notebook; return {} if the file is missing or incomplete."""
    try:
        return json.loads(notebook.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def _link(root: Path, file: Path, text: str) -> Link:
    return Link(_href(root, file), text)


def _href(root: Path, file: Path) -> str:
    return quote(file.relative_to(root).as_posix())


def _label(root: Path, folder: Path) -> str:
    """Return a short name for the folder of a run or dataset."""
    parts = folder.relative_to(root).parts
    return "/".join(parts[1:] or parts)


def _words(name: str) -> str:
    return name.lstrip("0123456789_").replace("_", " ")
