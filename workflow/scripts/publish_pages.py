"""Copy the page over a finished grid to ``docs/``, small enough for git: ``make pages``.

The page, and whatever it links: notebooks are exported anew, all of them with one file of
plotly.js; figures are reduced to a palette; PDFs stay behind.
"""

import argparse
import re
import shutil
import sys
import tempfile
from html import unescape
from pathlib import Path
from urllib.parse import unquote

from pcb.grids.failures import find_failures
from pcb.notebooks.pages import export_page, plotly_script, with_palette
from pcb.runs.running import running
from pcb.storage.files import write_atomically
from pcb.storage.repository import repository_path, repository_root

PLOTLY = "plotly.js"
COLORS = 128  # of a figure
LINK = re.compile(r'(?:href|src)="([^"#:]+)"')
PDF = re.compile(r' · <a href="[^"]+\.pdf">PDF</a>')
NOTICE = """\
The images and figures in this folder are made from OpenMoji.

All emojis designed by OpenMoji - the open-source emoji and icon project (https://openmoji.org).
License: CC BY-SA 4.0, https://creativecommons.org/licenses/by-sa/4.0/

The images are adaptations (recoloured, scaled, rotated, composed) under the same licence.
plotly.js is packed; Copyright 2012-2026, Plotly, Inc., MIT licence,
https://github.com/plotly/plotly.js
"""


def main() -> None:
    """Publish one grid."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("grid", nargs="?", type=Path, default=repository_path("runs/demo"))
    parser.add_argument("out", nargs="?", type=Path, default=repository_path("docs/demo"))
    options = parser.parse_args()
    publish(options.grid, options.out)
    size = sum(file.stat().st_size for file in options.out.rglob("*") if file.is_file())
    print(f"{options.out / 'index.html'}: {size / 1e6:.1f} MB with all that it links")


def publish(grid: Path, out: Path) -> None:
    """Write ``out`` anew from the page of a grid; it appears whole or stays as it was.

    Raises:
        FileNotFoundError: the grid has no page, or links a file that is not there.
        ValueError: a notebook of the grid failed; ``out`` holds something else; or a file names a
            folder of this machine, which is nobody's business.
    """
    index = grid / "index.html"
    if not index.is_file():
        raise FileNotFoundError(f"{grid} has no index.html; `make demo` makes runs/demo")
    if active := running(grid):
        raise ValueError(f"{grid} is not finished: {active[0]}")
    if find_failures(grid):
        raise ValueError(f"notebooks of {grid} failed; only a finished grid is published")
    if out.exists() and any(out.iterdir()) and not (out / "index.html").is_file():
        raise ValueError(f"{out} holds something else than a page; give a new folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        new = Path(folder, "new")
        html = PDF.sub("", index.read_text(encoding="utf-8"))
        for target in sorted({unescape(unquote(link)) for link in LINK.findall(html)}):
            copy(grid / target, new / target, new)
        write_atomically(new / "index.html", html)
        write_atomically(new / PLOTLY, plotly_script())
        (new / "NOTICE").write_text(NOTICE)
        refuse_local_paths(new)
        if out.exists():
            out.rename(Path(folder, "old"))
        new.rename(out)


def copy(source: Path, target: Path, out: Path) -> None:
    """Write the small version of one file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".html":
        up = "../" * len(target.relative_to(out).parts[:-1])
        export_page(source.with_suffix(".ipynb"), target, up + PLOTLY, COLORS)
    elif source.suffix == ".png":
        target.write_bytes(with_palette(source.read_bytes(), COLORS))
    else:
        shutil.copyfile(source, target)
    if source.suffix != ".png":
        text = target.read_text(encoding="utf-8")
        target.write_text(text.replace(f"{repository_root()}/", ""), encoding="utf-8")


def refuse_local_paths(out: Path) -> None:
    """Check that nothing names a folder of the machine that made it."""
    local = [str(repository_root()), sys.prefix, f"{tempfile.gettempdir()}/"]
    local += [f"{Path.home()}/"] * (len(Path.home().parts) > 1)
    for file in out.rglob("*"):
        if file.is_file() and file.suffix not in (".png", ".js"):
            text = file.read_text(encoding="utf-8")
            for path in local:
                if path in text:
                    raise ValueError(f"{file} names {path}: print paths relative to the repository")


if __name__ == "__main__":
    main()
