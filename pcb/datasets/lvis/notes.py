"""Lines about data that is readable but may not mean what it seems to."""

import logging
import os
from typing import Any

from pcb.messages.printable import printable

_IN_MEMORY = "results"
_log = logging.getLogger("pcb")


def source_of(results: Any) -> str:
    """What messages call results: their file, or 'results' for a list in memory."""
    return os.fspath(results) if isinstance(results, (str, os.PathLike)) else _IN_MEMORY


def say(said: set[str], source: str, text: str, level: int = logging.WARNING) -> None:
    """Log one line, unless the same was said before.

    A notebook reads results from a file and hands the list to several functions: of a list is not
    said what was said of a file on the same annotations.

    Args:
        said: What was said so far, `Annotations.said`.
        source: A file, or what `source_of` calls a list.
        text: What is to be said of it.
        level: Warnings reach everybody, infos those who ask for them, such as the command line.
    """
    line = printable(f"{source}: {text}")
    if line in said or (source == _IN_MEMORY and text in said):
        return
    said.update((line, text))
    _log.log(level, "%s", line)
