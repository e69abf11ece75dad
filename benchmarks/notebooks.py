"""Measure how long notebooks 03 and 04 take to execute, and how large their HTML pages are.

Run this script with ``make bench``. The script generates random data as large as LVIS v1's
validation set: annotations, and the output folders of two training runs. Each folder contains 300
detections per image and a 1203 x 1203 confusion matrix for each epoch, but no weights or images.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from common import write_annotations, write_predictions
from detection_confusion import IMAGES, INSTANCES

from pcb.datasets import read_compact_annotations
from pcb.notebooks.execute import run_notebook
from pcb.runs.folder import RunFolder
from pcb.storage.repository import repository_path

EPOCHS = 24
NOTEBOOKS = ("03_confusion_matrix", "04_soft_labels")


def main() -> None:
    """Generate two run folders, execute notebooks 03 and 04, and print times and page sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=IMAGES, help="number of images")
    parser.add_argument(
        "--instances", type=int, default=INSTANCES, help="number of annotated objects"
    )
    parser.add_argument(
        "--per-image", type=int, default=300, metavar="N", help="number of detections per image"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="write all files to FOLDER and keep them"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pcb-bench-") as folder:
        root = Path(options.keep or folder).resolve()
        truth = root / "annotations" / "val.json"
        truth.parent.mkdir(parents=True, exist_ok=True)
        write_annotations(truth, options.images, options.instances, options.seed)
        runs = [
            make_run(root / name / "seed0", truth, options.per_image, options.seed + number)
            for number, name in enumerate(("softmax", "softmax_pcb"), start=1)
        ]
        print("| notebook | s | page, MB |\n|---|---|---|", flush=True)
        for name in NOTEBOOKS:
            page = root / f"{name}.html"
            given = {"work_dir": str(runs[1].path)}  # notebook 03 finds the run without PCB
            start = time.perf_counter()
            run_notebook(
                repository_path(f"notebooks/{name}.ipynb"), given, page.with_suffix(".ipynb"), page
            )
            seconds = time.perf_counter() - start
            print(f"| {name} | {seconds:.0f} | {page.stat().st_size / 1e6:.1f} |", flush=True)


def make_run(folder: Path, truth: Path, per_image: int, seed: int) -> RunFolder:
    """Write a run folder with all files that notebooks 03 and 04 read.

    Args:
        folder: The run folder.
        truth: The validation annotations.
        per_image: Number of detections per image.
        seed: Seed for all random numbers.

    Returns:
        The run folder.
    """
    run = RunFolder(folder).create()
    values = {"val": {"ann_file": str(truth), "img_prefix": str(folder / "none")}}
    run.config_file.write_text(f"data = {values!r}\n")
    predictions = run.predictions("bbox")
    predictions.parent.mkdir(exist_ok=True)
    write_predictions(predictions, truth, per_image, seed)
    counts = np.maximum(read_compact_annotations(truth).image_count, 1)
    rng = np.random.default_rng(seed)
    num_classes = len(counts)
    for epoch in range(1, EPOCHS + 1):
        learned = rng.gamma(0.02, size=(num_classes, num_classes)) * counts / counts.mean()
        learned += np.diag(np.log1p(counts) * epoch)
        learned = (learned / learned.sum(axis=1, keepdims=True)).astype(np.float32)
        run.write_confusion_history(epoch, learned)
    run.write_confusion(
        learned=learned,
        instance_count=np.minimum(counts * 8.0 * EPOCHS, 1e7),
        update_count=counts * EPOCHS,
        momentum=0.99,
        alpha=0.4,
        start_epoch=17,
        epoch=EPOCHS,
    )
    return run


if __name__ == "__main__":
    main()
