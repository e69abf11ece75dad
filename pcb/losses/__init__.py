"""Classification losses that use PCB if they receive a :class:`pcb.PairwiseClassBalance`."""

from pcb.losses.cross_entropy import CrossEntropyLoss
from pcb.losses.eqlv2 import EQLv2Loss
from pcb.losses.seesaw import SeesawLoss

__all__ = ["CrossEntropyLoss", "EQLv2Loss", "SeesawLoss"]
