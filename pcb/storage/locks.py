"""Lock files: only one process at a time can hold the lock of a file.

The operating system releases the lock when the process that holds it ends, for whatever reason. On
a shared file system, the lock also excludes processes on other machines. The lock file records
which process holds the lock.
"""

import fcntl
import os
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

_PATIENCE = 1.0  # seconds; a process that only checks a lock releases the lock in microseconds
held: set[int] = set()  # descriptors of lock files that this process has opened


def is_lock(name: str) -> bool:
    """Return whether a file with this name is a lock file.

    Example:
        >>> [is_lock(name) for name in (".lock", ".01_train.lock", "train.lock", "flock.csv")]
        [True, True, True, False]
    """
    return name.endswith(".lock")


class Writer(NamedTuple):
    """The process that holds a lock.

    Attributes:
        host: Name of the machine on which the process runs.
        process: Process ID; 0 while the process is being started.
        purpose: What the process does, in one word.
        note: Text that was recorded with the lock; empty if there is none.
        launched: 0 if ``process`` took the lock itself. If ``process`` inherited the lock, the ID
            of the first process that inherited it: either ``process``, or a launcher such as
            ``torchrun`` that started ``process``.
    """

    host: str
    process: int
    purpose: str
    note: str = ""
    launched: int = 0

    @property
    def is_here(self) -> bool:
        """Whether the process runs on this machine."""
        return self.host == socket.gethostname()


@contextmanager
def holding(
    file: str | os.PathLike[str],
    purpose: str,
    waiting: Callable[[Writer], None] | None = None,
) -> Iterator[bool]:
    """Try to hold a lock while the ``with`` block runs, and record who holds it.

    Args:
        file: The lock file; if it does not exist, the file and its folder are created.
        purpose: What the current process does, in one word.
        waiting: Function that is called before the current process starts to wait; its argument
            is the holder of the lock. If None, the current process does not wait.

    Yields:
        True if the current process holds the lock; False if another process holds it.
    """
    with ExitStack() as stack:
        lock = stack.enter_context(locked(file))
        if lock is None and waiting:
            if found := holder(file):
                waiting(found)
            lock = stack.enter_context(locked(file, wait=True))
        if lock is not None:
            write_holder(lock, os.getpid(), purpose)
        yield lock is not None


def holder(file: str | os.PathLike[str]) -> Writer | None:
    """Return the process that holds a lock, or None if the lock is free.

    If the lock file does not record the process, the result has ``host="unknown"``.
    """
    deadline = time.monotonic() + _PATIENCE
    while is_locked(file):
        line, _, note = Path(file).read_text(errors="replace").partition("\n")
        words = line.split()
        if words[1:2] and words[-1] == _checksum(note):  # else the file is being written
            host, process, purpose, launched, _ = words
            return Writer(host, int(process), purpose, note, int(launched))
        if time.monotonic() > deadline:
            return Writer("unknown", 0, "unknown")
        time.sleep(0.01)  # the holder may have just taken the lock and not yet recorded itself
    return None


@contextmanager
def locked(file: str | os.PathLike[str], wait: bool = False) -> Iterator[int | None]:
    """Try to hold a lock while the ``with`` block runs.

    Args:
        file: The lock file; if it does not exist, the file and its folder are created.
        wait: Whether to wait until the lock is free.

    Yields:
        The open file descriptor of the lock file; None if another process holds the lock.
    """
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    held.add(descriptor)
    try:
        yield descriptor if _lock(descriptor, wait) else None
    finally:
        held.discard(descriptor)
        os.close(descriptor)


def is_locked(file: str | os.PathLike[str]) -> bool:
    """Return whether any process holds the lock of a file."""
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # A shared lock: two processes that check at the same time do not exclude each other.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def _lock(descriptor: int, wait: bool) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)


def write_holder(
    descriptor: int, process: int, purpose: str, note: str = "", launched: int = 0
) -> None:
    """Record in a lock file which process holds the lock.

    Args:
        descriptor: Open file descriptor of the lock file.
        process, purpose, note, launched: See :class:`Writer`.
    """
    line = f"{socket.gethostname()} {process} {purpose} {launched} {_checksum(note)}"
    content = f"{line}\n{note}".encode()
    os.pwrite(descriptor, content, 0)
    os.ftruncate(descriptor, len(content))


def _checksum(note: str) -> str:
    """Return a checksum that shows whether the note in a lock file is complete."""
    return f"{zlib.crc32(note.encode()):08x}"


def _close_held() -> None:
    """Close the lock files that a forked child process inherited from its parent.

    Otherwise, a child process that outlives its parent would keep the parent's locks.
    """
    for descriptor in held:
        os.close(descriptor)
    held.clear()


os.register_at_fork(after_in_child=_close_held)
