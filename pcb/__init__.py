"""Pairwise Class Balance for long-tailed recognition. This much needs PyTorch alone."""

from pcb.balance import PairwiseClassBalance, scaled_momentum, strength
from pcb.confusion import batch_confusion, update_confusion
from pcb.losses import CrossEntropyLoss
from pcb.refinement import Feedback, refine_features
from pcb.soft_labels import fightback_soft_labels

__version__ = "0.1.0"

__all__ = [
    "CrossEntropyLoss",
    "Feedback",
    "PairwiseClassBalance",
    "batch_confusion",
    "fightback_soft_labels",
    "refine_features",
    "scaled_momentum",
    "strength",
    "update_confusion",
]
