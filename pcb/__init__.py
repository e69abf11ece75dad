"""Pairwise Class Balance (PCB) for long-tailed recognition.

The losses and functions in this package need only PyTorch. They are imported on first use, so the
command ``pcb doctor``, which checks the installation, runs even if PyTorch is missing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pcb.balance import PairwiseClassBalance
    from pcb.confusion import batch_confusion, scaled_momentum, update_confusion
    from pcb.losses import CrossEntropyLoss, EQLv2Loss, SeesawLoss
    from pcb.refinement import Feedback, refine_features
    from pcb.soft_labels import fightback_soft_labels, strength

__version__ = "0.1.0"

__all__ = [
    "CrossEntropyLoss",
    "EQLv2Loss",
    "Feedback",
    "PairwiseClassBalance",
    "SeesawLoss",
    "batch_confusion",
    "fightback_soft_labels",
    "refine_features",
    "scaled_momentum",
    "strength",
    "update_confusion",
]

_HOMES = {
    "CrossEntropyLoss": "pcb.losses",
    "EQLv2Loss": "pcb.losses",
    "Feedback": "pcb.refinement",
    "PairwiseClassBalance": "pcb.balance",
    "SeesawLoss": "pcb.losses",
    "batch_confusion": "pcb.confusion",
    "fightback_soft_labels": "pcb.soft_labels",
    "refine_features": "pcb.refinement",
    "scaled_momentum": "pcb.confusion",
    "strength": "pcb.soft_labels",
    "update_confusion": "pcb.confusion",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pcb' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
