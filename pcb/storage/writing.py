"""Lock a folder, so that only one process at a time writes to it.

A process can hand its lock to a process that it starts: see :func:`handing_over`.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pcb.storage.files import check_folder
from pcb.storage.locks import Writer, held, holder, holding, locked, write_holder

_STDIN = 0  # torchrun passes this descriptor on to its processes, but no additional ones
_written_alone: set[Path] = set()  # folders that this process has locked


@contextmanager
def writing_alone(
    folder: str | os.PathLike[str],
    purpose: str,
    waiting: Callable[[Writer], None] | None = None,
) -> Iterator[None]:
    """Lock a folder, so that no other process writes to it while a ``with`` block runs.

    No new lock is taken if the calling process already holds the folder's lock, or received the
    lock through :func:`handing_over`.

    Args:
        folder: The folder, which is created if it does not exist.
        purpose: One word that says what the calling process does.
        waiting: Function to call before waiting for another process that holds the lock. The
            function receives a description of the other process. If None, an error is raised.

    Raises:
        ValueError: Another process holds the lock and ``waiting`` is None, or the folder cannot be
            created or written to.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> with writing_alone(folder, "training"):
        ...     writer(folder).purpose, writer(folder).process == os.getpid()
        ('training', True)
        >>> writer(folder) is None
        True
    """
    resolved = Path(folder).resolve()
    if resolved in _written_alone or _takes_over(resolved, purpose):
        yield
        return
    check_folder(folder)
    with holding(_lock_file(folder), purpose, waiting) as is_held:
        if not is_held:
            raise already_written(folder)
        _written_alone.add(resolved)
        try:
            yield
        finally:
            _written_alone.discard(resolved)


def already_written(folder: str | os.PathLike[str]) -> ValueError:
    """Create the exception for a folder that another process is writing to."""
    who = "another process"
    if found := writer(folder):
        who = f"process {found.process} on {found.host} ({found.purpose})"
    return ValueError(
        f"{who} is writing to {folder}: wait until that process ends, stop it, or choose another "
        "folder"
    )


def writer(folder: str | os.PathLike[str]) -> Writer | None:
    """Return the process that is currently writing to a folder, or None."""
    return holder(_lock_file(folder))


class Handover(NamedTuple):
    """A lock that is about to be handed to another process.

    Attributes:
        descriptor: Open file descriptor of the lock file.
        purpose: One word that says what the new holder of the lock does.
        note: Text to record with the lock.
    """

    descriptor: int
    purpose: str
    note: str

    def taken_by(self, process: int) -> None:
        """Record the ID of the process that now holds the lock."""
        write_holder(self.descriptor, process, self.purpose, self.note, process)


@contextmanager
def handing_over(
    folder: str | os.PathLike[str], purpose: str, note: str
) -> Iterator[Handover | None]:
    """Lock a folder for a process that is started in the ``with`` block.

    In the block ``with handing_over(...) as lock:``, start the process with
    ``stdin=lock.descriptor``, then call ``lock.taken_by(process.pid)``. The started process takes
    over the lock by calling :func:`writing_alone`. The lock is released when no process has the
    descriptor open any more.

    Args:
        folder: An existing folder.
        purpose: One word that says what the started process does.
        note: Text to record with the lock; ``writer(folder).note`` returns this text.

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


def _lock_file(folder: str | os.PathLike[str]) -> Path:
    return Path(folder) / ".lock"


def _takes_over(folder: Path, purpose: str) -> bool:
    """Take over a folder's lock if :func:`handing_over` passed the lock to this process.

    Returns:
        Whether this process took over the lock.
    """
    try:
        if not os.path.samestat(os.fstat(_STDIN), _lock_file(folder).stat()):
            return False
        if fcntl.fcntl(_STDIN, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDWR:
            return False  # standard input is the lock file, opened only for reading
        # Succeeds immediately if this descriptor holds the lock.
        fcntl.flock(_STDIN, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # no standard input, no lock file, or a lock file that was only opened as input
        return False
    # Keep the lock until this process ends, because notebooks show its output until then.
    lock = os.dup(_STDIN)  # child processes do not inherit this descriptor
    held.add(lock)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, _STDIN)
    os.close(null)
    # The launcher may have been killed before it recorded this process, or it may end earlier.
    starter = writer(folder)
    note, launched = (starter.note, starter.launched) if starter else ("", 0)
    write_holder(lock, os.getpid(), purpose, note, launched or os.getpid())
    _written_alone.add(folder)
    return True
