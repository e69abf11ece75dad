"""What all losses share: the balance they are given, and checks of their inputs."""

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor

from pcb.balance import PairwiseClassBalance
from pcb.confusion import at_least_float32
from pcb.losses.updates import is_trained_on, update_once
from pcb.stateful import StatefulModule


def weights_and_factor(
    logits: Tensor, weights: Tensor | None, avg_factor: float | None
) -> tuple[Tensor, float | Tensor]:
    """Fill in the defaults of the sample weights and of the averaging factor.

    Args:
        logits: (N, width).
        weights: (N,), or None for weights of 1.
        avg_factor: divisor of the weighted sum over samples, or None for the number of samples with
            positive weight, at least 1.

    Returns:
        The weights (N,), in the dtype of the logits, and the averaging factor.
    """
    weights = logits.new_ones(len(logits)) if weights is None else weights.to(logits.dtype)
    return weights, (weights > 0).sum().clamp(min=1) if avg_factor is None else avg_factor


class BalancedLoss(StatefulModule):
    """Base of the losses; without a :class:`PairwiseClassBalance`, each loss is plain.

    A loss updates its state (its balance and its own counts) only with batches it trains on, once
    for each: in training mode, with gradients enabled and logits that require them. See
    :mod:`pcb.losses.updates`.

    Args:
        num_classes: C, the number of foreground classes.
        balance: observes the predictions and provides soft labels; None for the plain loss.
        background: position of the background class. None if there is none; ``"last"`` for label C
            (MMDetection); ``"first"`` for label 0, followed by classes 1 to C (torchvision). The
            balance leaves background out and counts classes from 0 in every case.

    Raises:
        ValueError: if the balance has a different number of classes, or ``background`` is invalid.
    """

    # Number of columns that a detector's logits have besides those of the C classes.
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
                f"the balance is for {balance.num_classes} classes, the loss for {num_classes}: "
                "give both the same num_classes"
            )
        if background not in (None, "last", "first"):
            raise ValueError(f"background must be None, 'last' or 'first', got {background!r}")
        self.num_classes = num_classes
        self.balance = balance
        self.background = background

    def extra_repr(self) -> str:
        """Return the settings that ``print(model)`` shows."""
        return f"num_classes={self.num_classes}, background={self.background!r}"

    def prepare(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Check a batch and put background last, as the losses expect it.

        Args:
            logits: (N, C), or (N, C + extra_columns) with background.
            labels: (N,), in [0, C - 1], or [0, C] with background.

        Returns:
            The logits, at least float32, and the labels, both with background last.

        Raises:
            ValueError: if the logits have the wrong shape, or a label is out of range.
        """
        self._check_width(logits)
        if labels.shape != logits.shape[:1]:
            raise ValueError(
                f"labels must have the shape {tuple(logits.shape[:1])}, one for each row of the "
                f"logits, got {tuple(labels.shape)}"
            )
        highest = self.num_classes - (self.background is None)
        outside = labels[(labels < 0) | (labels > highest)]
        if len(outside):
            raise ValueError(
                f"labels must lie in [0, {highest}], got {int(outside[0])}"
                + self._label_hint(int(outside[0]))
            )
        if self.background == "first":
            labels = (labels - 1) % (self.num_classes + 1)
        return self._background_last(at_least_float32(logits)), labels

    def scores(self, logits: Tensor) -> Tensor:
        """Return the scores of a batch at test time.

        Args:
            logits: as in :meth:`forward`.

        Returns:
            (N, C), or (N, C + 1) with background in the column of its label.

        Raises:
            ValueError: if the logits have the wrong shape.
        """
        self._check_width(logits)
        scores = self._scores(self._background_last(at_least_float32(logits)))
        return scores.roll(1, dims=1) if self.background == "first" else scores

    def _scores(self, logits: Tensor) -> Tensor:
        """Return the scores for logits with background last, in the same order."""
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
                ". If one of the classes is background, give its label: background='last' "
                f"({classes}, as in MMDetection) or background='first' (0, as in torchvision)"
            )
        elif len(shape) == 2 and shape[1] == classes:
            message += ". If there is no background, use background=None"
        raise ValueError(message)

    def _label_hint(self, label: int) -> str:
        """Return a hint for a label that is out of range."""
        if label < 0:
            return "; leave out samples to be ignored"
        if self.background == "last":
            return f"; {self.num_classes} is background"
        if self.background == "first":
            return "; 0 is background, and classes are counted from 1"
        if label == self.num_classes:
            return "; classes are counted from 0, and this loss has no background"
        return ""

    def consult_balance(
        self, logits: Tensor, labels: Tensor, iteration: int | None
    ) -> tuple[float, Tensor | None]:
        """Show the positives of a batch to the balance, then ask it for soft labels.

        The balance observes a batch that is trained on, unless the loss or the balance is in eval
        mode.

        Args:
            logits: (P, C) class logits of the positives; P may be 0.
            labels: (P,), in [0, C - 1].
            iteration: refinement iteration; default: the last.

        Returns:
            The strength of PCB in this iteration, which may be 0, and the soft labels (P, C) in the
            dtype of the logits. While PCB is off: 0 and None.
        """
        if self.balance is None:
            return 0.0, None
        if self.balance.training:
            self.update_state(logits, self.balance.observe, logits.detach(), labels)
        if not self.balance.is_active():
            return 0.0, None
        soft_labels = self.balance.soft_labels(labels).to(logits.dtype)
        return self.balance.strength_at(iteration), soft_labels

    def update_state(self, logits: Tensor, update: Callable[..., None], *args: Any) -> None:
        """Call ``update(*args)`` to update the state, if these logits are trained on."""
        if self.training and is_trained_on(logits):
            update_once(self, update, *args)
