"""Measure the time and memory needed to compute a confusion matrix for a dataset of LVIS v1's size.

Run this script with ``make bench``. The script writes about as many random annotations as LVIS
v1's validation set contains. It also writes several files with different numbers of random
detections. For each detection file, a new process computes a confusion matrix on one core. The
measured memory includes memory-mapped files and imported packages.

With ``--keep FOLDER``, the script writes its files to ``FOLDER`` and measures nothing.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from common import in_own_process, memory, write_annotations, write_predictions

IMAGES, INSTANCES = 20_000, 245_000  # lvis_v1_val.json has 19,809 and 244,707
PER_IMAGE = (75, 150, 300)  # LVIS keeps 300


def main() -> None:
    """With ``--measure``, do one measurement; without it, start a process for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--instances", type=int, default=INSTANCES)
    parser.add_argument("--per-image", type=int, nargs="+", default=PER_IMAGE, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="write files to FOLDER and measure nothing"
    )
    parser.add_argument("--measure", nargs=2, metavar=("GT", "RESULTS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return
    if options.keep:
        write_run(
            options.keep, options.images, options.instances, max(options.per_image), options.seed
        )
        return
    print(
        f"{options.images:,} images, {options.instances:,} instances; one core\n\n"
        "| predictions | file, MB | annotations, s | predictions, s | s per million | peak, MiB |\n"
        "|---|---|---|---|---|---|",
        flush=True,
    )
    for per_image in options.per_image:
        with tempfile.TemporaryDirectory(prefix="pcb-bench-") as folder:
            files = write_run(folder, options.images, options.instances, per_image, options.seed)
            found = in_own_process(__file__, "--measure", *files)
            predictions, seconds = options.images * per_image, found["matrix"]
            print(
                f"| {predictions:,} | {files[1].stat().st_size / 1e6:,.0f}"
                f" | {found['annotations']:.1f} | {seconds:.1f}"
                f" | {seconds / predictions * 1e6:.2f} | {found['peak']:,.0f} |",
                flush=True,
            )


def write_run(
    folder: str | Path, images: int, instances: int, per_image: int, seed: int
) -> tuple[Path, Path]:
    """Write random annotations and detections to files in a folder.

    Returns:
        The path of the annotation file and the path of the detection file.
    """
    annotations, predictions = (
        Path(folder, "annotations/val.json"),
        Path(folder, "predictions/bbox.json"),
    )
    for file in (annotations, predictions):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_annotations(annotations, images, instances, seed)
    write_predictions(predictions, annotations, per_image, seed + 1)
    return annotations, predictions


def measure(annotations_file: str, results_file: str) -> dict:
    """Measure the time and memory needed to compute a confusion matrix on one core.

    Returns:
        A dict with three entries. ``annotations`` is the time to read the annotations, in seconds.
        ``matrix`` is the time to read the detections and compute the confusion matrix, in seconds.
        ``peak`` is the peak memory in MiB.
    """
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from pcb.datasets import read_annotations
    from pcb.evaluation import detection_confusion

    start = time.perf_counter()
    annotations = read_annotations(annotations_file)
    read = time.perf_counter()
    detection_confusion(annotations, results_file, score_threshold=0)
    return {
        "annotations": read - start,
        "matrix": time.perf_counter() - read,
        "peak": memory("/proc/self/status", "VmHWM:"),
    }


if __name__ == "__main__":
    main()
