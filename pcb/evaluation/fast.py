"""LVIS evaluation by hotcoco (Rust), adapted to agree with the lvis package in every case."""

import contextlib
import io

import hotcoco
import numpy as np

from pcb.datasets.lvis import Annotations
from pcb.datasets.lvis.annotations import keep_keys
from pcb.datasets.lvis.rules import DETECTION_KEYS

_ABOVE_ZERO = float(np.nextafter(0.0, 1.0))


def run(annotations: Annotations, results: list[dict], iou_type: str) -> hotcoco.COCOeval:
    """Evaluate with hotcoco.

    The lvis package leaves out ground truth and detections with area 0. It drops such detections
    after it has kept the 300 with the highest scores in an image. hotcoco counts them, so this
    function drops them first.

    Args:
        annotations: The ground truth.
        results: Checked detections (``read_results``); they are not changed.
        iou_type: 'bbox' or 'segm'.

    Returns:
        The evaluator after its run: ``get_results()`` returns the metrics (-1 if undefined), and
        ``eval`` holds the arrays behind them.
    """
    dataset = annotations.for_lvis()
    dataset["annotations"] = [a for a in dataset["annotations"] if a["area"] > 0]
    ground_truth = hotcoco.LVIS(dataset)
    results = [keep_keys(result, DETECTION_KEYS) for result in results]
    detections = hotcoco.LVISResults(ground_truth, results).filter(
        area_rng=[_ABOVE_ZERO, np.inf], drop_empty_images=False
    )
    evaluation = hotcoco.LVISEval(ground_truth, detections, iou_type)
    with contextlib.redirect_stdout(io.StringIO()):  # the run prints its summary
        evaluation.run()
    return evaluation
