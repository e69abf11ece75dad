"""Pairwise class balance (PCB): the state, the gate and the strength that every loss shares."""

import warnings
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from pcb.confusion import ACTIVATIONS, batch_confusion, update_confusion
from pcb.distributed import rank, sum_over_processes
from pcb.soft_labels import fightback_soft_labels
from pcb.state import Remembering

# Observed batches after which a class that has not occurred is assumed to be missing in the data.
PATIENCE = 1000
# Training steps that are assumed to be an epoch's worth where no epoch is ever told: as few as an
# epoch of small data has. Whoever tells the epochs does so before the first step.
SMALLEST_EPOCH = 20


def strength(alpha: float, iteration: int, num_iterations: int) -> float:
    """Strength of the soft label in one iteration of refinement: ``alpha * k / (K - 1)``.

    The first of several iterations sees plain labels, the last one the full strength; a single
    iteration sees the full strength.

    Args:
        alpha: full strength, in [0, 1].
        iteration: k, in [0, num_iterations - 1].
        num_iterations: K, at least 1.

    Raises:
        ValueError: when the iteration is not one of the K.

    Example:
        >>> [strength(0.4, k, 3) for k in range(3)], strength(0.4, 0, 1)
        ([0.0, 0.2, 0.4], 0.4)
    """
    if not 0 <= iteration < num_iterations:
        raise ValueError(f"iteration must lie in [0, {num_iterations - 1}], got {iteration}")
    return alpha if num_iterations == 1 else alpha * iteration / (num_iterations - 1)


def scaled_momentum(calls: float, first_update_weight: float = 0.1) -> float:
    """Momentum at which a row forgets its first update within a given number of calls.

    The first update of a row keeps the weight ``m ** (calls - 1)``. The published 0.99 suits the
    thousands of calls of an LVIS schedule; on a short one it would leave rare classes with little
    but their first, untrained prediction.

    Args:
        calls: expected calls that update the row before PCB starts; more than 1.
        first_update_weight: weight that the first update may keep, in (0, 1).

    Returns:
        The momentum, at most the published 0.99.

    Example:
        >>> round(scaled_momentum(calls=24), 3), scaled_momentum(calls=10_000)
        (0.905, 0.99)
    """
    if calls <= 1:
        raise ValueError(f"calls must be greater than 1, got {calls}: train for more epochs")
    if not 0 < first_update_weight < 1:
        raise ValueError(f"first_update_weight must lie in (0, 1), got {first_update_weight}")
    return min(0.99, first_update_weight ** (1 / (calls - 1)))


