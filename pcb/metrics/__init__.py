"""Analyse confusion matrices, average results over random seeds, and format metrics as text."""

from pcb.metrics.learned import LearnedConfusion
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
from pcb.metrics.numbers import (
    AP_NAMES,
    AP_TITLES,
    METRICS,
    format_difference,
    format_estimate,
    format_interval,
    format_metric,
    format_points,
)
from pcb.metrics.pairs import (
    changed_pairs,
    largest_pairs,
    nearest_classes,
    pair_shares,
    worst_pairs,
)
from pcb.metrics.seeds import Estimate, estimate, paired_difference

__all__ = [
    "AP_NAMES",
    "AP_TITLES",
    "METRICS",
    "Estimate",
    "LearnedConfusion",
    "bias",
    "changed_pairs",
    "class_order",
    "column_shares",
    "detection_totals",
    "estimate",
    "format_difference",
    "format_estimate",
    "format_interval",
    "format_metric",
    "format_points",
    "group_bias",
    "group_shares",
    "group_totals",
    "label_entropy",
    "largest_pairs",
    "nearest_classes",
    "pair_shares",
    "paired_difference",
    "row_shares",
    "share_difference",
    "worst_pairs",
]
