"""LVIS evaluation by hotcoco (Rust), made to agree with the lvis package in every case."""

import contextlib
import io

import hotcoco
import numpy as np

from pcb.datasets.lvis import Annotations
from pcb.datasets.lvis.annotations import only
from pcb.datasets.lvis.results import DETECTION_KEYS

_ABOVE_ZERO = float(np.nextafter(0.0, 1.0))


def run(annotations: Annotations, results: list[dict], iou_type: str) -> hotcoco.COCOeval:
    """Evaluate with hotcoco.

    The lvis package leaves out ground truth and detections of area 0, the latter after it has
    kept the 300 highest-scoring of an image; hotcoco counts them. So they are left out here.

    Args:
        annotations: The ground truth.
        results: Checked detections (`read_results`); not changed.
        iou_type: 'bbox' or 'segm'.

    Returns:
        The evaluator after its run: `get_results()` has the metrics (-1 where undefined), `eval`
        the arrays behind them.
    """
    dataset = annotations.for_lvis()
    dataset["annotations"] = [a for a in dataset["annotations"] if a["area"] > 0]
    ground_truth = hotcoco.LVIS(dataset)
    results = [only(result, DETECTION_KEYS) for result in results]
    detections = hotcoco.LVISResults(ground_truth, results).filter(
        area_rng=[_ABOVE_ZERO, np.inf], drop_empty_images=False
    )
    evaluation = hotcoco.LVISEval(ground_truth, detections, iou_type)
    with contextlib.redirect_stdout(io.StringIO()):  # the run ends by printing its summary
        evaluation.run()
    return evaluation
