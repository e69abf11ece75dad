"""List the processes that are working in a folder or in its subfolders.

Each process holds a lock while it is running. The lock file records the process ID and the machine.
The list includes processes on other machines that share the file system.
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
    """A running process that holds the lock of a folder or of a notebook.

    Attributes:
        what: Purpose of the process: ``training``, ``prediction``, ``grid`` (a set of training
            runs), or the name of a notebook, such as ``02_evaluate``.
        where: Folder to which the process writes, as a relative path.
        process: Process ID.
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
        """Whether this object describes the current process."""
        return (self.host, self.process) == (socket.gethostname(), os.getpid())

    def __str__(self) -> str:
        """Return a one-line description of the process.

        >>> since = datetime(2030, 1, 2, 3, 4)
        >>> print(Running("02_evaluate", "openmoji/softmax/seed0", 7, "node1", since))
        02_evaluate of openmoji/softmax/seed0: process 7 on node1, since 2030-01-02 03:04
        """
        place = f" of {self.where}" if self.where != "." else ""
        return f"{self.what}{place}: {self.who}"

    @property
    def who(self) -> str:
        """The process ID, the machine and the time when the lock was taken, as text."""
        return f"process {self.process} on {self.host}, since {self.since:%Y-%m-%d %H:%M}"


def notebook_lock(executed: str | os.PathLike[str]) -> Path:
    """Return the path of the lock file of an executed notebook."""
    return Path(executed).with_name(f".{Path(executed).stem}.lock")


def running(root: str | os.PathLike[str]) -> list[Running]:
    """Return the running processes that hold a lock in a folder or in its subfolders.

    The processes are sorted by the paths of their lock files.

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

    Args:
        file: The lock file. Its modification time is the time when the lock was taken.
        root: A parent folder of the lock file. The attribute ``where`` of the result is relative
            to this folder.
        who: The process, as recorded in the lock file.
    """
    since = datetime.fromtimestamp(file.stat().st_mtime)
    where = file.parent.relative_to(root).as_posix()
    return Running(who.purpose, where, who.process, who.host, since)
