"""Pairwise class balance (PCB): the state, the gate and the strength that all losses share.

Source: He et al., "Relieving Long-tailed Instance Segmentation via Pairwise Class Balance",
CVPR 2022.
"""

import warnings
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from pcb.confusion import ACTIVATIONS, PUBLISHED_MOMENTUM, batch_confusion, update_confusion
from pcb.distributed import rank, sum_over_processes
from pcb.soft_labels import fightback_soft_labels
from pcb.stateful import StatefulModule

# After this many observed batches, a class that has not occurred is considered missing in the data.
PATIENCE = 1000
# After this many training steps without a call of `set_epoch`, nobody is expected to call it: the
# first call should precede the first step, and even a small dataset has epochs of this length.
SMALLEST_EPOCH = 20


def strength(alpha: float, iteration: int, num_iterations: int) -> float:
    """Return the strength of the soft labels in one refinement iteration: ``alpha * k / (K - 1)``.

    The first of several iterations trains with plain labels, the last one with the full strength.
    A single iteration has the full strength.

    Args:
        alpha: full strength, in [0, 1].
        iteration: k, in [0, num_iterations - 1].
        num_iterations: K, at least 1.

    Raises:
        ValueError: if ``iteration`` is out of range.

    Example:
        >>> [strength(0.4, k, 3) for k in range(3)], strength(0.4, 0, 1)
        ([0.0, 0.2, 0.4], 0.4)
    """
    if not 0 <= iteration < num_iterations:
        raise ValueError(f"iteration must lie in [0, {num_iterations - 1}], got {iteration}")
    return alpha if num_iterations == 1 else alpha * iteration / (num_iterations - 1)


