"""Files that appear whole or not at all, and folders that one process at a time writes into."""

import errno
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ASIDE = re.compile(r"\..+\.[0-9a-f]{32}")  # .<name>.<uuid>


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
    with suppress(Exception):  # a reader of one format may raise anything on another
        if is_own(path):
            return None
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
