"""What is running in a grid's folder: the grid itself, its notebooks, trainings and predictions.

Each of them holds a lock of the operating system, in whose file it says who it is. So whatever has
died is not listed, and whatever lives is, also on another machine of a shared file system.
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
        where: the folder it writes into, relative to the grid's.
        process: its number.
        host: the machine it runs on.
        since: when it began.
    """

    what: str
    where: str
    process: int
    host: str
    since: datetime

    @property
    def is_this_process(self) -> bool:
        """Whether it is the process that asks."""
        return (self.host, self.process) == (socket.gethostname(), os.getpid())

    def __str__(self) -> str:
        """One line: what, where, and since when.

        >>> since = datetime(2030, 1, 2, 3, 4)
        >>> print(Running("02_evaluate", "openmoji/softmax/seed0", 7, "node1", since))
        02_evaluate of openmoji/softmax/seed0: process 7 on node1, since 2030-01-02 03:04
        """
        place = f" of {self.where}" if self.where != "." else ""
        return f"{self.what}{place}: {self.who}"

    @property
    def who(self) -> str:
        """The process alone."""
        return f"process {self.process} on {self.host}, since {self.since:%Y-%m-%d %H:%M}"


def notebook_lock(executed: str | os.PathLike[str]) -> Path:
    """The lock of whoever executes a notebook, beside the executed copy."""
    return Path(executed).with_name(f".{Path(executed).stem}.lock")


def running(root: str | os.PathLike[str]) -> list[Running]:
    """Return what is running in a grid's folder and below it, by path.

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
    """The holder of a lock file, whose time of change is when its holder began."""
    since = datetime.fromtimestamp(file.stat().st_mtime)
    where = file.parent.relative_to(root).as_posix()
    return Running(who.purpose, where, who.process, who.host, since)
