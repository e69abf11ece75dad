"""The root of the repository, paths relative to the root, and the current commit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def repository_root() -> Path:
    """Return the folder that contains ``pyproject.toml`` and the package ``pcb``.

    Raises:
        FileNotFoundError: The package is installed outside the repository.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").is_file():
        raise FileNotFoundError(
            f"{root} is not a clone of the PCB-kit repository: clone the repository, then run "
            "`make setup` or `pip install -e .` in the clone"
        )
    return root


def repository_path(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` as an absolute path; relative paths start at the repository root."""
    return repository_root() / path


def commit(root: Path) -> str | None:
    """Return the git commit that is checked out in the folder ``root``.

    If tracked files differ from the commit, the result ends in ``-dirty``. The result is None if
    ``root`` is not the root of a git repository, or if git is not installed.
    """
    # The ceiling hides a repository above `root`, in which the package may be unpacked.
    command = ("git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(root.parent)}
    try:
        described = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True
        )
    except FileNotFoundError:  # no git
        return None
    return described.stdout.strip() or None
