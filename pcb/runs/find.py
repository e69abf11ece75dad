"""Find the folders of training runs, and the baseline of a run.

The baseline is the same training run without Pairwise Class Balance (PCB).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pcb.runs.folder import RunFolder
from pcb.runs.paths import plain_names


def collect(root: str | os.PathLike[str]) -> list[RunFolder]:
    """Return the folders of all training runs at or below ``root``, sorted by path.

    A folder counts as a training run if it contains ``config.py`` or ``metrics.json``. Hidden
    folders and the subfolders of a run are not searched.

    Raises:
        FileNotFoundError: ``root`` is not a folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(
            f"{root} is not a folder: pass a folder that contains training runs, for example "
            "runs/demo, which `make demo` creates"
        )
    return sorted(_run_folders(root), key=lambda run: run.path)


def plain_counterpart(run: RunFolder) -> RunFolder | None:
    """Return a run's baseline: the same training run without Pairwise Class Balance (PCB).

    The baseline is found by the name of its folder. For example, the baseline of
    ``softmax_pcb/seed0`` is ``softmax/seed0``. The result is None if the baseline does not exist,
    or if ``run`` itself does not use PCB.

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
