"""Locks of the operating system, so that one process at a time writes to a folder or a file.

A lock ends with the process that holds it, however the process ends. On a shared file system it
also excludes processes on other machines. The lock's file names its holder.

A process can start another one and hand its lock to it: see :func:`handing_over`.
"""

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from pcb.storage.files import check_folder

_PATIENCE = 1.0  # seconds; somebody who only checks a lock releases it after microseconds
_STDIN = 0
_held: set[int] = set()  # descriptors of locks
_written_alone: set[Path] = set()  # folders, by this process


def is_lock(name: str) -> bool:
    """Whether a file of this name is a lock, of a folder or of a file in it.

    Example:
        >>> [is_lock(name) for name in (".lock", ".01_train.lock", "train.lock", "flock.csv")]
        [True, True, True, False]
    """
    return name.endswith(".lock")


class Writer(NamedTuple):
    """The holder of a lock.

    Attributes:
        host: Name of its machine.
        process: Its process number; 0 while the process is being started.
        purpose: One word for what it does.
        note: Text that was handed over with the lock; empty if there is none.
    """

    host: str
    process: int
    purpose: str
    note: str = ""

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine."""
        return self.host == socket.gethostname()


@contextmanager
def writing_alone(
    folder: str | os.PathLike[str],
    purpose: str,
    waiting: Callable[[Writer], None] | None = None,
) -> Iterator[None]:
    """Be the only process that writes to a folder.

    A process that already holds the folder's lock goes on, also if the lock was handed to it.

    Args:
        folder: The folder; created if it is missing.
        purpose: One word for what is written.
        waiting: See :func:`holding`.

    Raises:
        ValueError: Another process writes to the folder; the message names it. Or there can be no
            such folder.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> with writing_alone(folder, "training"):
        ...     writer(folder) == (socket.gethostname(), os.getpid(), "training", "")
        True
        >>> writer(folder) is None
        True
    """
    resolved = Path(folder).resolve()
    if resolved in _written_alone or _takes_over(resolved, purpose):
        yield
        return
    check_folder(folder)
    with holding(_lock_file(folder), purpose, waiting) as held:
        if not held:
            raise already_written(folder)
        _written_alone.add(resolved)
        try:
            yield
        finally:
            _written_alone.discard(resolved)


def already_written(folder: str | os.PathLike[str]) -> ValueError:
    """Return the error that names the process that writes to a folder."""
    who = "another process"
    if found := writer(folder):
        who = f"process {found.process} on {found.host} ({found.purpose})"
    return ValueError(
        f"{folder} is being written by {who}: wait until it ends, stop it, or give another folder"
    )


def writer(folder: str | os.PathLike[str]) -> Writer | None:
    """Return the process that writes to a folder now; None if there is none."""
    return holder(_lock_file(folder))


class Handover(NamedTuple):
    """A lock that is about to be handed to another process.

    Attributes:
        descriptor: The open descriptor of the lock.
        purpose: See :func:`handing_over`.
        note: See :func:`handing_over`.
    """

    descriptor: int
    purpose: str
    note: str

    def taken_by(self, process: int) -> None:
        """Record the number of the process that keeps the lock."""
        _write_holder(self.descriptor, process, self.purpose, self.note)


@contextmanager
def handing_over(
    folder: str | os.PathLike[str], purpose: str, note: str
) -> Iterator[Handover | None]:
    """Hold a folder's lock while starting the process that keeps it.

    Start the process with ``stdin=lock.descriptor``, then call ``lock.taken_by(process.pid)``. The
    lock is held until the process and all its descendants with this standard input have ended, or
    have closed it. Standard input is the only descriptor that launchers such as ``torchrun`` pass
    on. :func:`writing_alone` recognises the lock in the process that writes.

    Args:
        folder: The folder, which exists.
        purpose: One word for what the process does.
        note: Text that :func:`writer` returns for as long as the lock is held.

    Yields:
        A :class:`Handover`; None if the lock is taken.
    """
    with locked(_lock_file(folder)) as descriptor:
        if descriptor is None:
            yield None
            return
        handover = Handover(descriptor, purpose, note)
        handover.taken_by(0)
        yield handover


@contextmanager
def holding(
    file: str | os.PathLike[str],
    purpose: str,
    waiting: Callable[[Writer], None] | None = None,
) -> Iterator[bool]:
    """Hold the lock of a file, and record its holder in the file.

    Args:
        file: The lock's file; created with its folder if it is missing.
        purpose: One word for what the lock is held for.
        waiting: If another process holds the lock, this is called with it, and the lock is waited
            for. Without it, there is no waiting.

    Yields:
        Whether the lock is held; False if another process holds it.
    """
    with ExitStack() as stack:
        lock = stack.enter_context(locked(file))
        if lock is None and waiting:
            if found := holder(file):
                waiting(found)
            lock = stack.enter_context(locked(file, wait=True))
        if lock is not None:
            _write_holder(lock, os.getpid(), purpose)
        yield lock is not None


def holder(file: str | os.PathLike[str]) -> Writer | None:
    """Return the holder of a file's lock, as the file names it; None if nobody holds the lock.

    Host and purpose are ``unknown`` if the file names no holder.
    """
    deadline = time.monotonic() + _PATIENCE
    while is_locked(file):
        line, _, note = Path(file).read_text().partition("\n")
        words = line.split()
        if len(words) == 3 and words[1].isdecimal():
            return Writer(words[0], int(words[1]), words[2], note)
        if time.monotonic() > deadline:
            return Writer("unknown", 0, "unknown")
        time.sleep(0.01)  # the holder may just have begun, and not have recorded itself yet
    return None


@contextmanager
def locked(file: str | os.PathLike[str], wait: bool = False) -> Iterator[int | None]:
    """Hold the lock of a file for as long as the context lasts.

    Args:
        file: The lock's file; created with its folder if it is missing.
        wait: Wait until the lock is free.

    Yields:
        The open descriptor; None if another process holds the lock.
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
    """Whether a process holds the lock of a file."""
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # Shared: two processes that both check do not mistake each other for a holder.
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


def _write_holder(descriptor: int, process: int, purpose: str, note: str = "") -> None:
    content = f"{socket.gethostname()} {process} {purpose}\n{note}".encode()
    # Write first, truncate after, so that a reader never sees a partial line.
    os.pwrite(descriptor, content, 0)
    os.ftruncate(descriptor, len(content))


def _lock_file(folder: str | os.PathLike[str]) -> Path:
    return Path(folder) / ".lock"


def _takes_over(folder: Path, purpose: str) -> bool:
    """Take over the folder's lock if this process has it as its standard input.

    The lock is then kept until the process ends: what the process still prints belongs to its work.
    """
    try:
        if not os.path.samestat(os.fstat(_STDIN), _lock_file(folder).stat()):
            return False
        # Through the descriptor that holds the lock, this succeeds at once.
        fcntl.flock(_STDIN, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # no standard input, no lock, or a file that only was read as input
        return False
    lock = os.dup(_STDIN)  # which child processes do not inherit
    _held.add(lock)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, _STDIN)
    os.close(null)
    # The launcher may have been killed before it recorded this process, or may not live as long.
    starter = writer(folder)
    _write_holder(lock, os.getpid(), purpose, starter.note if starter else "")
    _written_alone.add(folder)
    return True


def _close_held() -> None:
    """Close locks in a forked child: a data-loading worker may outlive its parent."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_held)
