"""Write files atomically, and check the paths of output files before a long computation."""

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
    """An error raised if there is no space for a file; the message names the file."""


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write a file in such a way that readers never see an incomplete file.

    Missing folders are created. Text is written as UTF-8.

    Raises:
        NoSpaceError: There is no space for the file; an existing file is not changed.
    """
    with open_atomically(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def open_atomically(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing; the file appears at ``path`` only if the ``with`` block succeeds.

    The content is written to a temporary file in the same folder. At the end of the block, the
    temporary file is flushed to disk and renamed to ``path``.

    Raises:
        NoSpaceError: There is no space for the file; an existing file is not changed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # `tempfile` would create a file that only its owner can read, even after the rename. The name
    # is cut, because file systems allow at most 255 bytes.
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
    """Raise :class:`NoSpaceError` if there is no space for the file that a ``with`` block writes.

    Args:
        path: The file that the ``with`` block writes.

    Raises:
        NoSpaceError: There is no space for the file; the message names the file.
    """
    try:
        yield
    except NoSpaceError:
        raise  # already names a file, which was written inside this context
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise NoSpaceError(
            error.errno,
            f"{error.strerror}: make room for this file, then run the command again (for "
            "`pcb train`, add --resume)",
            os.fspath(path),
        ) from error


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return the content of a JSON file.

    Raises:
        ValueError: The file is not JSON; the message names the file.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:  # also text that is not UTF-8
        raise ValueError(
            f"{path} is not JSON ({error}): correct the file, or replace it"
        ) from error


def write_json(
    path: str | os.PathLike[str], value: Any, default: Callable[[Any], Any] | None = None
) -> None:
    """Write a value as indented JSON; see :func:`write_atomically`.

    Args:
        path: The file.
        value: The value.
        default: Function, such as ``str``, that converts objects that JSON cannot represent.

    Raises:
        ValueError: A number is infinite or NaN. In this case, an existing file stays unchanged.
    """
    text = json.dumps(value, indent=2, allow_nan=False, default=default)
    write_atomically(path, text + "\n")


def check_output(
    path: str | os.PathLike[str],
    inputs: Iterable[str | os.PathLike[str]],
    is_own: Callable[[Path], bool],
    force: bool | None = None,
    name: str = "output",
    hint: str = "choose another name",
) -> None:
    """Check that an output file can be written and that no important file is overwritten.

    Call this function before the work that produces the output.

    Args:
        path: The output file.
        inputs: Files from which the output is computed. They are never overwritten.
        is_own: Function that returns whether an existing file is an earlier result of the same
            command. An exception counts as False.
        force: Whether to overwrite a file that is not an earlier result. Pass None if the command
            has no option ``--force``.
        name: Name of the output in the error message, such as ``--out``.
        hint: Remedy at the end of the error message.

    Raises:
        ValueError: The output cannot be written to the path, or would overwrite an input file.
        ValueError: The path is a non-empty file that is not an earlier result, and ``force`` is
            not True.

    Example:
        >>> check_output("/", [], bool, name="--out")
        Traceback (most recent call last):
        ...
        ValueError: --out / is a folder; choose another name
    """
    path = Path(path)
    problem = _output_problem(path, inputs, is_own, force)
    if problem:
        raise ValueError(f"{name} {path} {problem}; {hint}")


def check_folder(path: str | os.PathLike[str]) -> None:
    """Check that an output folder is writable or, if it does not exist, can be created.

    Raises:
        ValueError: The path is not a folder, or the folder is not writable or cannot be created.
    """
    path = Path(path)
    is_file = os.path.lexists(path) and not path.is_dir()
    inside = path / "file" if path.is_dir() else path
    if problem := "is not a folder" if is_file else _parent_problem(inside):
        raise ValueError(f"{path} {problem}; choose another folder")


def _parent_problem(path: Path) -> str | None:
    parent = next(p for p in path.absolute().parents if os.path.lexists(p))
    if not parent.is_dir():
        return f"is below {parent}, which is not a folder"
    if not os.access(parent, os.W_OK | os.X_OK):
        return f"is in the folder {parent}, where you have no write permission"
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
        return "ends in .gz, but the output is not compressed"
    if not path.exists():
        return None
    for stream in (1, 2):
        if _is_stream(path, stream):
            return "also receives the printed output of this command: one output would be lost"
    for file in inputs:
        if os.path.exists(file) and os.path.samefile(path, file):
            return f"is the input file {file}, which would be overwritten"
    if not path.is_file():
        return "is not a regular file"
    if not os.access(path, os.W_OK):
        return "is write-protected"
    if force or not path.stat().st_size:
        return None
    with suppress(Exception):  # a reader may raise any error for a file in a different format
        if is_own(path):
            return None
    option = "" if force is None else " (pass --force to overwrite it)"
    return f"exists and is not an earlier result of the same kind, so it is not overwritten{option}"


def _is_stream(path: Path, descriptor: int) -> bool:
    try:
        return path.is_file() and os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:  # the stream is closed
        return False


def remove_unfinished(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files of unfinished writes from a folder and its subfolders."""
    for file in Path(folder).rglob(".*"):
        if is_unfinished(file.name):
            file.unlink(missing_ok=True)


def is_unfinished(name: str) -> bool:
    """Return whether a file with this name is a temporary file of :func:`open_atomically`.

    Example:
        >>> is_unfinished(".latest.pth.0123456789abcdef0123456789abcdef"), is_unfinished(".lock")
        (True, False)
    """
    return _UNFINISHED.fullmatch(name) is not None
