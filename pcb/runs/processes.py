"""What is running in a grid's folder: the grid itself, its notebooks, trainings and predictions.

Each of these processes holds a lock of the operating system, and the lock's file names it. So the
list is exact: it has every live process, also on other machines of a shared file system, and no
dead one.
"""

from __future__ import annotations

import os
import socket
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from pcb.storage.locks import Writer, holder, is_lock

# Purposes of locks.
GRID, TRAINING, PREDICTION = "grid", "training", "prediction"


class Running(NamedTuple):
    """A process that holds a lock.

    Attributes:
        what: ``grid``, ``training``, ``prediction``, or a notebook such as ``02_evaluate``.
        where: Folder that it writes to, relative to the grid's folder.
        process: Process number.
        host: Name of its machine.
        since: Time at which it took the lock.
    """

    what: str
    where: str
    process: int
    host: str
    since: datetime

    @property
    def is_this_process(self) -> bool:
        """Whether it is the current process."""
        return (self.host, self.process) == (socket.gethostname(), os.getpid())

    def __str__(self) -> str:
        """Return one line: what, where, who and since when.

        >>> since = datetime(2030, 1, 2, 3, 4)
        >>> print(Running("02_evaluate", "openmoji/softmax/seed0", 7, "node1", since))
        02_evaluate of openmoji/softmax/seed0: process 7 on node1, since 2030-01-02 03:04
        """
        place = f" of {self.where}" if self.where != "." else ""
        return f"{self.what}{place}: {self.who}"

    @property
    def who(self) -> str:
        """The process, its machine and its start, as text."""
        return f"process {self.process} on {self.host}, since {self.since:%Y-%m-%d %H:%M}"


def notebook_lock(executed: str | os.PathLike[str]) -> Path:
    """Return the lock of the process that executes a notebook, beside the executed copy."""
    return Path(executed).with_name(f".{Path(executed).stem}.lock")


def running(root: str | os.PathLike[str]) -> list[Running]:
    """Return the processes that run in a grid's folder and below it, sorted by path.

    Example:
        >>> import tempfile
        >>> from pcb.storage.locks import writing_alone
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
    """Return the holder of a lock; its start is the time at which the lock's file changed."""
    since = datetime.fromtimestamp(file.stat().st_mtime)
    where = file.parent.relative_to(root).as_posix()
    return Running(who.purpose, where, who.process, who.host, since)
