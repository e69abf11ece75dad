"""Evaluate a model's predictions for the validation images during training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pcb.evaluation import evaluate
from pcb.study.data import read_validation


def evaluate_validation(
    data: Mapping[str, Any], files: Mapping[str, Path]
) -> dict[str, dict[str, float]]:
    """Evaluate predictions for a config's validation images.

    Pass this function to :func:`pcb.detection.engine.training.train` if the config sets
    ``evaluation``.

    Args:
        data: The ``data`` entry of a merged config.
        files: Maps ``"bbox"``, ``"segm"`` or both to a file in COCO's results format.

    Returns:
        ``{iou_type: {metric: value}}``, as :func:`pcb.evaluation.evaluate` returns it.

    Raises:
        ValueError: The annotations or the results are invalid.
    """
    annotations = read_validation(data)
    metrics: dict[str, dict[str, float]] = {}
    for iou_type, file in files.items():
        metrics |= evaluate(annotations, file, iou_types=(iou_type,))
    return metrics
