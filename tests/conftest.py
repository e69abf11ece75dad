"""Fixtures for tests of several parts."""

import os
from pathlib import Path

import pytest

from tests.support import tiny

# In `make test`, a `make` that a test starts must not be a sub-make, which would print the folders
# it enters and leaves, and inherit the flags of the outer one.
for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"):
    os.environ.pop(name, None)


class Trap:
    """An object whose unpickling creates a file; ``sprung`` tells whether this has happened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mknod, (str(self.path),)

    @property
    def text(self) -> str:
        """Python source with the same effect."""
        return f"open({str(self.path)!r}, 'w')"

    @property
    def sprung(self) -> bool:
        return self.path.exists()


@pytest.fixture
def trap(tmp_path) -> Trap:
    return Trap(tmp_path / "executed")


@pytest.fixture(scope="session")
def tiny_openmoji(tmp_path_factory) -> Path:
    """Make OpenMoji-LT in its smallest size: 8 classes, 24 training images."""
    from pcb.datasets.openmoji import make_openmoji

    return make_openmoji(tmp_path_factory.mktemp("data") / "tiny", size="tiny", progress=False)


@pytest.fixture(scope="session")
def tiny_options(tiny_openmoji) -> dict:
    """Return overrides with which ``tests/configs/tiny_pcb.py`` trains on it."""
    return tiny.tiny_options(tiny_openmoji)
