"""The page over a grid of runs: what failed, the table of metrics, the notebooks, their figures.

``python -m pcb.grids.report runs/demo`` prints the table of a grid, where its page is and what
failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from html import escape
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from pcb.grids.failures import Failure, failures
from pcb.grids.finding import finding
from pcb.grids.questions import OF_DATASET, OF_PAIR, OF_RUN
from pcb.grids.table import html_table, legend, metric_rows, text_table
from pcb.messages.printable import printable, shortened
from pcb.runs.find import collect
from pcb.runs.folder import RunFolder
from pcb.runs.running import running
from pcb.storage.files import write_atomically

MOST_OF_A_PARAMETER = 300  # characters of its name and value that the page shows
ENVIRONMENT = ("device", "cpu", "cpu_capability", "threads", "seed", "torch", "operators", "commit")

# No colour of the frequency groups, which mean something in the figures.
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --link: #332288; }
@media (prefers-color-scheme: dark) { :root { --link: #c3b5f5; } }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 1180px; margin: 0 auto; padding: 2rem; }
h1 { line-height: 1.2; margin-bottom: .3rem; }
h2 { margin-top: 3rem; border-bottom: 2px solid var(--line); padding-bottom: .2rem; }
a { color: var(--link); }
.finding { font-size: 1.15rem; font-weight: 600; margin: .6rem 0 1rem; }
.note { color: #888; font-size: .9rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .9rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
.text th, .text td { text-align: left; vertical-align: top; }
tr.difference td { background: var(--soft); font-weight: 600; }
.failed { border-left: 4px solid #882255; padding: .1rem 1rem; margin: 2rem 0; }
.failed h2 { margin-top: .5rem; }
.failed td:last-child { font-family: ui-monospace, monospace; font-size: .85rem; }
.failed td:last-child { min-width: 24rem; overflow-wrap: anywhere; }
.figures { display: grid; gap: 1.2rem; }
.figures { grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); }
figure { margin: 0; border: 1px solid var(--line); border-radius: 8px; padding: .6rem; }
figure img { width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption { font-size: .85rem; padding-top: .3rem; }
.figures + .figures { margin-top: 1.2rem; }
footer { margin-top: 4rem; border-top: 1px solid var(--line); font-size: .85rem; color: #888; }
"""

_FOOTER = """<footer><p>Images of OpenMoji-LT are drawn from emojis by
<a href="https://openmoji.org">OpenMoji</a>, licence
<a href="https://creativecommons.org/licenses/by-sa/4.0/">CC BY-SA 4.0</a>; so are the figures that
show them. Method: <a href="https://arxiv.org/abs/2201.02784">Relieving Long-tailed Instance
Segmentation via Pairwise Class Balance</a>, CVPR 2022.</p></footer>"""


def write_page(root: str | os.PathLike[str], title: str) -> Path:
    """Write ``index.html`` over the runs below ``root`` and return its path.

    It begins with what was found and with the notebooks that failed, if there are any. It needs no
    network, and links only what is there, relative to itself. A run lies in
    ``<root>/<dataset>/<config>/seed<N>``; pages and figures of a whole dataset lie in
    ``<root>/<dataset>``.

    Raises:
        FileNotFoundError: ``root`` is not a folder.
    """
    root = Path(root)
    found = finding(collect(root), root)
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="finding">{escape(found)}</p>' if found else "",
        "<p>A notebook asks one question of a dataset or of a run. Below are the results, then the "
        "questions with their key figures. A link opens the whole notebook, its code folded; a "
        "figure opens in full size.</p>",
        _failure_section(root, failures(root)),
    ]
    for dataset, runs in groupby(
        collect(root), key=lambda run: run.path.relative_to(root).parts[0]
    ):
        parts += _dataset_section(root, dataset, list(runs))
    html = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + f"\n{_FOOTER}\n</body>\n</html>\n"
    )
    page = root / "index.html"
    write_atomically(page, html.encode(errors="backslashreplace"))  # lone surrogates
    return page


