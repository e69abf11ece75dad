"""Evaluation: LVIS average precision, confusion matrices and what they say."""

from pcb.metrics.average_precision import (
    METRICS,
    evaluate,
    format_metric,
    group_means,
    per_class_ap,
)
from pcb.metrics.confusion import DetectionCounts, count_detections, detection_confusion
from pcb.metrics.matrix import (
    bias,
    class_order,
    column_shares,
    detection_totals,
    group_bias,
    group_shares,
    group_totals,
    label_entropy,
    row_shares,
    share_difference,
)
from pcb.metrics.pairs import (
    changed_pairs,
    largest_pairs,
    nearest_classes,
    pair_shares,
    worst_pairs,
)
from pcb.metrics.seeds import (
    Estimate,
    estimate,
    format_difference,
    format_estimate,
    format_interval,
    format_points,
    paired_difference,
)

__all__ = [
    "METRICS",
    "DetectionCounts",
    "Estimate",
    "bias",
    "changed_pairs",
    "class_order",
    "column_shares",
    "count_detections",
    "detection_confusion",
    "detection_totals",
    "estimate",
    "evaluate",
    "format_difference",
    "format_estimate",
    "format_interval",
    "format_metric",
    "format_points",
    "group_bias",
    "group_means",
    "group_shares",
    "group_totals",
    "label_entropy",
    "largest_pairs",
    "nearest_classes",
    "pair_shares",
    "paired_difference",
    "per_class_ap",
    "row_shares",
    "share_difference",
    "worst_pairs",
]
