"""What a run's numbers depend on besides code and settings: the processor, the commit.

Only the standard library is needed, so that ``pcb doctor`` can say it of a broken set-up, too.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


def cpu_model(cpuinfo: str | os.PathLike[str] = "/proc/cpuinfo") -> str:
    """Return the processor's name as Linux knows it, else its architecture.

    Args:
        cpuinfo: where Linux describes the processor; ARM processors have no name there.

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
