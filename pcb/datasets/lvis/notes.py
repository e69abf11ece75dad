"""Log lines about data that is readable but may not mean what it seems to mean."""

import logging
import os
from typing import Any

from pcb.messages.printable import printable

_IN_MEMORY = "results"
_log = logging.getLogger("pcb")


def source_of(results: Any) -> str:
    """Return the name of results in messages: their path, or 'results' for a list in memory."""
    return os.fspath(results) if isinstance(results, (str, os.PathLike)) else _IN_MEMORY


def log_once(logged: set[str], source: str, text: str, level: int = logging.WARNING) -> None:
    """Log one line unless it was logged before.

    A notebook reads results from a file and passes the list to several functions. A message about
    the list is not logged if the same message about the file was.

    Args:
        logged: What was logged before; the new line is added.
        source: The file, or the name that ``source_of`` gives to a list.
        text: The message about it.
        level: Everybody sees warnings. Only those who ask for them, such as the command line, see
            infos.
    """
    line = printable(f"{source}: {text}")
    if line in logged or (source == _IN_MEMORY and text in logged):
        return
    logged.update((line, text))
    _log.log(level, "%s", line)
