"""Lock a folder or a file, so that only one process at a time writes to it.

The operating system releases a lock when its holder ends, for whatever reason. On a shared file
system, a lock also excludes processes on other machines. The lock file records the holder.

A process can hand its lock to a process that it starts: see :func:`handing_over`.
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

_PATIENCE = 1.0  # seconds; a process that only checks a lock releases the lock in microseconds
_STDIN = 0
_held: set[int] = set()  # descriptors of lock files that this process has opened
_written_alone: set[Path] = set()  # folders that this process has locked


def is_lock(name: str) -> bool:
    """Return whether a file with this name is the lock for a folder or for a file in the folder.

    Example:
        >>> [is_lock(name) for name in (".lock", ".01_train.lock", "train.lock", "flock.csv")]
        [True, True, True, False]
    """
    return name.endswith(".lock")


class Writer(NamedTuple):
    """The process that holds a lock.

    Attributes:
        host: Name of the machine on which the process runs.
        process: Process number; 0 while the process is being started.
        purpose: What the process does, in one word.
        note: Text that was handed over with the lock; empty if there is none.
    """

    host: str
    process: int
    purpose: str
    note: str = ""

    @property
    def is_here(self) -> bool:
        """Whether the process runs on this machine."""
        return self.host == socket.gethostname()


@contextmanager
def writing_alone(
    folder: str | os.PathLike[str],
    purpose: str,
    waiting: Callable[[Writer], None] | None = None,
) -> Iterator[None]:
    """Lock a folder, so that no other process writes to it during the context.

    If this process already holds the folder's lock, the context keeps using that lock. This
    includes a lock that was handed to this process.

    Args:
        folder: The folder, which is created if it does not exist.
        purpose: What the process does, in one word.
        waiting: See :func:`holding`.

    Raises:
        ValueError: Another process is writing to the folder (the message names the process), or
            the folder cannot be created or written to.

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
    """Return the error to raise if another process is writing to a folder; it names the process."""
    who = "another process"
    if found := writer(folder):
        who = f"process {found.process} on {found.host} ({found.purpose})"
    return ValueError(
        f"{who} is writing to {folder}: wait until it ends, stop it, or choose another folder"
    )


def writer(folder: str | os.PathLike[str]) -> Writer | None:
    """Return the process that is currently writing to a folder, or None."""
    return holder(_lock_file(folder))


class Handover(NamedTuple):
    """A lock that is about to be handed to another process.

    Attributes:
        descriptor: Open file descriptor of the lock file.
        purpose: See :func:`handing_over`.
        note: See :func:`handing_over`.
    """

    descriptor: int
    purpose: str
    note: str

    def taken_by(self, process: int) -> None:
        """Record the process with this number as the new holder of the lock."""
        _write_holder(self.descriptor, process, self.purpose, self.note)


@contextmanager
def handing_over(
    folder: str | os.PathLike[str], purpose: str, note: str
) -> Iterator[Handover | None]:
    """Lock a folder, then hand the lock to a process that is started inside the context.

    Start the process with ``stdin=lock.descriptor``, then call ``lock.taken_by(process.pid)``. The
    lock is held until this process and all descendants that inherit its standard input have ended
    or closed their standard input. Launchers such as ``torchrun`` pass on no other descriptor. In
    the process that writes, :func:`writing_alone` recognises the lock.

    Args:
        folder: An existing folder.
        purpose: What the process does, in one word.
        note: Text to record with the lock; :func:`writer` returns it while the lock is held.

    Yields:
        A :class:`Handover`; None if another process holds the lock.
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
    """Hold a lock during the context, and record this process in the lock file.

    Args:
        file: The lock file; if it does not exist, the file and its folder are created.
        purpose: What the process does, in one word.
        waiting: Function to call with the current holder before waiting for the lock; None not to
            wait.

    Yields:
        True if this process now holds the lock, False if another process holds it.
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
    """Return the holder recorded in a lock file; None if nobody holds the lock.

    If the lock is held but the file does not record a holder, host and purpose are ``unknown``.
    """
    deadline = time.monotonic() + _PATIENCE
    while is_locked(file):
        line, _, note = Path(file).read_text().partition("\n")
        words = line.split()
        if len(words) == 3 and words[1].isdecimal():
            return Writer(words[0], int(words[1]), words[2], note)
        if time.monotonic() > deadline:
            return Writer("unknown", 0, "unknown")
        time.sleep(0.01)  # the holder may have just taken the lock and not yet recorded itself
    return None


@contextmanager
def locked(file: str | os.PathLike[str], wait: bool = False) -> Iterator[int | None]:
    """Hold a lock during the context.

    Args:
        file: The lock file; if it does not exist, the file and its folder are created.
        wait: Whether to wait until the lock is free.

    Yields:
        The open file descriptor of the lock file; None if another process holds the lock.
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
    """Return whether any process holds the lock of this lock file."""
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


def _write_holder(descriptor: int, process: int, purpose: str, note: str = "") -> None:
    content = f"{socket.gethostname()} {process} {purpose}\n{note}".encode()
    # Write first, truncate after, so that a reader never sees a partial line.
    os.pwrite(descriptor, content, 0)
    os.ftruncate(descriptor, len(content))


def _lock_file(folder: str | os.PathLike[str]) -> Path:
    return Path(folder) / ".lock"


def _takes_over(folder: Path, purpose: str) -> bool:
    """Take over a folder's lock if it was handed to this process as its standard input.

    Return whether there was such a lock. The process keeps the lock until it ends, not only while
    it writes, because what it prints at the end is still part of its work.
    """
    try:
        if not os.path.samestat(os.fstat(_STDIN), _lock_file(folder).stat()):
            return False
        # Succeeds immediately if this descriptor holds the lock.
        fcntl.flock(_STDIN, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # no standard input, no lock file, or a lock file that was only opened as input
        return False
    lock = os.dup(_STDIN)  # child processes do not inherit this descriptor
    _held.add(lock)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, _STDIN)
    os.close(null)
    # The launcher may have been killed before it recorded this process, or it may end earlier.
    starter = writer(folder)
    _write_holder(lock, os.getpid(), purpose, starter.note if starter else "")
    _written_alone.add(folder)
    return True


def _close_held() -> None:
    """Close locks in a forked child: a data-loading worker that outlives its parent frees them."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_held)
