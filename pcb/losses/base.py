"""Base class of this package's losses; it checks inputs and uses a ``PairwiseClassBalance``."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from pcb.balance import PairwiseClassBalance
from pcb.confusion import Occurring, at_least_float32, occurring_classes
from pcb.losses.updates import is_trained_on, update_once
from pcb.stateful import StatefulModule, has_version


def weights_and_factor(
    logits: Tensor, weights: Tensor | None, avg_factor: float | None
) -> tuple[Tensor, float | Tensor]:
    """Replace missing sample weights and a missing averaging factor with their defaults.

    Args:
        logits: (N, width) logits of N samples.
        weights: (N,) sample weights, or None for weights of 1.
        avg_factor: Number by which the weighted sum over samples is divided. None means the number
            of samples with positive weight, but at least 1.

    Returns:
        The weights (N,), in the dtype of the logits, and the averaging factor.
    """
    weights = logits.new_ones(len(logits)) if weights is None else weights.to(logits.dtype)
    return weights, (weights > 0).sum().clamp(min=1) if avg_factor is None else avg_factor


class Targets(NamedTuple):
    """What the losses need to know about the labels of a batch.

    Attributes:
        labels: (N,) labels; background, if any, is C.
        positive: (P,) positions of the positives among the N samples.
        classes: (P,) true classes of the positives.
        occurring: The classes that occur among the positives.
    """

    labels: Tensor
    positive: Tensor
    classes: Tensor
    occurring: Occurring


class BalancedLoss(StatefulModule):
    """Base class of losses that can use a :class:`PairwiseClassBalance`.

    Each training batch updates the state of the loss and of ``balance`` once. A batch is a training
    batch if the loss is in training mode, gradients are enabled and the logits require gradients.
    See :mod:`pcb.losses.updates`.

    Args:
        num_classes: C, the number of foreground classes.
        balance: Observes the predictions and provides soft labels; None to train without PCB.
        background: Position of the background class. Pass None if there is no background. Pass
            ``"last"`` if background has the label C (MMDetection). Pass ``"first"`` if background
            has the label 0, and the classes have the labels 1 to C (torchvision). In
            ``balance``, classes always have the labels 0 to C - 1, and there is no background.

    Raises:
        ValueError: If ``balance`` has a different number of classes, or ``background`` is invalid.
    """

    # Number of columns of a detector's logits in addition to those of the C classes.
    extra_columns = 1

    def __init__(
        self,
        num_classes: int,
        balance: PairwiseClassBalance | None = None,
        background: Literal["last", "first"] | None = None,
    ) -> None:
        super().__init__()
        if balance is not None and balance.num_classes != num_classes:
            raise ValueError(
                f"balance has num_classes={balance.num_classes}, but the loss has "
                f"num_classes={num_classes}: pass the same number to both"
            )
        if background not in (None, "last", "first"):
            raise ValueError(f"background must be None, 'last' or 'first', got {background!r}")
        self.num_classes = num_classes
        self.balance = balance
        self.background = background
        self._last_targets: tuple[Tensor, int, Targets] | None = None  # labels, version, targets

    def extra_repr(self) -> str:
        """Return the settings of the loss as text for ``print(model)``."""
        return f"num_classes={self.num_classes}, background={self.background!r}"

    def prepare(
        self, logits: Tensor, labels: Tensor, iteration: int | None
    ) -> tuple[Tensor, Targets]:
        """Check a batch and move background to the last position, where the losses expect it.

        Args:
            logits: (N, C) logits, or (N, C + extra_columns) with background.
            labels: (N,) labels in [0, C - 1], or in [0, C] with background.
            iteration: Index of the refinement iteration, if any.

        Returns:
            The logits, in float32 or a wider dtype, with background, if any, in the last column;
            and what the losses need to know about the labels.

        Raises:
            ValueError: If the logits have the wrong shape, or a label is out of range. The range
                is checked only on the CPU, because the check would wait for a GPU.
        """
        self._check_width(logits)
        if labels.shape != logits.shape[:1]:
            raise ValueError(
                f"labels must have the shape {tuple(logits.shape[:1])}, got {tuple(labels.shape)}: "
                "pass one label for each row of the logits"
            )
        targets = self._read_labels(labels, is_first=not iteration)
        return self._background_last(at_least_float32(logits)), targets

    def _read_labels(self, labels: Tensor, is_first: bool) -> Targets:
        """Return the targets of a batch.

        Finding the positives and their classes waits for a GPU. So the later refinement iterations
        of a training step, which pass the same labels, share the result of the first.
        """
        if not has_version(labels):
            return self._targets_of(labels)
        if self._last_targets is not None and not is_first:
            known, version, targets = self._last_targets
            if known is labels and version == labels._version:
                return targets
        targets = self._targets_of(labels)
        self._last_targets = labels, labels._version, targets
        return targets

    def _targets_of(self, labels: Tensor) -> Targets:
        if labels.device.type == "cpu":
            self._check_range(labels)
        if self.background == "first":
            # Labels out of range stay so, and PyTorch's own checks fail on a GPU.
            shifted = labels - (labels <= self.num_classes).to(labels.dtype)
            labels = torch.where(labels == 0, self.num_classes, shifted)
        if self.background is None:
            positive = torch.arange(len(labels), device=labels.device)
        else:
            positive = (labels < self.num_classes).nonzero().flatten()
        classes = labels[positive]
        return Targets(labels, positive, classes, occurring_classes(classes))

    def _check_range(self, labels: Tensor) -> None:
        highest = self.num_classes - (self.background is None)
        outside = labels[(labels < 0) | (labels > highest)]
        if len(outside):
            raise ValueError(
                f"labels must lie in [0, {highest}], got {int(outside[0])}"
                + self._label_hint(int(outside[0]))
            )

    def scores(self, logits: Tensor) -> Tensor:
        """Return the test-time scores of a batch.

        Args:
            logits: (N, C) logits, or (N, C + extra_columns) with background.

        Returns:
            The scores (N, C), or (N, C + 1) with background. Column i belongs to label i.

        Raises:
            ValueError: If the logits have the wrong shape.
        """
        self._check_width(logits)
        scores = self._scores(self._background_last(at_least_float32(logits)))
        return scores.roll(1, dims=1) if self.background == "first" else scores

    def _scores(self, logits: Tensor) -> Tensor:
        """Return the test-time scores of a batch. Background, if any, is the last column."""
        raise NotImplementedError

    def _background_last(self, logits: Tensor) -> Tensor:
        return logits.roll(-1, dims=1) if self.background == "first" else logits

    def _check_width(self, logits: Tensor) -> None:
        classes, extra = self.num_classes, self.extra_columns
        expected = classes if self.background is None else classes + extra
        shape = tuple(logits.shape)
        if len(shape) == 2 and shape[1] == expected:
            return
        meaning = {
            None: f"{classes} classes and no background",
            "last": f"{classes} classes and background='last'",
            "first": f"{classes} classes and background='first'",
        }[self.background]
        message = f"logits must have the shape (N, {expected}) for {meaning}, got {shape}"
        if len(shape) == 2 and self.background is None and shape[1] == classes + extra:
            message += (
                ". If background is an additional class, pass background='last' if its label is "
                f"{classes} (MMDetection), or background='first' if it is 0 (torchvision)"
            )
        elif len(shape) == 2 and shape[1] == classes:
            message += ". If there is no background class, pass background=None"
        raise ValueError(message)

    def _label_hint(self, label: int) -> str:
        """Return a hint for the error message about an out-of-range label."""
        if label < 0:
            return "; remove samples that should be ignored"
        if self.background == "last":
            return f"; {self.num_classes} is background"
        if self.background == "first":
            return "; 0 is background, and classes are counted from 1"
        if label == self.num_classes:
            return "; classes are counted from 0, and this loss has no background"
        return ""

    def consult_balance(
        self, logits: Tensor, targets: Targets, iteration: int | None
    ) -> tuple[float, Tensor | None]:
        """Let PCB observe the positives of a batch, and return PCB's strength and soft labels.

        PCB observes the batch only in training.

        Args:
            logits: Logits of the batch, as returned by :meth:`prepare`.
            targets: The targets of the batch.
            iteration: Index of the refinement iteration; None for the last refinement iteration.

        Returns:
            The strength of PCB in this refinement iteration, and the soft labels (U, C) of the
            classes that occur, in the dtype of the logits. If PCB is inactive, the strength is 0
            and the soft labels are None.
        """
        if self.balance is None:
            return 0.0, None
        if self.balance.training:
            class_logits = logits.detach()[targets.positive, : self.num_classes]
            observed = (class_logits, targets.classes, targets.occurring)
            self.update_state(logits, self.balance.observe, *observed)
        if not self.balance.is_active():
            return 0.0, None
        soft_labels = self.balance.soft_labels(targets.occurring.classes).to(logits.dtype)
        return self.balance.strength_at(iteration), soft_labels

    def update_state(self, logits: Tensor, update: Callable[..., None], *args: Any) -> None:
        """Update the state of the loss with ``update(*args)``, but only in training."""
        if self.training and is_trained_on(logits):
            update_once(self, update, *args)
