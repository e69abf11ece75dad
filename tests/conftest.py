"""What tests of several parts share."""

import os
from pathlib import Path

import pytest

from tests.support import tiny

# A `make` that a test starts is nobody's sub-make, also under `make test`: a sub-make says which
# folders it enters and leaves, and takes over the flags of the outer one.
for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"):
    os.environ.pop(name, None)


class Trap:
    """Unpickling this creates a file; ``sprung`` says whether somebody did."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mknod, (str(self.path),)

    @property
    def text(self) -> str:
        """The same as Python text."""
        return f"open({str(self.path)!r}, 'w')"

    @property
    def sprung(self) -> bool:
        return self.path.exists()


@pytest.fixture
def trap(tmp_path) -> Trap:
    return Trap(tmp_path / "executed")


@pytest.fixture(scope="session")
def tiny_openmoji(tmp_path_factory) -> Path:
    """OpenMoji-LT in its smallest size: 8 classes, 24 training images."""
    from pcb.datasets.openmoji import make_openmoji

    return make_openmoji(tmp_path_factory.mktemp("data") / "tiny", size="tiny", progress=False)


@pytest.fixture(scope="session")
def tiny_options(tiny_openmoji) -> dict:
    """Overrides that make ``tests/configs/tiny_pcb.py`` train on it."""
    return tiny.tiny_options(tiny_openmoji)
