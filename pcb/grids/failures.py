"""Record which notebooks did not finish.

A failure is recorded in two files beside the executed notebook. For ``01_train.ipynb``,
``01_train.failed.json`` contains the number of the failed cell and the error, and
``01_train.failed.html`` shows the notebook up to the failed cell. Both files are removed when the
notebook runs again and succeeds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pcb.messages.lines import say
from pcb.messages.printable import printable, shortened
from pcb.runs.files import EXECUTED, FAILURE_NOTE, FAILURE_PAGE
from pcb.runs.processes import described, notebook_lock
from pcb.storage.files import write_atomically
from pcb.storage.locks import Writer, holding, is_locked

LONGEST = 1000  # maximum number of characters of each line of an error
KILLED = "The process ended without an error message: it was killed, or ran out of memory or time"


@dataclass(frozen=True)
class Failure:
    """A notebook that did not finish.

    Attributes:
        executed: Path of the executed copy of the notebook, such as ``.../01_train.ipynb``. If the
            notebook never started, this file does not exist.
        cell: Number of the cell that failed, as in ``In [3]``; None if no cell failed.
        error: The error message, which may have several lines.
    """

    executed: Path
    cell: int | None
    error: str

    @property
    def page(self) -> Path:
        """Path of the HTML page that shows the failed notebook up to the failed cell.

        The page exists only if the notebook started.
        """
        return self.executed.with_suffix(FAILURE_PAGE)

    @property
    def line(self) -> str:
        """The first and the last line of the error, joined into one line.

        Control characters are escaped.

        >>> Failure(Path(), 1, "RuntimeError: training ended:\\n  File\\nValueError: why\\n").line
        'RuntimeError: training ended: ... ValueError: why'
        """
        lines = [line.strip() for line in self.error.splitlines() if line.strip()]
        shown = (shortened(printable(line), LONGEST) for line in lines[:1] + lines[1:][-1:])
        return " ... ".join(shown)


@contextmanager
def record_failure(executed: str | os.PathLike[str]) -> Iterator[None]:
    """Record the failure of a notebook that is executed inside the ``with`` block.

    A JSON file is written before the block starts, and removed when the block succeeds. Therefore,
    a failure is recorded even if the process is killed.

    If another process is executing the notebook, the block starts when that process has ended.

    Args:
        executed: Path of the executed copy of the notebook. An earlier copy is removed.
    """
    lock = notebook_lock(executed)

    def wait_for(other: Writer) -> None:
        who = described(lock, lock.parent, other).who
        say(f"{executed} is already being run by {who}: waiting until that process ends")

    with holding(lock, Path(executed).stem, wait_for):
        yield from _record(Failure(Path(executed), None, KILLED))


def _record(failure: Failure) -> Iterator[None]:
    from pcb.notebooks.pages import export_page

    failure.executed.unlink(missing_ok=True)
    failure.page.unlink(missing_ok=True)
    _write(failure)
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        text = getattr(error, "error", f"{type(error).__name__}: {error}")
        text = "interrupted; run the same command again to continue" if stopped else text
        _write(Failure(failure.executed, getattr(error, "cell", None), text))
        if failure.executed.is_file():
            with suppress(Exception):  # the executed copy may be incomplete
                export_page(failure.executed, failure.page)
        raise
    _note(failure.executed).unlink()


def find_failures(root: str | os.PathLike[str]) -> list[Failure]:
    """Return the recorded failures of all notebooks below a folder, sorted by path.

    A notebook that is still running does not count as failed.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with record_failure(folder / "01_train.ipynb"):
        ...     raise ValueError("no data")
        Traceback (most recent call last):
        ValueError: no data
        >>> [(failure.executed.name, failure.error) for failure in find_failures(folder)]
        [('01_train.ipynb', 'ValueError: no data')]
    """
    found = []
    for note in sorted(Path(root).rglob(f"*{FAILURE_NOTE}")):
        try:
            content = json.loads(note.read_text(encoding="utf-8"))
        except FileNotFoundError:  # the notebook has succeeded in the meantime
            continue
        executed = note.with_name(note.name.removesuffix(FAILURE_NOTE) + EXECUTED)
        if is_locked(notebook_lock(executed)):
            continue
        found.append(Failure(executed, content["cell"], content["error"]))
    return found


def forget_failures(root: str | os.PathLike[str]) -> None:
    """Remove the records (JSON file and HTML page) of all failed notebooks below a folder."""
    for failure in find_failures(root):
        _note(failure.executed).unlink()
        failure.page.unlink(missing_ok=True)


def _note(executed: Path) -> Path:
    return executed.with_suffix(FAILURE_NOTE)


def _write(failure: Failure) -> None:
    content = {"cell": failure.cell, "error": failure.error}
    write_atomically(_note(failure.executed), json.dumps(content, indent=2) + "\n")
