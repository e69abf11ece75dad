"""Evaluate detections: average precision and confusion matrices."""

from pcb.evaluation.average_precision import evaluate, group_means, per_class_ap
from pcb.evaluation.detection_confusion import (
    DetectionCounts,
    count_detections,
    detection_confusion,
)

__all__ = [
    "DetectionCounts",
    "count_detections",
    "detection_confusion",
    "evaluate",
    "group_means",
    "per_class_ap",
]
