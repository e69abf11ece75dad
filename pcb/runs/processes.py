"""List the processes that run in a grid's folder.

Such a process runs the grid, executes a notebook, trains or predicts. It holds a lock, and the lock
file records its number and machine. The operating system releases the lock when the process ends.
So the list contains exactly the processes that are still running, including processes on other
machines that share the file system.
"""

from __future__ import annotations

import os
import socket
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from pcb.storage.locks import Writer, holder, is_lock

# What a process that holds a lock does.
GRID, TRAINING, PREDICTION = "grid", "training", "prediction"


class Running(NamedTuple):
    """A process that holds a lock.

    Attributes:
        what: What the process does: ``grid``, ``training``, ``prediction``, or the name of the
            notebook that it executes, for example ``02_evaluate``.
        where: Folder to which the process writes, relative to the grid's folder.
        process: Process number.
        host: Name of the machine on which the process runs.
        since: Time when the process took the lock.
    """

    what: str
    where: str
    process: int
    host: str
    since: datetime

    @property
    def is_this_process(self) -> bool:
        """Whether this is the current process."""
        return (self.host, self.process) == (socket.gethostname(), os.getpid())

    def __str__(self) -> str:
        """Describe the process in one line: what it does, where, which process it is, since when.

        >>> since = datetime(2030, 1, 2, 3, 4)
        >>> print(Running("02_evaluate", "openmoji/softmax/seed0", 7, "node1", since))
        02_evaluate of openmoji/softmax/seed0: process 7 on node1, since 2030-01-02 03:04
        """
        place = f" of {self.where}" if self.where != "." else ""
        return f"{self.what}{place}: {self.who}"

    @property
    def who(self) -> str:
        """The process number, the machine, and when the process took the lock, as text."""
        return f"process {self.process} on {self.host}, since {self.since:%Y-%m-%d %H:%M}"


def notebook_lock(executed: str | os.PathLike[str]) -> Path:
    """Return the lock file of a notebook's executed copy; both are in the same folder."""
    return Path(executed).with_name(f".{Path(executed).stem}.lock")


def running(root: str | os.PathLike[str]) -> list[Running]:
    """Return all processes that run in or below a grid's folder, sorted by path.

    Example:
        >>> import tempfile
        >>> from pcb.storage.writing import writing_alone
        >>> root = tempfile.mkdtemp()
        >>> with writing_alone(f"{root}/openmoji/softmax/seed0", "training"):
        ...     [(one.what, one.where, one.process == os.getpid()) for one in running(root)]
        [('training', 'openmoji/softmax/seed0', True)]
        >>> running(root)
        []
    """
    locks = [file for file in sorted(Path(root).rglob(".*")) if is_lock(file.name)]
    found = ((file, holder(file)) for file in locks)
    return [described(file, root, who) for file, who in found if who]


def described(file: Path, root: str | os.PathLike[str], who: Writer) -> Running:
    """Describe the process that holds a lock.

    The time of the lock file's last change is the time at which the process took the lock.
    """
    since = datetime.fromtimestamp(file.stat().st_mtime)
    where = file.parent.relative_to(root).as_posix()
    return Running(who.purpose, where, who.process, who.host, since)
