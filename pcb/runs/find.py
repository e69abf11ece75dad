"""Find all runs in a folder, and find the run without PCB that belongs to a run with PCB."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pcb.runs.folder import RunFolder
from pcb.runs.paths import plain_names


def collect(root: str | os.PathLike[str]) -> list[RunFolder]:
    """Return all run folders at or below ``root``, sorted by path.

    A folder is a run folder if it contains ``config.py`` or ``metrics.json``. A ``metrics.json`` is
    enough, so that detectors trained with other software can be compared. Hidden folders and
    folders inside a run folder are not searched.

    Raises:
        FileNotFoundError: ``root`` is not a folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(
            f"{root} is not a folder: pass a folder with runs; `make demo` creates runs/demo"
        )
    return sorted(_run_folders(root), key=lambda run: run.path)


def plain_counterpart(run: RunFolder) -> RunFolder | None:
    """Return the run that has the same dataset and seed as ``run``, but a config without PCB.

    The result is None if there is no such run. The run is found by its name: the name of its config
    is one of those that :func:`pcb.runs.paths.plain_names` returns for the config of ``run``.

    Example:
        >>> plain_counterpart(RunFolder("runs/demo/openmoji/softmax/seed0")) is None
        True
    """
    config = run.path.absolute().parent
    names = plain_names(config.name)
    folders = (config.with_name(name) / run.path.absolute().name for name in names)
    return next((RunFolder(folder) for folder in folders if folder.is_dir()), None)


def _run_folders(folder: Path) -> Iterator[RunFolder]:
    run = RunFolder(folder)
    if run.config_file.is_file() or run.metrics_file.is_file():
        yield run
        return
    for child in folder.iterdir():
        if child.is_dir() and not child.name.startswith("."):
            yield from _run_folders(child)
