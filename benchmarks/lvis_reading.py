"""Measure the time and memory needed to read an annotation file as large as that of LVIS v1.

Run this script with ``make bench``. The script writes a random annotation file to a temporary
folder. One process reads the file as records; another process reads the file as arrays:

    records   Python dicts, as in evaluation
    arrays    an ``LVISFormatDataset``, as in training

Each process forks data-loading workers that visit every image, as in a training epoch.

Only anonymous memory is counted; the memory-mapped annotation file is not counted.
"""

import argparse
import contextlib
import json
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from common import in_own_process, memory, write_annotations

IMAGES, INSTANCES = 100_170, 1_270_141  # of lvis_v1_train.json
KINDS = ("records", "arrays")


def main() -> None:
    """With ``--measure``, do one measurement; without it, start a process for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--instances", type=int, default=INSTANCES)
    parser.add_argument("--workers", type=int, default=4, help="number of data-loading workers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measure", nargs=2, metavar=("KIND", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        kind, path = options.measure
        print(json.dumps(measure(kind, path, options.workers)))
        return
    with tempfile.TemporaryDirectory(prefix="pcb-bench-") as folder:
        path = Path(folder, "annotations.json")
        write_annotations(path, options.images, options.instances, options.seed)
        print(
            f"{options.images:,} images, {options.instances:,} instances,"
            f" {path.stat().st_size / 1e9:.2f} GB of JSON; memory in MiB\n\n"
            "| form | seconds to read | peak while reading | after reading | added per worker |\n"
            "|---|---|---|---|---|",
            flush=True,
        )
        for kind in KINDS:
            workers = ("--workers", str(options.workers))
            found = in_own_process(__file__, *workers, "--measure", kind, path)
            print(
                f"| {kind} | {found['seconds']:.1f} | {found['peak']:,.0f} | {found['held']:,.0f}"
                f" | {max(found['workers']):,.0f} |",
                flush=True,
            )


class Records:
    """Annotations as Python dicts, grouped by image."""

    def __init__(self, path: str) -> None:
        from pcb.datasets.lvis import read_annotations
        from pcb.datasets.pictures import by_image

        self.annotations = read_annotations(path)
        self._of_image = by_image(self.annotations.annotations)

    def __len__(self) -> int:
        return len(self.annotations.images)

    def get_ann_info(self, index: int) -> dict:
        """Return the annotations of an image in the form that training needs."""
        records = self._of_image[self.annotations.images[index]["id"]]
        return {
            "bboxes": np.array([record["bbox"] for record in records], np.float32),
            "labels": [self.annotations.label_of[record["category_id"]] for record in records],
            "masks": [record["segmentation"] for record in records],
        }


def measure(kind: str, path: str, workers: int) -> dict:
    """Read annotations, let forked workers visit every image, and return the time and memory used.

    Args:
        kind: "records" to read Python dicts, "arrays" to read an ``LVISFormatDataset``.
        path: The annotation file.
        workers: Number of workers.

    Returns:
        A dict. Memory is in MiB, without the memory of imported packages.

        - ``seconds``: Time to read the file.
        - ``peak``: Peak memory while the file is read.
        - ``held``: Memory after the file is read.
        - ``workers``: Memory that each worker adds, as a list.
    """
    from pcb.detection import LVISFormatDataset

    before = _memory("self")
    with _peak() as peak:
        start = time.perf_counter()
        if kind == "records":
            dataset = Records(path)
        else:
            dataset = LVISFormatDataset(ann_file=path, pipeline=[], img_prefix=None)
        seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "peak": peak[0] - before,
        "held": _memory("self") - before,
        "workers": _worker_memory(dataset, workers),
    }


def _worker_memory(dataset, workers: int) -> list[float]:
    """Return the memory in MiB that each forked worker adds while it visits every image."""
    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(workers + 1)

    def work() -> None:
        barrier.wait()
        barrier.wait()
        for index in range(len(dataset)):
            dataset.get_ann_info(index)
        barrier.wait()
        barrier.wait()

    processes = [fork.Process(target=work) for _ in range(workers)]
    for process in processes:
        process.start()
    barrier.wait()
    before = [_private(process.pid) for process in processes]
    barrier.wait()
    barrier.wait()
    added = [_private(p.pid) - own for p, own in zip(processes, before, strict=True)]
    barrier.wait()
    for process in processes:
        process.join()
    return added


@contextlib.contextmanager
def _peak() -> Iterator[list[float]]:
    """Measure the peak memory of this process, in MiB, during a ``with`` block.

    Yield a list with one entry. When the block has ended, this entry is the peak memory.
    """
    peak, done = [_memory("self")], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], _memory("self"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
        peak[0] = max(peak[0], _memory("self"))


def _memory(pid: int | str) -> float:
    """Return the anonymous memory of a process in MiB, including memory shared with its parent."""
    return memory(f"/proc/{pid}/status", "RssAnon:")


def _private(pid: int) -> float:
    """Return the memory in MiB that a process does not share with other processes."""
    return memory(f"/proc/{pid}/smaps_rollup", "Private_Clean:", "Private_Dirty:")


if __name__ == "__main__":
    main()
