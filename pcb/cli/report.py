"""``pcb report``: show the results of any detector on one HTML page."""

from __future__ import annotations

import argparse
import gzip
import io
import os
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcb.cli.evaluation import add_detections, add_force, add_thresholds
from pcb.cli.options import add_command
from pcb.cli.output import log_to_stderr, metrics_table
from pcb.messages.printable import printable
from pcb.storage.files import check_output
from pcb.storage.repository import repository_path

if TYPE_CHECKING:
    from pcb.study import ResultsView

# Larger results, uncompressed and in bytes, are left out of AP: as Python objects, 2 million boxes
# (250 MB) take about 2 GiB of memory.
MOST_BYTES_FOR_AP = 250_000_000
_TITLE = "PCB-kit report"  # identifies a page as an earlier result of this command
_FEDERATED = {None: "", True: "yes", False: "no"}


def add_commands(commands: Any) -> None:
    """Add ``pcb report`` to the command line."""
    report = add_command(
        commands,
        "report",
        _report,
        "show on one HTML page which classes are mistaken for which, for the results of any "
        "detector",
    )
    add_detections(report)
    report.add_argument(
        "--images", type=Path, metavar="DIR", help="folder of the images, to show the classes"
    )
    report.add_argument(
        "--before",
        type=Path,
        metavar="OTHER.json",
        help="also compare with these results: what changed from OTHER.json to RESULTS.json?",
    )
    report.add_argument(
        "--iou-type",
        choices=("bbox", "segm"),
        help="compare boxes (bbox) or masks (segm); default: boxes if the results have boxes",
    )
    add_thresholds(report)
    report.add_argument(
        "--out", type=_page_file, required=True, metavar="FILE", help="the page, an .html file"
    )
    add_force(report)


def _report(options: argparse.Namespace) -> None:
    results, before = options.results, options.before
    inputs = [options.ground_truth, results, before, options.train]
    check_output(options.out, filter(None, inputs), _is_page, force=options.force, name="--out")
    if before and os.path.exists(results) and before.exists() and before.samefile(results):
        raise ValueError(f"--before {before} is the same file as the results: name another file")
    from pcb.datasets.lvis.results import iou_type_of
    from pcb.notebooks.execute import NotebookError, run_notebook

    asked = options.iou_type or ""
    by_masks = "segm" in map(iou_type_of, filter(None, (results, before)))
    options.iou_type = asked or ("segm" if by_masks else "bbox")
    with tempfile.TemporaryDirectory(prefix="pcb-report-") as folder:
        given = {
            "ground_truth": os.path.abspath(options.ground_truth),
            "results": os.path.abspath(results),
            "image_dir": os.path.abspath(options.images) if options.images else "",
            "train": os.path.abspath(options.train) if options.train else "",
            "work_dir": folder,
        }
        other = {"before": os.path.abspath(before)} if before else {}
        title, summary, has_ap = _summary(given | other, options)
        print(summary)
        given |= {
            "federated": _FEDERATED[options.federated],
            "crowds": options.crowds or "",
            "iou_type": options.iou_type if before else asked,  # the same in both notebooks
            "iou_threshold": options.iou_threshold,
            "score_threshold": options.score_threshold,
        }
        notebooks = {"03_confusion_matrix": given}
        if other:
            notebooks["06_changes"] = given | other
        executed = [Path(folder, f"{name}.ipynb") for name in notebooks]
        # What the notebooks print is on the page. Computing AP has already shown the warnings.
        quiet = redirect_stderr(io.StringIO()) if has_ap else log_to_stderr()
        with redirect_stdout(io.StringIO()), quiet:
            for copy, parameters in zip(executed, notebooks.values(), strict=True):
                source = repository_path(f"notebooks/{copy.name}")
                try:
                    run_notebook(source, parameters, copy, copy.with_suffix(".html"))
                except NotebookError as error:  # its message names a file in the temporary folder
                    raise ValueError(f"{copy.name} failed: {error.error}") from None
        _write_page(executed, title, summary, Path(os.path.realpath(options.out)))
    print(f"Written: {options.out}")


def _summary(given: dict[str, str], options: argparse.Namespace) -> tuple[str, str, bool]:
    """Check the files, and return a title, a text with AP, and whether AP could be computed."""
    from pcb.evaluation import evaluate
    from pcb.metrics import AP_NAMES
    from pcb.study import open_results

    with log_to_stderr():
        view = open_results(**given, federated=options.federated, crowds=options.crowds)
        views = [view]
        if "before" in given:
            views.insert(0, view.with_results(given["before"]))
        lines = [f"ground truth: {given['ground_truth']}"]
        lines += [f"{'before' if one is not view else 'results'}: {one.file}" for one in views]
        has_ap = not (text := _too_large(views))
        if has_ap:
            annotations = view.data.annotations
            rows = {
                one.name: evaluate(annotations, one.file, options.iou_type)[options.iou_type]
                for one in views
            }
            text = f"\n{AP_NAMES[options.iou_type]}, in percent\n{metrics_table(rows)}"
    return f"{_TITLE}: {view.name}", "\n".join([*map(printable, lines), text]), has_ap


def _too_large(views: Sequence[ResultsView]) -> str:
    """Return why AP is left out; "" if the results are small enough."""
    for view in views:
        if (size := _uncompressed_size(view.file)) > MOST_BYTES_FOR_AP:
            return printable(
                f"AP is left out, because {view.name} holds {size / 1e6:,.0f} MB, more than "
                f"{MOST_BYTES_FOR_AP / 1e6:,.0f} MB: `pcb evaluate` computes AP, with more memory"
            )
    return ""


def _uncompressed_size(file: Path) -> int:
    if file.suffix != ".gz":
        return file.stat().st_size
    with gzip.open(file) as content:
        return sum(map(len, iter(partial(content.read, 1 << 24), b"")))


def _write_page(executed: Sequence[Path], title: str, summary: str, page: Path) -> None:
    """Join executed notebooks below a summary, and export them as one page."""
    import nbformat

    from pcb.notebooks.pages import export_page

    text = (
        f"{summary}\n\nThe tables and figures that the text below mentions as files are not kept. "
        "To keep them, run the notebooks with the same files.\n"
    )
    # Text in an output, unlike Markdown, may contain any name.
    shown = nbformat.v4.new_output("stream", name="stdout", text=text)
    cells = [
        nbformat.v4.new_markdown_cell("# How good are these results?"),
        nbformat.v4.new_code_cell("# made by `pcb report`", outputs=[shown]),
    ]
    for file in executed:
        for cell in nbformat.read(file, as_version=4).cells:
            cell["id"] = f"{len(cells)}"  # several notebooks have a cell `check`
            cells.append(cell)
    joined = nbformat.v4.new_notebook(cells=cells, metadata={"title": title})
    file = executed[0].with_name("report.ipynb")
    nbformat.write(joined, file)
    export_page(file, page)


def _is_page(path: Path) -> bool:
    with open(path, "rb") as file:
        return f"<title>{_TITLE}".encode() in file.read(4096)


def _page_file(text: str) -> Path:
    path = Path(text)
    if path.suffix not in (".html", ".htm"):
        raise argparse.ArgumentTypeError(f"the file name must end in .html, got {text!r}")
    return path
