"""LVIS evaluation by the lvis package, the reference implementation of the dataset's authors.

Importing this module draws in OpenCV and matplotlib, so it is imported only where it is used.
Source: https://github.com/lvis-dataset/lvis-api
"""

import contextlib
import logging
import warnings

import lvis
import lvis.eval
import numpy as np

from pcb.datasets.lvis import Annotations
from pcb.datasets.lvis.annotations import only
from pcb.datasets.lvis.results import DETECTION_KEYS


def run(annotations: Annotations, results: list[dict], iou_type: str) -> lvis.LVISEval:
    """Evaluate with the lvis package.

    Args:
        annotations: The ground truth.
        results: Checked detections (`read_results`); not changed.
        iou_type: 'bbox' or 'segm'.

    Returns:
        The evaluator after its run: `get_results()` has the metrics (-1 where undefined), `eval`
        the arrays behind them.
    """
    # The package writes into the records of both sides: it is given copies.
    dataset = annotations.for_lvis()
    dataset["annotations"] = [dict(annotation) for annotation in dataset["annotations"]]
    detections = [dict(only(result, DETECTION_KEYS)) for result in results]
    with _mended_lvis():
        ground_truth = _GroundTruth(dataset)
        evaluation = lvis.LVISEval(ground_truth, _Detections(ground_truth, detections), iou_type)
        evaluation.run()
    return evaluation


class _GroundTruth(lvis.LVIS):
    """Takes the dataset itself where the package takes the path of a file."""

    def _load_json(self, dataset: dict) -> dict:
        return dataset


class _Detections(lvis.LVISResults):
    """Accepts an empty list, where the package looks at the first detection."""

    def __init__(self, ground_truth: lvis.LVIS, results: list[dict]) -> None:
        if results:
            super().__init__(ground_truth, results)
            return
        self.logger = ground_truth.logger
        self.dataset = {**ground_truth.dataset, "annotations": []}
        self._create_index()


class _NumPyWithFloat:
    """NumPy as lvis 0.5.3 knows it: with `np.float`, which NumPy 1.24 removed."""

    float = float

    def __getattr__(self, name: str):
        return getattr(np, name)


@contextlib.contextmanager
def _mended_lvis():
    """Let lvis 0.5.3 run under today's NumPy, quietly; everything is put back afterwards.

    Only the name `np` inside the package's own module is replaced, NumPy itself stays as it is.
    """
    logger = logging.getLogger("lvis.results")
    numpy, level = lvis.eval.np, logger.level
    lvis.eval.np = _NumPyWithFloat()
    logger.setLevel(logging.ERROR)  # it warns that it trusts the results, which are checked by now
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # it calls Logger.warn
            yield
    finally:
        lvis.eval.np = numpy
        logger.setLevel(level)
