"""Open copies of the notebooks in JupyterLab, for ``pcb lab`` and ``make lab``.

JupyterLab saves open notebooks automatically. To keep the notebooks in ``notebooks/`` unchanged,
users work on copies in ``runs/lab/``, a folder that git ignores. A copy that a user has edited is
never overwritten.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from pcb.storage.files import write_atomically
from pcb.storage.repository import repository_path, repository_root

FOLDER = "runs/lab"
FIRST = "00_dataset"  # the notebook that JupyterLab opens
_RECORD = ".copies.json"  # maps each copy to the digest of its original


def start_lab(arguments: Sequence[str] = ()) -> None:
    """Copy the notebooks, then replace this process with JupyterLab.

    JupyterLab opens the copy of the first notebook, and lists the files of the repository.

    Args:
        arguments: Command-line options for JupyterLab.
    """
    copies = copy_notebooks(repository_path("notebooks"), repository_path(FOLDER))
    first = copies[FIRST].relative_to(repository_root()).as_posix()
    command = [sys.executable, "-m", "jupyterlab"]
    command += [
        f"--ServerApp.root_dir={repository_root()}",
        f"--LabApp.default_url=/lab/tree/{first}",
    ]
    if os.geteuid() == 0:
        command.append("--allow-root")  # otherwise JupyterLab refuses to start in most containers
    sys.stdout.flush()
    os.execv(sys.executable, [*command, *arguments])  # noqa: S606


def copy_notebooks(
    notebooks: str | os.PathLike[str], folder: str | os.PathLike[str]
) -> dict[str, Path]:
    """Copy notebooks to a folder in which users can edit them.

    If a notebook has changed, its copy is replaced. However, a copy that a user has edited is kept:
    the new version of the notebook is copied under a new name, such as ``01_train-2.ipynb``, and a
    message names both copies.

    Args:
        notebooks: Folder of the notebooks.
        folder: Folder for the copies. A missing folder is created.

    Returns:
        A dict from each notebook's name, without ``.ipynb``, to the path of its newest copy.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / _RECORD
    copied = _read_record(record)
    newest = {}
    for notebook in sorted(Path(notebooks).glob("*.ipynb")):
        content = notebook.read_bytes()
        digest = _digest(content)
        copies = _copies(folder, notebook.stem)
        number = max(copies, default=1)
        copy = copies.get(number, folder / notebook.name)
        found = _digest(copy.read_bytes()) if copies else None
        original = copied.get(copy.name) if copies else None
        if digest not in (found, original):
            if found != original:
                edited, copy = copy, folder / f"{notebook.stem}-{number + 1}.ipynb"
                print(
                    f"{notebook.name} has changed. Your edited copy {edited} is kept, and the new "
                    f"version of the notebook is copied to {copy}"
                )
            write_atomically(copy, content)
            copied[copy.name] = digest
        newest[notebook.stem] = copy
    write_atomically(record, json.dumps(copied, indent=2) + "\n")
    return newest


def _copies(folder: Path, name: str) -> dict[int, Path]:
    """Find the copies of a notebook, and return a dict from copy number to path.

    For example, ``01_train-2.ipynb`` is copy 2, and ``01_train.ipynb`` is copy 1.
    """
    pattern = re.compile(rf"{re.escape(name)}(?:-(\d+))?\.ipynb")
    matches = ((pattern.fullmatch(path.name), path) for path in folder.iterdir())
    return {int(match[1] or 1): path for match, path in matches if match}


def _read_record(file: Path) -> dict[str, str]:
    """Return a dict from the file name of each notebook copy to the SHA-256 of its original.

    If ``file`` is missing or invalid, the dict is empty.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
