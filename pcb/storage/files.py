"""Files that appear whole or not at all."""

import errno
import json
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{32}")  # .<name>.<uuid>


class NoSpaceError(OSError):
    """There is no space for a file; the message names the file and the remedy."""


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write ``content`` to ``path`` so that a reader sees either the old or the new file, whole.

    Missing folders are created. Text is written as UTF-8.

    Raises:
        NoSpaceError: There is no space; an earlier file stays as it was.
    """
    with open_atomically(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def open_atomically(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that gets the name ``path`` when the context ends without an error.

    The content goes to a temporary file in the same folder, which is flushed to disk and renamed.

    Raises:
        NoSpaceError: There is no space; an earlier file stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not `tempfile`, whose files only their owner can read, also after the rename. A long name is
    # cut, since file systems allow 255 bytes.
    unfinished = path.with_name(f".{path.name[:50]}.{uuid.uuid4().hex}")
    try:
        with naming_when_full(path):
            with open(unfinished, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def naming_when_full(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file that is being written, and the remedy, if there is no space for it.

    Raises:
        NoSpaceError: Replaces Python's own error, which names no file.
    """
    try:
        yield
    except NoSpaceError:
        raise  # about another file, which was written inside this context
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise NoSpaceError(
            error.errno,
            f"{error.strerror}: make room for it, then continue (a training with --resume); "
            "files written before are kept",
            os.fspath(path),
        ) from error


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return the content of a JSON file.

    Raises:
        ValueError: The file is not JSON; the message names it.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:  # also text that is not UTF-8
        raise ValueError(f"{path} is not JSON ({error})") from error


def write_json(
    path: str | os.PathLike[str], value: Any, default: Callable[[Any], Any] | None = None
) -> None:
    """Write a value as indented JSON; see :func:`write_atomically`.

    Args:
        path: The file.
        value: The value.
        default: Converts objects that JSON does not know, such as ``str``.

    Raises:
        ValueError: A number is infinite or not a number; an earlier file stays as it was.
    """
    text = json.dumps(value, indent=2, allow_nan=False, default=default)
    write_atomically(path, text + "\n")


def check_output(
    path: str | os.PathLike[str],
    inputs: Iterable[str | os.PathLike[str]],
    is_own: Callable[[Path], bool],
    force: bool | None = None,
    name: str = "output",
    hint: str = "give another name",
) -> None:
    """Refuse an output file that cannot be written, or whose writing would destroy another file.

    Call this before the work whose result goes to the file.

    Args:
        path: The output file; an empty file or an earlier result may exist there.
        inputs: Files that are read for the result; links to them are recognised.
        is_own: Whether an existing file is an earlier result; an exception counts as no.
        force: Whether files other than inputs may be overwritten; None if the user has no such
            option.
        name: Name of the output in the message, such as the option.
        hint: Remedy in the message.

    Raises:
        ValueError: The file is an input, a folder or a device, lies below a file, cannot be
            written, or is neither empty nor an earlier result.

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
    """Refuse an output folder that cannot be created or written to.

    Raises:
        ValueError: The path is a file, lies below a file, or is not writable.
    """
    path = Path(path)
    is_file = os.path.lexists(path) and not path.is_dir()
    inside = path / "file" if path.is_dir() else path
    if problem := "is not a folder" if is_file else _parent_problem(inside):
        raise ValueError(f"{path} {problem}; give another folder")


def _parent_problem(path: Path) -> str | None:
    parent = next(p for p in path.absolute().parents if os.path.lexists(p))
    if not parent.is_dir():
        return f"lies below {parent}, which is not a folder"
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
    target = Path(os.path.realpath(path))  # a link's target, which may not exist yet
    if target.is_symlink():
        return "is a link that leads back to itself"
    if problem := _parent_problem(target):
        return problem
    if path.suffix == ".gz":
        return "would not be compressed, although its name ends in .gz"
    if not path.exists():
        return None
    for stream in (1, 2):
        if _is_stream(path, stream):
            return "is where this command prints: one of the two would be lost"
    for file in inputs:
        if os.path.exists(file) and os.path.samefile(path, file):
            return f"is {file}, which is read: it would be lost"
    if not path.is_file():
        return "is not a regular file"
    if not os.access(path, os.W_OK):
        return "is write-protected"
    if force or not path.stat().st_size:
        return None
    with suppress(Exception):  # readers of one format raise all kinds of errors for another
        if is_own(path):
            return None
    option = "" if force is None else " without --force"
    return f"is a file of another kind, which is not overwritten{option}"


def _is_stream(path: Path, descriptor: int) -> bool:
    try:
        return path.is_file() and os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:  # the stream is closed
        return False


def remove_unfinished(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files that killed writers left in a folder and below it."""
    for file in Path(folder).rglob(".*"):
        if is_unfinished(file.name):
            file.unlink(missing_ok=True)


def is_unfinished(name: str) -> bool:
    """Whether this is the name of a temporary file of :func:`open_atomically`.

    Example:
        >>> is_unfinished(".latest.pth.0123456789abcdef0123456789abcdef"), is_unfinished(".lock")
        (True, False)
    """
    return _UNFINISHED.fullmatch(name) is not None