class PairwiseClassBalance(StatefulModule):
    r"""Tracks which classes a classifier confuses, and provides soft labels that counter this.

    A balance is *given to* a base loss. The loss calls :meth:`observe` with every batch it trains
    on, then mixes in :meth:`soft_labels` with :meth:`current_strength`. With ``alpha=0``, the
    balance only observes.

    PCB acts once ``epoch >= start_epoch`` and every required class has been seen. If a class is
    still missing after one epoch, or after 1000 observed batches, a single warning names it.
    Another warning comes if PCB waits for a later epoch, but nobody calls :meth:`set_epoch` within
    20 training steps.

    The buffers keep their dtype if the surrounding model is converted with ``half()`` or
    ``bfloat16()``.

    Args:
        num_classes: C, the number of foreground classes.
        alpha: full strength of the soft labels, in [0, 1].
        start_epoch: first epoch in which PCB acts, counted from 1; see :meth:`set_epoch`.
        momentum: weight of the past in the running matrix, in [0, 1).
        num_iterations: K, the number of refinement iterations; 1 for a plain classifier.
        activation: how logits become probabilities, ``"softmax"`` or ``"sigmoid"``.
        normalize_rows: keep the rows of the matrix summing to 1; default: only for softmax.
        normalize_columns: make soft labels sum to 1; default: only for softmax.
        required_classes: classes that must have been seen before PCB acts; default: all. If some
            classes have no training instance, pass the others.
        class_names: C names for the warning; default: the class indices.

    Buffers:
        confusion (C, C): running matrix; ``confusion[i, j]``: true class i predicted as class j.
        instance_count (C,): number of instances seen of each class.
        update_count (C,): number of calls in which each class occurred. The first update still has
            the weight ``momentum ** (update_count - 1)``.
        epoch (1,): current epoch, counted from 1.

    Counts are float32, as in the official code, and exact up to 2 ** 24; ``double()`` extends this.

    Raises:
        ValueError: if a setting is out of range.

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
        self._last_set_epoch: int | None = None
        self._calls = 0  # calls of `observe` in the current epoch
        self.register_buffer("confusion", torch.zeros(num_classes, num_classes))
        self.register_buffer("instance_count", torch.zeros(num_classes))
        self.register_buffer("update_count", torch.zeros(num_classes))
        self.register_buffer("epoch", torch.ones(1))
        self.register_buffer("_required", torch.zeros(num_classes, dtype=bool), persistent=False)
        self.require_classes(range(num_classes) if required_classes is None else required_classes)

    def extra_repr(self) -> str:
        """Return the settings that ``print(model)`` shows."""
        return (
            f"num_classes={self.num_classes}, alpha={self.alpha}, start_epoch={self.start_epoch}, "
            f"momentum={self.momentum}, num_iterations={self.num_iterations}"
        )

    def require_classes(self, classes: Sequence[int]) -> None:
        """Set the classes that must have been seen before PCB acts.

        Args:
            classes: class indices in [0, C - 1].

        Raises:
            ValueError: if there are none, or an index is out of range.
        """
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
        """Forget all observations and return to the first epoch."""
        super().reset_state()
        self.epoch.fill_(1)
        self._mark_required_classes()

    def set_epoch(self, epoch: int) -> None:
        """Set the current epoch. Call this at the start of every epoch, including the first.

        Args:
            epoch: counted from 1.

        Raises:
            ValueError: if ``epoch`` is not a whole number, or less than 1.
        """
        if not _is_whole(epoch) or epoch < 1:
            raise ValueError(f"epoch must be a whole number, counted from 1, got {epoch!r}")
        self.epoch.fill_(int(epoch))
        if epoch != self._last_set_epoch:
            self._last_set_epoch = int(epoch)
            self._calls = 0

    def observe(self, logits: Tensor, labels: Tensor) -> None:
        """Update the running matrix and the counts with a batch, jointly on all processes.

        The losses call this for the batches they train on. Each direct call updates the state.

        Args:
            logits: (P, C) foreground logits; P may be 0, on some processes or on all. Rows that
                are not finite are left out.
            labels: (P,) true classes in [0, C - 1].
        """
        finite = logits.isfinite().all(dim=1)  # a NaN would stay in the matrix for ever
        sums, counts = batch_confusion(logits[finite], labels[finite], self.activation)
        # Every process takes part in the sum, even without positives: the others would wait for it.
        joined = sum_over_processes(torch.cat([sums, counts.unsqueeze(1)], dim=1))
        sums, counts = joined[:, :-1], joined[:, -1]
        self.confusion.copy_(
            update_confusion(self.confusion, sums, counts, self.momentum, self.normalize_rows)
        )
        self.instance_count += counts.to(self.instance_count.dtype)
        self.update_count += counts > 0
        self._calls += 1
        # Check rarely: reading the state blocks until the GPU is done.
        if self._calls in (1, SMALLEST_EPOCH * self.num_iterations, PATIENCE):
            self._warn_if_blocked()

    def _warn_if_blocked(self) -> None:
        """Warn if PCB cannot act, and waiting longer will not help."""
        epoch = int(self.epoch)
        if epoch < self.start_epoch:
            never_set = self._last_set_epoch is None
            if never_set and self._calls == SMALLEST_EPOCH * self.num_iterations:
                self._warn_of_epoch(epoch)
        # During the first epoch, an unseen class may still occur; later, the data lack it.
        elif (epoch > 1 or self._calls >= PATIENCE) and (unseen := self.unseen_classes()):
            self.warn_of_missing(unseen)

    def required_classes(self) -> list[int]:
        """Return the classes that must have been seen before PCB acts."""
        return list(self._required_classes)

    def unseen_classes(self) -> list[int]:
        """Return the required classes without any observed instance."""
        return (self._required & (self.instance_count == 0)).nonzero().flatten().tolist()

    def gate_is_open(self) -> bool:
        """Return whether the start epoch is reached and every required class has been seen."""
        return int(self.epoch) >= self.start_epoch and not self.unseen_classes()

    def warn_of_missing(self, classes: Sequence[int]) -> None:
        """Warn that these classes keep PCB from acting, once and on one process only.

        With ``alpha=0``, no warning is needed and none is given.
        """
        if self._warned or self.alpha == 0 or rank() > 0:
            return
        self._warned = True
        names = [str(self.class_names[c] if self.class_names else c) for c in classes]
        shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if names[20:] else "")
        warnings.warn(
            f"PCB should act from epoch {self.start_epoch} on, but stays off: {len(classes)} of "
            f"{self.num_classes} classes do not occur in training ({shown}). Remove them from the "
            "class list, or set required_classes to the classes present in the training set.",
            stacklevel=3,
        )

    def _warn_of_epoch(self, epoch: int) -> None:
        """Warn that nobody sets the epoch, on one process only; not needed with ``alpha=0``."""
        if self.alpha > 0 and rank() == 0:
            warnings.warn(
                f"PCB should act from epoch {self.start_epoch} on, but stays off: set_epoch was "
                f"not called in {SMALLEST_EPOCH} training steps, so it is still epoch {epoch}. "
                "Call balance.set_epoch(epoch) at the start of every epoch, counted from 1, or "
                "use start_epoch=1.",
                stacklevel=3,
            )

    def is_active(self) -> bool:
        """Return whether PCB changes the loss now: its strength is positive and its gate open."""
        return self.alpha > 0 and self.gate_is_open()

    def strength_at(self, iteration: int | None = None) -> float:
        """Return the strength in an iteration (default: the last) while PCB acts."""
        last = self.num_iterations - 1
        return strength(self.alpha, last if iteration is None else iteration, self.num_iterations)

    def current_strength(self, iteration: int | None = None) -> float:
        """Return the strength in an iteration (default: the last), or 0 while PCB is off."""
        return self.strength_at(iteration) if self.is_active() else 0.0

    def soft_labels(self, labels: Tensor) -> Tensor:
        """Return the soft labels of instances, without gradient.

        Args:
            labels: (P,) true classes in [0, C - 1].

        Returns:
            (P, C).
        """
        return fightback_soft_labels(self.confusion, self.normalize_columns)[labels]


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