def failure_list(root: str | os.PathLike[str]) -> str:
    """Return what failed below ``root`` as text, a line for each notebook; empty if nothing did."""
    root = Path(root)
    found = failures(root)
    lines = [f"{_count(found)} not finish:"] if found else []
    for failure in found:
        cell = f", cell {failure.cell}" if failure.cell else ""
        shown = failure.page if failure.page.is_file() else failure.executed.parent
        lines.append(f"  {_where(root, failure)}{cell}: {failure.line}\n    {shown}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print the metric table of a grid, where its page is and what failed."""
    parser = argparse.ArgumentParser(prog="python -m pcb.grids.report", description=main.__doc__)
    parser.add_argument("root", type=Path, metavar="RUNS", help="such as runs/demo")
    root = parser.parse_args(arguments).root
    runs = collect(root)
    notes = filter(None, [finding(runs, root), legend(metric_rows(runs, root))])
    print("", text_table(root), "", *notes, sep="\n")
    print(f"All notebooks and figures: {root / 'index.html'}")
    if active := [str(one) for one in running(root) if not one.is_this_process]:
        print("\nStill running:", *active, sep="\n  ")
    if failed := failure_list(root):
        print(f"\n{failed}")
    return 0


def _failure_section(root: Path, found: list[Failure]) -> str:
    """What failed: where, in which cell, with which words; empty if nothing did."""
    if not found:
        return ""
    head = "".join(f"<th>{name}</th>" for name in ("run", "notebook", "cell", "error"))
    rows = []
    for failure in found:
        name = failure.executed.stem
        link = _link(root, failure.page, name) if failure.page.is_file() else escape(name)
        run = failure.executed.parent.relative_to(root).as_posix()
        cells = [escape(run), link, str(failure.cell or ""), escape(failure.line)]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return (
        f'<div class="failed"><h2>{_count(found)} not finish</h2>\n'
        "<p>A link opens the notebook as far as it came. What depends on it was not run again and "
        "is missing below or older. Fix the cause and call the same command: it runs these and "
        "what depends on them.</p>\n"
        f'<div class="wide"><table class="text"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></div>"
    )


def _count(found: list[Failure]) -> str:
    return f"{len(found)} notebook{'s' if len(found) > 1 else ''} did"


def _where(root: Path, failure: Failure) -> str:
    return failure.executed.relative_to(root).with_suffix("").as_posix()


def _dataset_section(root: Path, dataset: str, runs: list[RunFolder]) -> list[str]:
    whole, single = [root / dataset], [run.path for run in runs]
    return [
        f"<h2>{escape(dataset)}</h2>",
        html_table(metric_rows(runs, root)),
        *(_notebook_section(root, name, names, whole) for name, names in OF_DATASET.items()),
        *(_notebook_section(root, *item, single) for item in (OF_RUN | OF_PAIR).items()),
        "<h3>What was run</h3>",
        _run_table(root, runs),
    ]


def _notebook_section(root: Path, name: str, figures: Iterable[str], folders: list[Path]) -> str:
    """What one notebook says of each folder: its question, its pages, its key figures."""
    folders = [folder for folder in folders if (folder / f"{name}.html").is_file()]
    if not folders:
        return ""
    pages = [folder / f"{name}.html" for folder in folders]
    links = " · ".join(
        _link(root, page, f"{name} of {_label(root, page.parent)}") for page in pages
    )
    rows = [
        [file for folder in folders for file in sorted(folder.glob(f"figures/{figure}.png"))]
        for figure in figures
    ]
    rows = _joined(rows, one_folder=len(folders) == 1)
    title = _question(pages[0].with_suffix(".ipynb")) or _words(name)
    grids = "\n".join(_figures(root, row) for row in rows)
    return f"<h3>{escape(title)}</h3>\n<p>{links}</p>\n{grids}"


def _joined(rows: list[list[Path]], one_folder: bool) -> list[list[Path]]:
    """Neighbouring rows as one where nothing else stands beside a figure; without empty rows.

    >>> a, b, c, d, e = map(Path, "abcde")
    >>> [len(row) for row in _joined([[a, b], [], [c], [d], [e, a]], one_folder=False)]
    [2, 2, 2]
    """
    joined: list[list[Path]] = []
    lone_before = False
    for row in filter(None, rows):
        lone = one_folder or len(row) == 1
        if lone and lone_before:
            joined[-1] = joined[-1] + row
        else:
            joined.append(row)
        lone_before = lone
    return joined


def _run_table(root: Path, runs: list[RunFolder]) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("run", "files", "parameters", "environment"))
    rows = []
    for run in runs:
        environment = run.read_environment() if run.environment_file.is_file() else {}
        facts = [f"{key} {environment[key]}" for key in ENVIRONMENT if key in environment]
        files = [run.config_file, run.environment_file, *run.tables]
        links = " · ".join(_link(root, file, file.name) for file in files if file.is_file())
        cells = [escape(_label(root, run.path)), links]
        cells += [escape("; ".join(_parameters(run))), escape(", ".join(facts))]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return (
        f'<div class="wide"><table class="text"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _parameters(run: RunFolder) -> list[str]:
    """What the notebooks of a run were given: ``seed = 0``, each parameter once.

    One that not all of them were given alike says which: ``iou_threshold = 0.7 (02_evaluate)``.
    Where a run lies is no parameter of it, and empty ones are those that nobody set.
    """
    given: dict[str, dict[str, list[str]]] = {}
    for name in (*OF_RUN, *OF_PAIR):
        metadata = _executed(run.path / f"{name}.ipynb").get("metadata", {})
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


def _figures(root: Path, files: list[Path]) -> str:
    figures = []
    for file in files:
        target = _href(root, file)
        text = escape(f"{_words(file.stem)}: {_label(root, file.parent.parent)}")
        pdf = file.with_suffix(".pdf")
        more = f" · {_link(root, pdf, 'PDF')}" if pdf.is_file() else ""
        figures.append(
            f'<figure><a href="{target}"><img src="{target}" alt="{text}" loading="lazy"></a>'
            f"<figcaption>{text}{more}</figcaption></figure>"
        )
    return f'<div class="figures">{"".join(figures)}</div>'


def _question(notebook: Path) -> str:
    """The first heading of an executed notebook; empty if it is not there."""
    cells = _executed(notebook).get("cells", [])
    lines = (line for cell in cells for line in "".join(cell["source"]).splitlines())
    return next((line[2:].strip() for line in lines if line.startswith("# ")), "")


def _executed(notebook: Path) -> dict:
    """An executed notebook; empty if it is not there, or was not written to its end."""
    try:
        return json.loads(notebook.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def _link(root: Path, file: Path, text: str) -> str:
    return f'<a href="{_href(root, file)}">{escape(text)}</a>'


def _href(root: Path, file: Path) -> str:
    return escape(quote(file.relative_to(root).as_posix()))


def _label(root: Path, folder: Path) -> str:
    """A run without its dataset, whose section it stands in; or the dataset."""
    parts = folder.relative_to(root).parts
    return "/".join(parts[1:] or parts)


def _words(name: str) -> str:
    return name.lstrip("0123456789_").replace("_", " ")


if __name__ == "__main__":
    sys.exit(main())
