"""Commands that stand in for real ones."""

import sys
from pathlib import Path


def write_command(path: Path, source: str) -> Path:
    """Write an executable Python program at ``path`` and return it.

    The shell starts it: the first line of a file cannot name a Python whose path has blanks or is
    long, as the one of a clone in such a folder.
    """
    path.write_text(f"""#!/bin/sh
'exec' "{sys.executable}" "$0" "$@"
{source}""")
    path.chmod(0o755)
    return path
