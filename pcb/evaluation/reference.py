"""Evaluate detections with the lvis package, the reference implementation by the LVIS authors.

Importing this module takes time, because the lvis package imports OpenCV and matplotlib.

Source: https://github.com/lvis-dataset/lvis-api
"""

import contextlib
import logging
import warnings

import lvis
import lvis.eval
import numpy as np

from pcb.datasets.lvis import Annotations
from pcb.datasets.lvis.annotations import keep_keys
from pcb.datasets.lvis.results import evaluated_keys


def run(annotations: Annotations, results: list[dict], iou_type: str) -> lvis.LVISEval:
    """Evaluate detections with the lvis package.

    Args:
        annotations: The ground truth.
        results: Detections from ``read_results``. This function does not change them.
        iou_type: 'bbox' or 'segm'.

    Returns:
        The lvis package's evaluation object. Call ``get_results()`` on this object to get the
        metrics; an undefined metric is -1.
    """
    # The package changes the records of annotations and detections, so pass copies.
    dataset = annotations.for_lvis()
    dataset["annotations"] = [dict(annotation) for annotation in dataset["annotations"]]
    detections = [dict(keep_keys(result, evaluated_keys(iou_type))) for result in results]
    with _patched_lvis():
        ground_truth = _GroundTruth(dataset)
        evaluation = lvis.LVISEval(ground_truth, _Detections(ground_truth, detections), iou_type)
        evaluation.run()
    return evaluation


class _GroundTruth(lvis.LVIS):
    """The lvis package's class ``LVIS``, changed to read a dict instead of a file."""

    def _load_json(self, dataset: dict) -> dict:
        return dataset


class _Detections(lvis.LVISResults):
    """The lvis package's class ``LVISResults``, changed to accept an empty list."""

    def __init__(self, ground_truth: lvis.LVIS, results: list[dict]) -> None:
        if results:
            super().__init__(ground_truth, results)
            return
        self.logger = ground_truth.logger
        self.dataset = {**ground_truth.dataset, "annotations": []}
        self._create_index()


class _NumPyWithFloat:
    """A replacement for the module ``numpy`` that also has the attribute ``float``.

    lvis 0.5.3 uses ``np.float``, which NumPy 1.24 removed.
    """

    float = float

    def __getattr__(self, name: str):
        return getattr(np, name)


@contextlib.contextmanager
def _patched_lvis():
    """Inside a ``with`` block, let lvis 0.5.3 run with current NumPy, and hide its warnings."""
    logger = logging.getLogger("lvis.results")
    numpy, level = lvis.eval.np, logger.level
    lvis.eval.np = _NumPyWithFloat()
    logger.setLevel(logging.ERROR)  # hides the warning that results are not checked
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # lvis calls Logger.warn
            yield
    finally:
        lvis.eval.np = numpy
        logger.setLevel(level)
