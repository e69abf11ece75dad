"""Functions that draw figures from arrays.

The functions need neither a model nor the files of a training run. Most functions draw with
matplotlib and return (figure, axes); :func:`interactive_confusion` returns a plotly figure.
:func:`save` writes a figure to files, and :func:`use` sets the layout for figures in a paper.

Each frequency group (rare, common, frequent) has the same colour in all figures. Undefined values
(nan) are marked as n/a or left out.
"""

from pcb.metrics.groups import GROUP_NAMES
from pcb.plots.classes import ap_by_class, ap_by_image_count, gain_by_role
from pcb.plots.dataset import class_tail, icon_pairs, image_grid
from pcb.plots.groups import group_confusion, group_heatmap, start_weights
from pcb.plots.heatmap import confusion_difference, confusion_heatmap
from pcb.plots.interactive import interactive_confusion
from pcb.plots.layout import use
from pcb.plots.method import class_matrices, logit_pushes, loss_parts
from pcb.plots.pairs import changed_pairs, confused_pairs
from pcb.plots.precision import ap_by_group
from pcb.plots.saving import save
from pcb.plots.seeds import ap_difference, ap_over_seeds
from pcb.plots.soft_label_history import soft_label_history
from pcb.plots.soft_labels import soft_label_bars, soft_label_entropy, soft_label_strength
from pcb.plots.style import GROUP_COLORS
from pcb.plots.toy import decision_regions, mistaken_share
from pcb.plots.training import loss_curves, strength_curve
from pcb.plots.validation import ap_by_epoch
from pcb.plots.zoom import confusion_zoom

__all__ = [
    "GROUP_COLORS",
    "GROUP_NAMES",
    "ap_by_class",
    "ap_by_epoch",
    "ap_by_group",
    "ap_by_image_count",
    "ap_difference",
    "ap_over_seeds",
    "changed_pairs",
    "class_matrices",
    "class_tail",
    "confused_pairs",
    "confusion_difference",
    "confusion_heatmap",
    "confusion_zoom",
    "decision_regions",
    "gain_by_role",
    "group_confusion",
    "group_heatmap",
    "icon_pairs",
    "image_grid",
    "interactive_confusion",
    "logit_pushes",
    "loss_curves",
    "loss_parts",
    "mistaken_share",
    "save",
    "soft_label_bars",
    "soft_label_entropy",
    "soft_label_history",
    "soft_label_strength",
    "start_weights",
    "strength_curve",
    "use",
]
