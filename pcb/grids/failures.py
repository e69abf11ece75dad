"""Notebooks of a grid that did not finish: a note beside each executed notebook until it succeeds.

``01_train.failed.json`` tells where ``01_train.ipynb`` stopped; ``01_train.failed.html`` shows it.
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

LONGEST = 1000  # characters of an error in one line
KILLED = "The process ended without an error message: it was killed, or ran out of memory or time"


@dataclass(frozen=True)
class Failure:
    """A notebook that did not finish.

    Attributes:
        executed: path of the executed copy, such as ``.../01_train.ipynb``; it does not exist if
            the notebook never began to run.
        cell: number of the cell that failed, as in ``In [3]``; None if no cell failed.
        error: the error message, of one line or several.
    """

    executed: Path
    cell: int | None
    error: str

    @property
    def page(self) -> Path:
        """The failed notebook as HTML; it exists if the notebook began to run."""
        return self.executed.with_suffix(FAILURE_PAGE)

    @property
    def line(self) -> str:
        """The error in one line: the first and the last of its lines, which usually suffice.

        Control characters, which a terminal would obey, are escaped.

        >>> Failure(Path(), 1, "RuntimeError: training ended:\\n  File\\nValueError: why\\n").line
        'RuntimeError: training ended: ... ValueError: why'
        """
        lines = [line.strip() for line in self.error.splitlines() if line.strip()]
        shown = (shortened(printable(line), LONGEST) for line in lines[:1] + lines[1:][-1:])
        return " ... ".join(shown)


@contextmanager
def record_failure(executed: str | os.PathLike[str]) -> Iterator[None]:
    """Keep a note and a page of the notebook that runs in this context, until it succeeds.

    The note is written first, so that it exists even if the process is killed. Only one process at
    a time runs a notebook: if another one does, this prints its name and waits for its end.

    Args:
        executed: path of the executed copy; the copy of an earlier attempt is removed.
    """
    lock = notebook_lock(executed)

    def wait_for(other: Writer) -> None:
        who = described(lock, lock.parent, other).who
        say(f"{executed} is being run by {who}: waiting for its end")

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
        text = "interrupted; the next call continues it" if stopped else text
        _write(Failure(failure.executed, getattr(error, "cell", None), text))
        if failure.executed.is_file():
            with suppress(Exception):  # the copy may be cut off
                export_page(failure.executed, failure.page)
        raise
    _note(failure.executed).unlink()


def find_failures(root: str | os.PathLike[str]) -> list[Failure]:
    """Return the notebooks below a folder that did not finish, sorted by path.

    A notebook that is still running has not failed; :func:`pcb.runs.processes.running` lists it.

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
    """Remove the notes and pages of failures below a folder."""
    for failure in find_failures(root):
        _note(failure.executed).unlink()
        failure.page.unlink(missing_ok=True)


def _note(executed: Path) -> Path:
    return executed.with_suffix(FAILURE_NOTE)


def _write(failure: Failure) -> None:
    content = {"cell": failure.cell, "error": failure.error}
    write_atomically(_note(failure.executed), json.dumps(content, indent=2) + "\n")
