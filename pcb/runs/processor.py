"""Find the processor's name, because training results differ slightly between processors.

This module needs only the standard library, so ``pcb doctor`` can use it in a broken installation.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


def cpu_model(cpuinfo: str | os.PathLike[str] = "/proc/cpuinfo") -> str:
    """Return the processor's name, or its architecture if Linux does not report a name.

    Args:
        cpuinfo: File in which Linux describes the processor. On ARM, the file contains no name.

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
