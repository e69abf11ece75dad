"""Evaluation: LVIS average precision, and the matched confusion matrix of detections."""

from pcb.metrics.average_precision import (
    METRICS,
    evaluate,
    format_metric,
    group_means,
    per_class_ap,
)
from pcb.metrics.confusion import detection_confusion

__all__ = [
    "METRICS",
    "detection_confusion",
    "evaluate",
    "format_metric",
    "group_means",
    "per_class_ap",
]
