"""Fixtures for the tests of several packages, and how pytest runs the tests."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings

from tests.support import tiny

# On a busy machine, examples may take long and be slow to generate.
settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("busy machine")

# If `make test` runs the tests, a `make` that a test starts must not act as a sub-make: it would
# inherit the flags of the outer make and print the folders that it enters and leaves.
for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"):
    os.environ.pop(name, None)


ROOT = Path(__file__).resolve().parent.parent
_before = pytest.StashKey[set[Path]]()


def _users_folders() -> set[Path]:
    """Return the paths in the repository's own runs/ and data/, down to the files of a run."""
    patterns = ["data/*", "data/*/*", *("runs" + depth * "/*" for depth in range(1, 5))]
    return {path for pattern in patterns for path in ROOT.glob(pattern)}


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[_before] = _users_folders()
    if not hasattr(session.config, "workerinput"):
        # In a new environment, the first import of mmcv writes a cache. The workers, which start
        # after this, must not read it half-written.
        subprocess.run([sys.executable, "-W", "ignore", "-c", "import mmcv"])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail if the tests wrote into folders that belong to the user."""
    if hasattr(session.config, "workerinput"):
        return
    changed = sorted(_users_folders() ^ session.config.stash[_before])
    if changed:
        shown = "".join(f"\n  {path.relative_to(ROOT)}" for path in changed[:20])
        print(f"\nTests must not touch these paths, which appeared or vanished meanwhile:{shown}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return one worker per available core, but leave each worker at least 3 GB of memory."""
    cores = len(os.sched_getaffinity(0))
    return max(1, min(cores, psutil.virtual_memory().available // (3 * 1024**3)))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start the longest tests first, so that all workers end at about the same time."""

    def position(item: pytest.Item) -> int:
        marks = ("xdist_group", "slow")
        return next((n for n, mark in enumerate(marks) if item.get_closest_marker(mark)), 2)

    if hasattr(config, "workerinput"):
        items.sort(key=position)


class Trap:
    """An object whose unpickling creates a file; ``sprung`` tells whether the file exists."""

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
    """Return config overrides with which ``tests/configs/tiny_pcb.py`` trains on that dataset."""
    return tiny.tiny_options(tiny_openmoji)
