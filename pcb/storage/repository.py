"""The repository: its root, and paths relative to it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def repository_root() -> Path:
    """Return the folder that contains ``pyproject.toml`` and the package ``pcb``.

    Raises:
        FileNotFoundError: The package is installed outside its repository.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").is_file():
        raise FileNotFoundError(
            f"{root} has no pyproject.toml: configs and notebooks are read from the repository; "
            "clone it and run `make setup`, or `pip install -e .` in it"
        )
    return root


def repository_path(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path; a relative ``path`` starts at the repository root."""
    return repository_root() / path


def commit(root: Path) -> str | None:
    """Return the commit of the repository at ``root``; None if there is no repository or no git.

    The commit ends in ``-dirty`` if tracked files have changed since. Only a repository at ``root``
    itself counts: an archive may be unpacked inside another repository.
    """
    command = ("git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(root.parent)}
    try:
        described = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True
        )
    except FileNotFoundError:  # no git
        return None
    return described.stdout.strip() or None
