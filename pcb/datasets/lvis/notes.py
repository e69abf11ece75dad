"""Log messages about probable mistakes in annotations and detection results."""

import logging
import os
from typing import Any

from pcb.messages.printable import printable

_IN_MEMORY = "results"
_log = logging.getLogger("pcb")


def source_of(results: Any) -> str:
    """Return the name that messages use for detection results.

    The name is the path if ``results`` is a path, and 'results' if ``results`` is a list.
    """
    return os.fspath(results) if isinstance(results, (str, os.PathLike)) else _IN_MEMORY


def log_once(logged: set[str], source: str, text: str, level: int = logging.WARNING) -> None:
    """Log a message about annotations or detections, unless it was logged before.

    Args:
        logged: Messages that were logged before. The new message is added.
        source: Name of the annotations or detections; see :func:`source_of`.
        text: The message.
        level: Level of the log record.
    """
    line = printable(f"{source}: {text}")
    if line in logged or (source == _IN_MEMORY and text in logged):
        return
    logged.update((line, text))
    _log.log(level, "%s", line)
