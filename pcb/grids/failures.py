"""What did not finish in a grid: a note beside each executed notebook for as long as that is so.

``01_train.failed.json`` says where ``01_train.ipynb`` stopped, ``01_train.failed.html`` shows it.
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
from pcb.runs.files import FAILURE_NOTE
from pcb.runs.running import described, notebook_lock
from pcb.storage.files import write_atomically
from pcb.storage.locks import Writer, holding, is_locked

LONGEST = 1000  # characters of an error in one line
NOTE, PAGE = FAILURE_NOTE, ".failed.html"
KILLED = "The process ended without an error message: it was killed, or ran out of memory or time"


@dataclass(frozen=True)
class Failure:
    """A notebook that did not finish.

    Attributes:
        executed: where its executed copy lies, if it came so far: ``.../01_train.ipynb``.
        cell: number of the cell that failed, as in ``In [3]``; None outside of cells.
        error: what was said, in one line or many.
    """

    executed: Path
    cell: int | None
    error: str

    @property
    def page(self) -> Path:
        """The failed notebook as HTML; it is there if the notebook began to run."""
        return self.executed.with_suffix(PAGE)

    @property
    def line(self) -> str:
        """The error in one line: of many, the first and the last, which mostly say it all.

        Control characters, which a terminal would obey, are escaped.

        >>> Failure(Path(), 1, "RuntimeError: training ended:\\n  File\\nValueError: why\\n").line
        'RuntimeError: training ended: ... ValueError: why'
        """
        lines = [line.strip() for line in self.error.splitlines() if line.strip()]
        shown = (shortened(printable(line), LONGEST) for line in lines[:1] + lines[1:][-1:])
        return " ... ".join(shown)


@contextmanager
def noted(executed: str | os.PathLike[str]) -> Iterator[None]:
    """Keep a note and a page of a notebook that is run in this context, until it succeeds.

    The note is there from the start, so that a notebook whose process is killed has one, too. One
    process at a time runs a notebook: if an earlier one still does, it is named and waited for.

    Args:
        executed: where the executed copy will lie; one of another attempt is removed.
    """
    lock = notebook_lock(executed)

    def wait_for(other: Writer) -> None:
        who = described(lock, lock.parent, other).who
        say(f"{executed} is being run by {who}: waiting for its end")

    with holding(lock, Path(executed).stem, wait_for):
        yield from _noted(Failure(Path(executed), None, KILLED))


def _noted(failure: Failure) -> Iterator[None]:
    from pcb.notebooks.pages import export_page

    failure.executed.unlink(missing_ok=True)
    failure.page.unlink(missing_ok=True)
    _write(failure)
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        text = getattr(error, "error", f"{type(error).__name__}: {error}")
        text = "interrupted; the next call goes on" if stopped else text
        _write(Failure(failure.executed, getattr(error, "cell", None), text))
        if failure.executed.is_file():
            with suppress(Exception):  # it may have been cut off while it was written
                export_page(failure.executed, failure.page)
        raise
    _note(failure.executed).unlink()


def failures(root: str | os.PathLike[str]) -> list[Failure]:
    """Return what did not finish below a folder, by path; the names of notebooks tell the order.

    What is still running has not failed; :func:`pcb.runs.running.running` lists it.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with noted(folder / "01_train.ipynb"):
        ...     raise ValueError("no data")
        Traceback (most recent call last):
        ValueError: no data
        >>> [(failure.executed.name, failure.error) for failure in failures(folder)]
        [('01_train.ipynb', 'ValueError: no data')]
    """
    found = []
    for note in sorted(Path(root).rglob(f"*{NOTE}")):
        try:
            content = json.loads(note.read_text(encoding="utf-8"))
        except FileNotFoundError:  # it has succeeded meanwhile
            continue
        executed = note.with_name(note.name.removesuffix(NOTE) + ".ipynb")
        if is_locked(notebook_lock(executed)):
            continue
        found.append(Failure(executed, content["cell"], content["error"]))
    return found


def forget(root: str | os.PathLike[str]) -> None:
    """Remove notes and pages of failures below a folder."""
    for failure in failures(root):
        _note(failure.executed).unlink()
        failure.page.unlink(missing_ok=True)


def _note(executed: Path) -> Path:
    return executed.with_suffix(NOTE)


def _write(failure: Failure) -> None:
    content = {"cell": failure.cell, "error": failure.error}
    write_atomically(_note(failure.executed), json.dumps(content, indent=2) + "\n")
