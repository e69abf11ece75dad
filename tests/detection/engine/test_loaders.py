"""Data-loading workers end with the process that started them."""

import os
import subprocess
import sys
import time

import pytest

from pcb.storage.repository import repository_root
from tests.support.patience import PATIENCE

# Batches that fill a pipe, so that workers wait for a reader when their parent is killed.
KILLED = """
import os, signal, sys
import numpy as np
import pcb.detection.engine.loaders as loaders
from mmcv.parallel import DataContainer


class Images(list):
    flag = np.zeros(64, dtype=np.int64)  # aspect ratios
    __getitem__ = lambda self, index: DataContainer(np.zeros(10**6), cpu_only=True)


loading = {"samples_per_gpu": 1, "workers_per_gpu": 2}
images = Images(range(64))
loader = getattr(loaders, sys.argv[1])(loading, images, *map(int, sys.argv[2:]))
batches = iter(loader)
next(batches)
print(*(worker.pid for worker in batches._workers), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("loader", [("training_loader", "0"), ("prediction_loader",)])
def test_workers_end_when_their_parent_is_killed(loader):
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED, *loader],
        cwd=repository_root(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert killed.stdout is not None
    workers = [int(pid) for pid in killed.stdout.readline().split()]
    assert len(workers) == 2 and killed.wait(PATIENCE) < 0
    deadline = time.monotonic() + PATIENCE
    while remaining := [pid for pid in workers if is_running(pid)]:
        assert time.monotonic() < deadline, f"still running: {remaining}"
        time.sleep(0.1)


def is_running(process: int) -> bool:
    """Whether a process has not ended; an ended one may wait for its parent to notice."""
    try:
        os.kill(process, 0)
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
