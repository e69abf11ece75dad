"""Evaluate detections as the lvis package does, but with the Rust package hotcoco."""

import contextlib
import io

import hotcoco
import numpy as np

from pcb.datasets.lvis import Annotations
from pcb.datasets.lvis.annotations import keep_keys
from pcb.datasets.lvis.results import evaluated_keys

_ABOVE_ZERO = float(np.nextafter(0.0, 1.0))


def run(annotations: Annotations, results: list[dict], iou_type: str) -> hotcoco.COCOeval:
    """Evaluate detections with hotcoco.

    As in the lvis package, only the 300 detections with the highest scores in each image are
    evaluated. Objects and detections with area 0 are left out.

    Args:
        annotations: The ground truth.
        results: Detections checked by ``read_results``; they are not changed.
        iou_type: 'bbox' or 'segm'.

    Returns:
        The hotcoco evaluator. Its method ``get_results()`` returns the metrics; an undefined metric
        is -1. Its attribute ``eval`` contains the arrays from which the metrics are computed.
    """
    dataset = annotations.for_lvis()
    dataset["annotations"] = [a for a in dataset["annotations"] if a["area"] > 0]
    ground_truth = hotcoco.LVIS(dataset)
    results = [keep_keys(result, evaluated_keys(iou_type)) for result in results]
    detections = hotcoco.LVISResults(ground_truth, results).filter(
        area_rng=[_ABOVE_ZERO, np.inf], drop_empty_images=False
    )
    evaluation = hotcoco.LVISEval(ground_truth, detections, iou_type)
    with contextlib.redirect_stdout(io.StringIO()):  # run() prints a summary
        evaluation.run()
    return evaluation
