"""The confusion matrix of LVIS-sized predictions: time and memory on one core.

Run it with `make bench`. Annotations as many as those of LVIS v1's validation set, and detections
of their images in COCO results format, are made from a seed in a temporary folder. Each file of
detections is then matched in a process of its own; the peak is all that the process held, mapped
files and imported packages included.

`--keep FOLDER` measures nothing, but writes the annotations and the largest predictions into a
folder that has a run's layout, to look at what else is done with so many.
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
    """Parse the command line; measure here, or make the files and measure in other processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--instances", type=int, default=INSTANCES)
    parser.add_argument("--per-image", type=int, nargs="+", default=PER_IMAGE, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="only make files, there")
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
    """Write `annotations/val.json` and `predictions/bbox.json` below a folder; return both."""
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
    """Read annotations, then read and match all detections, on one core.

    Returns:
        Seconds for the `annotations` and for the `matrix`, detections' reading included, and the
        `peak` of memory in MiB.
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
