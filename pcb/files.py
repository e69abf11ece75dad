"""Files that appear whole or not at all, and folders that one process at a time writes into."""

import errno
import fcntl
import os
import re
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ASIDE = re.compile(r"\..+\.[0-9a-f]{32}")  # .<name>.<uuid>

_held: set[int] = set()  # descriptors of locks


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write ``content`` to ``path`` so that a reader sees the old file or the new one, whole.

    Missing folders are made. Text is written as UTF-8.

    Raises:
        OSError: there is no space: names the file, which stays as it was.
    """
    with open_atomically(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def open_atomically(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the name ``path`` when the context ends without an error.

    What is written goes to a file beside it, is flushed to disk, and takes the name in one step.

    Raises:
        OSError: there is no space: names the file, which stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not `tempfile`: its files are readable by their owner alone, also after the rename.
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with naming_when_full(path), open(aside, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def naming_when_full(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say which file is being written, and what to do, when there is no space for it.

    Raises:
        OSError: instead of Python's own, which names no file.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise OSError(
            error.errno,
            f"{error.strerror}: make room for it, then go on (trainings with --resume); what was "
            "written before is kept",
            os.fspath(path),
        ) from error


def remove_unfinished(folder: str | os.PathLike[str]) -> None:
    """Remove what writers that were killed left beside their files, in a folder and below it."""
    for file in Path(folder).rglob(".*"):
        if is_unfinished(file.name):
            file.unlink(missing_ok=True)


def is_unfinished(name: str) -> bool:
    """Whether a file of this name is one that is, or was, being written aside.

    Example:
        >>> is_unfinished(".latest.pth.0123456789abcdef0123456789abcdef"), is_unfinished(".lock")
        (True, False)
    """
    return _ASIDE.fullmatch(name) is not None


@contextmanager
def writing_alone(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Be the one process that writes into a folder, on whatever machine of a shared file system.

    The lock is the operating system's: it ends with the process, however that ends.

    Raises:
        ValueError: another process does; names it.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> with writing_alone(folder):
        ...     writer(folder) == (socket.gethostname(), os.getpid())
        True
        >>> writer(folder) is None
        True
    """
    with locked(_lock_file(folder), fcntl.LOCK_EX) as lock:
        if lock is None:
            host, process = writer(folder) or ("?", "?")
            raise ValueError(
                f"{folder} is being written by process {process} on {host}: wait until it ends, "
                "stop it, or give another folder"
            )
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{socket.gethostname()} {os.getpid()}\n".encode(), 0)
        yield


def writer(folder: str | os.PathLike[str]) -> tuple[str, int] | None:
    """Machine and process that is writing into a folder now; None if nobody is."""
    file = _lock_file(folder)
    if not file.is_file():
        return None
    # A shared lock: two that only ask do not take each other for a writer.
    with locked(file, fcntl.LOCK_SH) as lock:
        if lock is not None:
            return None
    host, process = file.read_text().split()
    return host, int(process)


@contextmanager
def locked(file: str | os.PathLike[str], kind: int) -> Iterator[int | None]:
    """A descriptor that holds a file's lock for as long as the context lasts; None if it is held.

    Args:
        file: made if it is not there; its folder, too.
        kind: ``fcntl.LOCK_EX`` or ``fcntl.LOCK_SH``.
    """
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    _held.add(descriptor)
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            held = descriptor
        except BlockingIOError:
            held = None
        yield held
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def _lock_file(folder: str | os.PathLike[str]) -> Path:
    return Path(folder) / ".lock"


def _close_held() -> None:
    """In a forked child, such as a data-loading worker, which may outlive the lock's holder."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_held)
