"""The processor, on which the last digits of a run's results depend.

Needs only the standard library, so that ``pcb doctor`` reports it for a broken installation, too.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


def cpu_model(cpuinfo: str | os.PathLike[str] = "/proc/cpuinfo") -> str:
    """Return the name of the processor; its architecture if Linux knows no name.

    Args:
        cpuinfo: File in which Linux describes the processor; it names no ARM processors.

    Example:
        >>> cpu_model("/no/such/file") == platform.machine()
        True
    """
    try:
        text = Path(cpuinfo).read_text(errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^model name[ \t]*:[ \t]*(\S.*?)[ \t]*$", text, flags=re.MULTILINE)
    return found[1] if found else platform.machine()
