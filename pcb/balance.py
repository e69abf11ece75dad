"""Pairwise Class Balance (PCB): confusion statistics and soft labels for classification losses.

Source: He et al., "Relieving Long-tailed Instance Segmentation via Pairwise Class Balance",
CVPR 2022.
"""

import warnings
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from pcb.confusion import (
    ACTIVATIONS,
    PUBLISHED_MOMENTUM,
    Occurring,
    batch_confusion,
    occurring_classes,
    update_confusion,
)
from pcb.distributed import rank, sum_over_processes, world_size
from pcb.soft_labels import fightback_soft_labels, strength
from pcb.stateful import HostValue, StatefulModule

# A class that has not occurred in this many observed batches is considered missing from the data.
PATIENCE = 1000
# If `set_epoch` was not called within this many training steps, the caller has probably forgotten
# it: the first call belongs before the first step. Even short epochs have this many steps.
SMALLEST_EPOCH = 20


class PairwiseClassBalance(StatefulModule):
    r"""Running confusion matrix of a classifier, and soft labels that reduce the confusion.

    Pass this module to a loss as ``balance``. In training, the loss calls :meth:`observe` for every
    batch. It then uses :meth:`soft_labels` as targets, with the weight :meth:`current_strength`.
    With ``alpha=0``, the matrix is updated, but PCB does not change the loss.

    PCB is active if ``epoch >= start_epoch`` and every required class has been observed. A warning
    is issued if PCB stays inactive because a required class does not occur in training, or because
    :meth:`set_epoch` was not called.

    Args:
        num_classes: C, the number of foreground classes.
        alpha: Strength of the soft labels in the last refinement iteration, in [0, 1].
        start_epoch: First epoch in which PCB is active, counted from 1; see :meth:`set_epoch`.
        momentum: Weight of the previous values when a row of the matrix is updated, in [0, 1).
        num_iterations: K, the number of refinement iterations; 1 means no refinement.
        activation: Function that turns logits into probabilities, ``"softmax"`` or ``"sigmoid"``.
        normalize_rows: Whether matrix rows are scaled to sum to 1; default: only for softmax.
        normalize_columns: Whether each soft label, a column of the matrix, is scaled to sum to 1;
            default: only for softmax.
        required_classes: Classes that must be observed before PCB becomes active; default: all.
            Leave out classes that have no training instances.
        class_names: Names of the C classes, for warnings; default: the class indices.

    Buffers:
        confusion (C, C): Running confusion matrix; rows are true classes, columns are predictions.
        instance_count (C,): Number of observed instances of each class.
        update_count (C,): Number of times each row of ``confusion`` was updated.
        epoch (1,): Current epoch, counted from 1.

    The counts are float32, as in the official code, and therefore exact only up to 2 ** 24.
    All buffers keep their dtype when the model is converted with ``half()`` or ``bfloat16()``.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> balance = PairwiseClassBalance(num_classes=2, alpha=0.4)
        >>> balance.observe(torch.zeros(2, 2), torch.tensor([0, 1]))
        >>> balance.current_strength(), balance.soft_labels(torch.tensor([0])).tolist()
        (0.4, [[0.5, 0.5]])
    """

    def __init__(
        self,
        num_classes: int,
        alpha: float,
        start_epoch: int = 1,
        momentum: float = PUBLISHED_MOMENTUM,
        num_iterations: int = 1,
        activation: str = "softmax",
        normalize_rows: bool | None = None,
        normalize_columns: bool | None = None,
        required_classes: Sequence[int] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        if not _is_whole(start_epoch) or start_epoch < 1:
            raise ValueError(f"start_epoch must be a positive whole number, got {start_epoch!r}")
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must lie in [0, 1], got {alpha}")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {momentum}")
        if num_iterations < 1:
            raise ValueError(f"num_iterations must be at least 1, got {num_iterations}")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {list(ACTIVATIONS)}, got {activation!r}")
        self.num_classes = num_classes
        self.alpha = alpha
        self.start_epoch = start_epoch
        self.momentum = momentum
        self.num_iterations = num_iterations
        self.activation = activation
        is_softmax = activation == "softmax"
        self.normalize_rows = is_softmax if normalize_rows is None else normalize_rows
        self.normalize_columns = is_softmax if normalize_columns is None else normalize_columns
        self.class_names = class_names
        self._warned = False
        self._last_set_epoch: int | None = None
        self._calls = 0  # calls of `observe` in the current epoch
        self._host_epoch, self._all_seen = HostValue(), HostValue()
        self.register_buffer("confusion", torch.zeros(num_classes, num_classes))
        self.register_buffer("instance_count", torch.zeros(num_classes))
        self.register_buffer("update_count", torch.zeros(num_classes))
        self.register_buffer("epoch", torch.ones(1))
        self.register_buffer("_required", torch.zeros(num_classes, dtype=bool), persistent=False)
        self.require_classes(range(num_classes) if required_classes is None else required_classes)

    def extra_repr(self) -> str:
        """Return the settings of PCB as text for ``print(model)``."""
        return (
            f"num_classes={self.num_classes}, alpha={self.alpha}, start_epoch={self.start_epoch}, "
            f"momentum={self.momentum}, num_iterations={self.num_iterations}"
        )

    def require_classes(self, classes: Sequence[int]) -> None:
        """Set the classes that must be observed in training before PCB becomes active.

        Args:
            classes: Class indices in [0, C - 1].

        Raises:
            ValueError: If ``classes`` is empty, or an index is out of range.
        """
        classes = [int(c) for c in classes]
        if not classes or min(classes) < 0 or max(classes) >= self.num_classes:
            raise ValueError(
                "required_classes must be a non-empty list of classes in "
                f"[0, {self.num_classes - 1}], got {classes}"
            )
        self._required_classes = sorted(set(classes))
        self._mark_required_classes()

    def _mark_required_classes(self) -> None:
        self._required.zero_()
        self._required[self._required_classes] = True
        self._all_seen = HostValue()

    def reset_state(self) -> None:
        """Reset the confusion matrix and all counts to 0, and the epoch to 1."""
        super().reset_state()
        self.epoch.fill_(1)
        self._mark_required_classes()

    def set_epoch(self, epoch: int) -> None:
        """Set the current epoch. Call this method at the start of every epoch, including the first.

        Args:
            epoch: Number of the epoch, counted from 1.

        Raises:
            ValueError: If ``epoch`` is not a positive whole number.
        """
        if not _is_whole(epoch) or epoch < 1:
            raise ValueError(f"epoch must be a positive whole number, got {epoch!r}")
        self.epoch.fill_(int(epoch))
        if epoch != self._last_set_epoch:
            self._last_set_epoch = int(epoch)
            self._calls = 0

    def observe(self, logits: Tensor, labels: Tensor, occurring: Occurring | None = None) -> None:
        """Update the running confusion matrix and the counts with a batch of instances.

        In distributed training, each process passes its own batch, and all batches are used.

        Args:
            logits: (P, C) logits of the foreground classes. P may be 0 in some or all processes.
                Rows that contain NaN or infinity are left out.
            labels: (P,) true classes in [0, C - 1].
            occurring: The classes that occur among the labels, if the caller knows them; finding
                them waits for a GPU.
        """
        if world_size() > 1:  # each process has other classes, and all must sum the same rows
            classes, rows = torch.arange(self.num_classes, device=labels.device), labels
        else:
            classes, rows = occurring or occurring_classes(labels)
        sums, counts = batch_confusion(logits, rows, self.activation, num_rows=len(classes))
        # Processes without positives must take part, too; otherwise, the others would wait.
        joined = sum_over_processes(torch.cat([sums, counts.unsqueeze(1)], dim=1))
        sums, counts = joined[:, :-1], joined[:, -1]
        updated = update_confusion(
            self.confusion[classes], sums, counts, self.momentum, self.normalize_rows
        )
        self.confusion.index_copy_(0, classes, updated)
        all_seen = self._all_seen.knows(self.instance_count, True)
        self.instance_count.index_add_(0, classes, counts.to(self.instance_count.dtype))
        if all_seen:  # counts never become smaller
            self._all_seen.remember(self.instance_count, True)
        self.update_count.index_add_(0, classes, (counts > 0).to(self.update_count.dtype))
        self._calls += 1
        # Check rarely, because reading the state waits for the GPU.
        if self._calls in (1, SMALLEST_EPOCH * self.num_iterations, PATIENCE):
            self._warn_if_blocked()

    def _warn_if_blocked(self) -> None:
        """Warn if PCB cannot become active in this training run."""
        epoch = self._epoch()
        if epoch < self.start_epoch:
            never_set = self._last_set_epoch is None
            if never_set and self._calls == SMALLEST_EPOCH * self.num_iterations:
                self._warn_of_epoch(epoch)
        # After the first epoch, a class that has not been seen is missing from the data.
        elif (epoch > 1 or self._calls >= PATIENCE) and (unseen := self.unseen_classes()):
            self.warn_of_missing(unseen)

    def required_classes(self) -> list[int]:
        """Return the classes that must be observed in training before PCB becomes active."""
        return list(self._required_classes)

    def unseen_classes(self) -> list[int]:
        """Return the required classes that have not been observed in training yet."""
        return (self._required & (self.instance_count == 0)).nonzero().flatten().tolist()

    def gate_is_open(self) -> bool:
        """Return whether the start epoch has begun and all required classes have been observed."""
        if self._epoch() < self.start_epoch:
            return False
        return self._all_seen.read(self.instance_count, lambda _: not self.unseen_classes())

    def _epoch(self) -> int:
        return self._host_epoch.read(self.epoch, int)

    def warn_of_missing(self, classes: Sequence[int]) -> None:
        """Warn once that PCB stays inactive because required classes do not occur in training.

        Only process 0 warns, and only if ``alpha > 0``.
        """
        if self._warned or self.alpha == 0 or rank() > 0:
            return
        self._warned = True
        names = [str(self.class_names[c] if self.class_names else c) for c in classes]
        shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if names[20:] else "")
        warnings.warn(
            f"PCB should be active from epoch {self.start_epoch} on, but stays inactive: "
            f"{len(classes)} of {self.num_classes} classes {'do' if names[1:] else 'does'} not "
            f"occur in training ({shown}). Remove these classes from the class list, or set "
            "required_classes to the classes that occur in the training set.",
            stacklevel=3,
        )

    def _warn_of_epoch(self, epoch: int) -> None:
        """Warn that :meth:`set_epoch` was not called."""
        if self.alpha > 0 and rank() == 0:
            warnings.warn(
                f"PCB should be active from epoch {self.start_epoch} on, but stays inactive: "
                f"set_epoch was not called in {SMALLEST_EPOCH} training steps, so the epoch is "
                f"still {epoch}. Call balance.set_epoch(epoch) at the start of every epoch, "
                "or use start_epoch=1.",
                stacklevel=3,
            )

    def is_active(self) -> bool:
        """Return whether PCB changes the loss: ``alpha > 0`` and :meth:`gate_is_open`."""
        return self.alpha > 0 and self.gate_is_open()

    def strength_at(self, iteration: int | None = None) -> float:
        """Return PCB's strength in a refinement iteration, even if PCB is inactive.

        If ``iteration`` is None, the last refinement iteration is used.
        """
        last = self.num_iterations - 1
        return strength(self.alpha, last if iteration is None else iteration, self.num_iterations)

    def current_strength(self, iteration: int | None = None) -> float:
        """Return PCB's strength in a refinement iteration, or 0 if PCB is inactive.

        If ``iteration`` is None, the last refinement iteration is used.
        """
        return self.strength_at(iteration) if self.is_active() else 0.0

    def soft_labels(self, labels: Tensor) -> Tensor:
        """Return the soft label of each instance.

        Args:
            labels: (P,) true classes in [0, C - 1].

        Returns:
            (P, C) soft labels, which do not require gradients.
        """
        return fightback_soft_labels(self.confusion, self.normalize_columns, labels)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
