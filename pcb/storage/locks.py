"""Locks of the operating system: folders that one process at a time writes into."""

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from pcb.storage.files import check_folder

_PATIENCE = 1.0  # seconds; a lock that somebody only asks for is free again after some microseconds
_held: set[int] = set()  # descriptors of locks
_written_alone: set[Path] = set()  # folders, by this process


def is_lock(name: str) -> bool:
    """Whether a file of this name is a lock, of a folder or of one of its files.

    Example:
        >>> [is_lock(name) for name in (".lock", ".01_train.lock", "train.lock", "flock.csv")]
        [True, True, True, False]
    """
    return name.endswith(".lock")


class Writer(NamedTuple):
    """Who writes into a folder: machine, process, and what for."""

    host: str
    process: int
    purpose: str


@contextmanager
def writing_alone(
    folder: str | os.PathLike[str],
    purpose: str,
    waiting: Callable[[Writer], None] | None = None,
) -> Iterator[None]:
    """Be the one process that writes into a folder, on whatever machine of a shared file system.

    The lock is the operating system's: it ends with the process, however that ends. A process that
    has it already just goes on.

    Args:
        folder: made if it is not there.
        purpose: one word that says what is written.
        waiting: see :func:`holding`.

    Raises:
        ValueError: another process does; names it. Or this cannot be a folder.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> with writing_alone(folder, "training"):
        ...     writer(folder) == (socket.gethostname(), os.getpid(), "training")
        True
        >>> writer(folder) is None
        True
    """
    whole = Path(folder).resolve()
    if whole in _written_alone:
        yield
        return
    check_folder(folder)
    with holding(_lock_file(folder), purpose, waiting) as held:
        if not held:
            found = writer(folder)
            who = "another process"
            if found:
                who = f"process {found.process} on {found.host} ({found.purpose})"
            raise ValueError(
                f"{folder} is being written by {who}: wait until it ends, stop it, or give "
                "another folder"
            )
        _written_alone.add(whole)
        try:
            yield
        finally:
            _written_alone.discard(whole)


def writer(folder: str | os.PathLike[str]) -> Writer | None:
    """Who is writing into a folder now; None if nobody is."""
    return holder(_lock_file(folder))


@contextmanager
def holding(
    file: str | os.PathLike[str],
    purpose: str,
    waiting: Callable[[Writer], None] | None = None,
) -> Iterator[bool]:
    """Hold a file's lock and write into the file who does; gives False if somebody else holds it.

    Args:
        file: made if it is not there; its folder, too.
        purpose: one word that says what for.
        waiting: called with the other holder, if there is one, before its end is waited for.
    """
    with ExitStack() as stack:
        lock = stack.enter_context(locked(file))
        if lock is None and waiting:
            if found := holder(file):
                waiting(found)
            lock = stack.enter_context(locked(file, wait=True))
        if lock is not None:
            # Write first, truncate after, so that a reader never sees a partial line.
            line = f"{socket.gethostname()} {os.getpid()} {purpose}\n".encode()
            os.pwrite(lock, line, 0)
            os.ftruncate(lock, len(line))
        yield lock is not None


def holder(file: str | os.PathLike[str]) -> Writer | None:
    """Who holds a file's lock now, as :func:`holding` wrote it down; None if nobody does."""
    deadline = time.monotonic() + _PATIENCE
    while is_locked(file):
        words = Path(file).read_text().split("\n")[0].split()
        if len(words) == 3 and words[1].isdecimal():
            return Writer(words[0], int(words[1]), words[2])
        if time.monotonic() > deadline:  # else it has just begun, and has yet to say who it is
            return Writer("unknown", 0, "unknown")
        time.sleep(0.01)
    return None


@contextmanager
def locked(file: str | os.PathLike[str], wait: bool = False) -> Iterator[int | None]:
    """A descriptor that holds a file's lock for as long as the context lasts; None if it is held.

    Args:
        file: made if it is not there; its folder, too.
        wait: until it is free, rather than give None.
    """
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    _held.add(descriptor)
    try:
        yield descriptor if _lock(descriptor, wait) else None
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def is_locked(file: str | os.PathLike[str]) -> bool:
    """Whether some process holds a file's lock."""
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # Shared: two that only ask do not take each other for a holder.
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


def _lock_file(folder: str | os.PathLike[str]) -> Path:
    return Path(folder) / ".lock"


def _close_held() -> None:
    """In a forked child, such as a data-loading worker, which may outlive the lock's holder."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_held)
