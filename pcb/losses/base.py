"""What the base losses share: a balance that watches, and checked inputs."""

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor

from pcb.balance import PairwiseClassBalance
from pcb.confusion import at_least_float32
from pcb.losses.learning import is_trained_on, learn
from pcb.state import Remembering


def averaging(
    logits: Tensor, weights: Tensor | None, avg_factor: float | None
) -> tuple[Tensor, float | Tensor]:
    """Weights (N,) of the samples, default 1, and the factor that their sum is divided by.

    The factor is by default the number of samples with positive weight, at least 1.
    """
    weights = logits.new_ones(len(logits)) if weights is None else weights.to(logits.dtype)
    return weights, (weights > 0).sum().clamp(min=1) if avg_factor is None else avg_factor


class BalancedLoss(Remembering):
    """Base of the losses; each is plain without a :class:`PairwiseClassBalance`.

    A loss learns (the balance, and whatever else it counts) only from what is trained on: in
    training mode, with gradients enabled and logits that require them, once for every batch. See
    :mod:`pcb.losses.learning`.

    Args:
        num_classes: C, the foreground classes.
        balance: watches the predictions and gives soft labels; None for the plain loss.
        background: None for a classifier of C classes; for a detector where its background is:
            ``"last"``, label C (MMDetection), or ``"first"``, label 0 before classes 1 to C
            (torchvision). The balance leaves background out and counts classes from 0 either way.

    Raises:
        ValueError: the balance is for another number of classes, or the background is not one of
            these.
    """

    # Columns of a detector's logits besides its classes.
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
                f"the balance is for {balance.num_classes} classes, the loss for {num_classes}"
            )
        if background not in (None, "last", "first"):
            raise ValueError(f"background must be None, 'last' or 'first', got {background!r}")
        self.num_classes = num_classes
        self.balance = balance
        self.background = background

    def extra_repr(self) -> str:
        """Settings, as ``print(model)`` shows them."""
        return f"num_classes={self.num_classes}, background={self.background!r}"

    def arrange(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Check a batch, and bring it into the order in which the losses compute.

        Args:
            logits: (N, C), or (N, C + extra_columns) with background.
            labels: (N,), in [0, C - 1], or [0, C] with background.

        Returns:
            The logits, at least in float32, and the labels, both with background last.

        Raises:
            ValueError: logits of another width, or a label out of range.
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
        """Test-time scores (N, C), or (N, C + 1) with background where the labels have it.

        Args:
            logits: as in :meth:`forward`.

        Raises:
            ValueError: for logits of another width.
        """
        self._check_width(logits)
        scores = self._scores(self._background_last(at_least_float32(logits)))
        return scores.roll(1, dims=1) if self.background == "first" else scores

    def _scores(self, logits: Tensor) -> Tensor:
        """Scores of logits with background last."""
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
                ". If there is a background, say which label it has: background='last' "
                f"({classes}, as in MMDetection) or background='first' (0, as in torchvision)"
            )
        elif len(shape) == 2 and shape[1] == classes:
            message += ". Without a background, leave background=None"
        raise ValueError(message)

    def _label_hint(self, label: int) -> str:
        """What may help with a label out of range."""
        if label < 0:
            return "; leave out the samples that are to be ignored"
        if self.background == "last":
            return f"; {self.num_classes} is background"
        if self.background == "first":
            return "; 0 is background, and classes are counted from 1"
        if label == self.num_classes:
            return "; classes are counted from 0, and this loss has no background"
        return ""

    def watch(
        self, logits: Tensor, labels: Tensor, iteration: int | None
    ) -> tuple[float, Tensor | None]:
        """Let the balance see the positives of a batch, then ask what to do with them.

        The balance observes what is trained on, unless the loss or the balance is in eval mode.

        Args:
            logits: (P, C) class logits of the positives; P may be 0.
            labels: (P,), in [0, C - 1].
            iteration: iteration of refinement; default the last.

        Returns:
            The strength of PCB in this iteration, which may be 0, and the soft labels (P, C) in the
            precision of the logits; 0 and None while PCB is off.
        """
        if self.balance is None:
            return 0.0, None
        if self.balance.training:
            self.learn(logits, self.balance.observe, logits.detach(), labels)
        if not self.balance.is_active():
            return 0.0, None
        soft_labels = self.balance.soft_labels(labels).to(logits.dtype)
        return self.balance.strength_at(iteration), soft_labels

    def learn(self, logits: Tensor, change: Callable[..., None], *args: Any) -> None:
        """Change the state of the loss by ``change(*args)`` if these logits are trained on."""
        if self.training and is_trained_on(logits):
            learn(self, change, *args)
