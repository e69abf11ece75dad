"""Base losses; each takes a :class:`pcb.PairwiseClassBalance`, and is plain without one."""

from pcb.losses.cross_entropy import CrossEntropyLoss

__all__ = ["CrossEntropyLoss"]