class PairwiseClassBalance(Remembering):
    r"""Watches what a classifier confuses and gives soft labels that fight it back.

    It is *given to* a base loss, which calls :meth:`observe` with every batch that is trained on
    and then mixes in :meth:`soft_labels` with :meth:`current_strength`. With ``alpha=0`` it only
    watches.

    PCB acts once ``epoch >= start_epoch`` and every required class has been seen. When a class is
    still missing after a whole epoch, or after 1000 observed batches, one warning names it. Another
    one comes when PCB waits for a later epoch and nobody calls :meth:`set_epoch` in 20 training
    steps.

    The buffers keep their precision where the model around them becomes ``half()`` or
    ``bfloat16()``.

    Args:
        num_classes: C, the foreground classes.
        alpha: full strength of the soft label, in [0, 1].
        start_epoch: first epoch (counted from 1) in which PCB acts; see :meth:`set_epoch`.
        momentum: weight of the past in the running matrix, in [0, 1).
        num_iterations: K, the iterations of refinement; 1 for a plain classifier.
        activation: ``"softmax"`` or ``"sigmoid"``, how logits become probabilities.
        normalize_rows: keep the rows of the matrix summing to 1; default for softmax only.
        normalize_columns: make soft labels sum to 1; default for softmax only.
        required_classes: classes that must have been seen before PCB acts; default all. Pass the
            classes present in the training set where some have no instance.
        class_names: C names for the warning; default the class indices.

    Buffers:
        confusion (C, C): running matrix, ``confusion[i, j]``: true i, predicted j.
        instance_count (C,): instances seen of each class.
        update_count (C,): calls in which a class occurred, so that
            ``momentum ** (update_count - 1)`` is the weight its first update still has.
        epoch (1,): current epoch, counted from 1.

    Counts are float32 as officially, and exact up to 2 ** 24. ``double()`` takes them further.

    Source: He et al., "Relieving Long-tailed Instance Segmentation via Pairwise Class Balance",
    CVPR 2022.

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
        momentum: float = 0.99,
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
            raise ValueError(f"start_epoch must be a whole number, at least 1, got {start_epoch!r}")
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
        self._told_epoch: int | None = None
        self._calls = 0  # of observe, in the epoch that was told last
        self.register_buffer("confusion", torch.zeros(num_classes, num_classes))
        self.register_buffer("instance_count", torch.zeros(num_classes))
        self.register_buffer("update_count", torch.zeros(num_classes))
        self.register_buffer("epoch", torch.ones(1))
        self.register_buffer("_required", torch.zeros(num_classes, dtype=bool), persistent=False)
        self.require_classes(range(num_classes) if required_classes is None else required_classes)

    def extra_repr(self) -> str:
        """Settings, as ``print(model)`` shows them."""
        return (
            f"num_classes={self.num_classes}, alpha={self.alpha}, start_epoch={self.start_epoch}, "
            f"momentum={self.momentum}, num_iterations={self.num_iterations}"
        )

    def require_classes(self, classes: Sequence[int]) -> None:
        """Act only once all of these classes have been seen, whatever the others do."""
        classes = [int(c) for c in classes]
        if not classes or min(classes) < 0 or max(classes) >= self.num_classes:
            raise ValueError(
                f"required classes must be a non-empty subset of [0, {self.num_classes - 1}], "
                f"got {classes}"
            )
        self._required_classes = sorted(set(classes))
        self._mark_required_classes()

    def _mark_required_classes(self) -> None:
        self._required.zero_()
        self._required[self._required_classes] = True

    def reset_state(self) -> None:
        """Forget all observations; the epoch is the first one again."""
        super().reset_state()
        self.epoch.fill_(1)
        self._mark_required_classes()

    def set_epoch(self, epoch: int) -> None:
        """Tell which epoch is running; call it at the start of each, the first one included.

        Args:
            epoch: counted from 1.

        Raises:
            ValueError: not a whole number, or less than 1.
        """
        if not _is_whole(epoch) or epoch < 1:
            raise ValueError(f"epoch must be a whole number, counted from 1, got {epoch!r}")
        self.epoch.fill_(int(epoch))
        if epoch != self._told_epoch:
            self._told_epoch = int(epoch)
            self._calls = 0

    def observe(self, logits: Tensor, labels: Tensor) -> None:
        """Update the running matrix and the counts from a batch, on all processes together.

        The losses call it with what is trained on. Called directly, it observes what it is given.

        Args:
            logits: (P, C) foreground logits; P may be 0, on some processes or on all.
            labels: (P,) true classes in [0, C - 1].
        """
        usable = logits.isfinite().all(dim=1)  # one NaN would stay in its row for ever
        sums, counts = batch_confusion(logits[usable], labels[usable], self.activation)
        # One collective for both: it is entered by every process, also by one without positives.
        joined = sum_over_processes(torch.cat([sums, counts.unsqueeze(1)], dim=1))
        sums, counts = joined[:, :-1], joined[:, -1]
        self.confusion.copy_(
            update_confusion(self.confusion, sums, counts, self.momentum, self.normalize_rows)
        )
        self.instance_count += counts.to(self.instance_count.dtype)
        self.update_count += counts > 0
        self._calls += 1
        # Reading the state waits for a GPU, so that it is looked at now and then alone.
        if self._calls in (1, SMALLEST_EPOCH * self.num_iterations, PATIENCE):
            self._warn_if_held_back()

    def _warn_if_held_back(self) -> None:
        """Warn if something that does not change by itself keeps PCB from acting."""
        epoch = int(self.epoch)
        if epoch < self.start_epoch:
            never_told = self._told_epoch is None
            if never_told and self._calls == SMALLEST_EPOCH * self.num_iterations:
                self._warn_of_epoch(epoch)
        # In the first epoch a missing class may yet come. After it, it is not in the data.
        elif (epoch > 1 or self._calls >= PATIENCE) and (unseen := self.unseen_classes()):
            self.warn_of_missing(unseen)

    def required_classes(self) -> list[int]:
        """Classes that must have been seen before PCB acts."""
        return list(self._required_classes)

    def unseen_classes(self) -> list[int]:
        """Required classes of which no instance has been observed yet."""
        return (self._required & (self.instance_count == 0)).nonzero().flatten().tolist()

    def gate_is_open(self) -> bool:
        """Whether the epoch has come and every required class has been seen."""
        return int(self.epoch) >= self.start_epoch and not self.unseen_classes()

    def warn_of_missing(self, classes: Sequence[int]) -> None:
        """Warn, once and in one process, that these classes keep PCB from acting.

        Silent if it only watches.
        """
        if self._warned or self.alpha == 0 or rank() > 0:
            return
        self._warned = True
        names = [str(self.class_names[c] if self.class_names else c) for c in classes]
        shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if names[20:] else "")
        warnings.warn(
            f"PCB should act from epoch {self.start_epoch} on, but stays off: {len(classes)} of "
            f"{self.num_classes} classes do not occur in training ({shown}). Remove them from the "
            "class list, or let the gate ask only for classes present in the training set "
            "(required_classes).",
            stacklevel=3,
        )

    def _warn_of_epoch(self, epoch: int) -> None:
        """Warn, in one process, that nobody tells the epoch. Silent if it only watches."""
        if self.alpha > 0 and rank() == 0:
            warnings.warn(
                f"PCB should act from epoch {self.start_epoch} on, and stays off until set_epoch "
                f"says so: it was not called in {SMALLEST_EPOCH} training steps, so that it is "
                f"still epoch {epoch}. Call balance.set_epoch(epoch) at the start of every epoch, "
                "counted from 1, or use start_epoch=1.",
                stacklevel=3,
            )

    def is_active(self) -> bool:
        """Whether PCB changes the loss now: it has a strength, and its gate is open."""
        return self.alpha > 0 and self.gate_is_open()

    def strength_at(self, iteration: int | None = None) -> float:
        """Strength of the soft labels in this iteration (default the last) once PCB acts."""
        last = self.num_iterations - 1
        return strength(self.alpha, last if iteration is None else iteration, self.num_iterations)

    def current_strength(self, iteration: int | None = None) -> float:
        """Strength of the soft labels in this iteration (default the last); 0 while PCB is off."""
        return self.strength_at(iteration) if self.is_active() else 0.0

    def soft_labels(self, labels: Tensor) -> Tensor:
        """Soft labels (P, C) of instances with true classes ``labels`` (P,), without gradient."""
        return fightback_soft_labels(self.confusion, self.normalize_columns)[labels]


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
