"""Files that appear whole or not at all, and folders that one process at a time writes into."""

import errno
import fcntl
import os
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ASIDE = re.compile(r"\..+\.[0-9a-f]{32}")  # .<name>.<uuid>
_PATIENCE = 1.0  # seconds; a lock that somebody only asks for is free again after some microseconds

_held: set[int] = set()  # descriptors of locks
_written_alone: set[Path] = set()  # folders, by this process


class NoSpaceError(OSError):
    """There is no space for a file; says which one, and what to do."""


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write ``content`` to ``path`` so that a reader sees the old file or the new one, whole.

    Missing folders are made. Text is written as UTF-8.

    Raises:
        NoSpaceError: names the file, which stays as it was.
    """
    with open_atomically(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def open_atomically(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the name ``path`` when the context ends without an error.

    What is written goes to a file beside it, is flushed to disk, and takes the name in one step.

    Raises:
        NoSpaceError: names the file, which stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not `tempfile`: its files are readable by their owner alone, also after the rename.
    # Of a long name a part, since file systems allow 255 bytes.
    aside = path.with_name(f".{path.name[:50]}.{uuid.uuid4().hex}")
    try:
        with naming_when_full(path):
            with open(aside, "xb") as file:
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
        NoSpaceError: instead of Python's own error, which names no file.
    """
    try:
        yield
    except NoSpaceError:
        raise  # of another file, which was written meanwhile
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise NoSpaceError(
            error.errno,
            f"{error.strerror}: make room for it, then go on (trainings with --resume); what was "
            "written before is kept",
            os.fspath(path),
        ) from error


def check_output(
    path: str | os.PathLike[str],
    inputs: Iterable[str | os.PathLike[str]],
    is_own: Callable[[Path], bool],
    force: bool | None = None,
    name: str = "output",
    hint: str = "give another name",
) -> None:
    """Refuse a file to be written that would cost another one, or cannot be written at all.

    Call it before the work whose result goes there.

    Args:
        path: Where the result goes; an empty file may be there, or an earlier result.
        inputs: Files that are read for it, whatever names and links lead to them.
        is_own: Whether a file is such a result; an error means that it is not.
        force: Let something else be written over, though never an input; None where the user
            cannot ask for it.
        name: What the message calls it, such as the option.
        hint: What to do about it.

    Raises:
        ValueError: It is an input, a folder, a device, lies below a file, cannot be written, or
            is something else.

    Example:
        >>> check_output("/", [], bool, name="--out")
        Traceback (most recent call last):
        ...
        ValueError: --out / is a folder; give another name
    """
    path = Path(path)
    problem = _output_problem(path, inputs, is_own, force)
    if problem:
        raise ValueError(f"{name} {path} {problem}; {hint}")


def check_folder(path: str | os.PathLike[str]) -> None:
    """Refuse a folder to be written into that cannot be one, before the work.

    Raises:
        ValueError: It is a file, lies below one, or nothing can be written there.
    """
    path = Path(path)
    is_file = os.path.lexists(path) and not path.is_dir()
    inside = path / "file" if path.is_dir() else path
    if problem := "is no folder" if is_file else _parent_problem(inside):
        raise ValueError(f"{path} {problem}; give another folder")


def _parent_problem(path: Path) -> str | None:
    parent = next(p for p in path.absolute().parents if os.path.lexists(p))
    if not parent.is_dir():
        return f"lies below {parent}, which is no folder"
    if not os.access(parent, os.W_OK | os.X_OK):
        return f"lies in {parent}, where you may not write"
    return None


def _output_problem(
    path: Path,
    inputs: Iterable[str | os.PathLike[str]],
    is_own: Callable[[Path], bool],
    force: bool | None,
) -> str | None:
    if path.is_dir():
        return "is a folder"
    written = Path(os.path.realpath(path))  # what a link leads to, which may not be there yet
    if written.is_symlink():
        return "is a link that leads back to itself"
    if problem := _parent_problem(written):
        return problem
    if path.suffix == ".gz":
        return "would not be compressed, as its name says"
    if not path.exists():
        return None
    for stream in (1, 2):
        if _is_stream(path, stream):
            return "is where this command prints: one of both would be lost"
    for file in inputs:
        if os.path.exists(file) and os.path.samefile(path, file):
            return f"is {file}, which is read: it would be lost"
    if not path.is_file():
        return "is no regular file"
    if not os.access(path, os.W_OK):
        return "is write-protected"
    if force or not path.stat().st_size:
        return None
    try:
        if is_own(path):
            return None
    except Exception:  # whatever a reader of one format says of another
        pass
    way = "" if force is None else " without --force"
    return f"is a file of another kind, which is not written over{way}"


def _is_stream(path: Path, descriptor: int) -> bool:
    try:
        return path.is_file() and os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:  # closed
        return False


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
