"""What the base losses share: a balance that watches, and checked inputs."""

from torch import Tensor, nn

from pcb.balance import PairwiseClassBalance


def averaging(
    logits: Tensor, weights: Tensor | None, avg_factor: float | None
) -> tuple[Tensor, float | Tensor]:
    """Weights (N,) of the samples, default 1, and the factor that their sum is divided by.

    The factor is by default the number of samples with positive weight, at least 1.
    """
    weights = logits.new_ones(len(logits)) if weights is None else weights.to(logits.dtype)
    return weights, (weights > 0).sum().clamp(min=1) if avg_factor is None else avg_factor


class BalancedLoss(nn.Module):
    """Base of the losses; each is plain without a :class:`PairwiseClassBalance`.

    Args:
        num_classes: C, the foreground classes; label C is background.
        balance: watches the predictions and gives soft labels; None for the plain loss.

    Raises:
        ValueError: the balance is for another number of classes.
    """

    def __init__(self, num_classes: int, balance: PairwiseClassBalance | None = None) -> None:
        super().__init__()
        if balance is not None and balance.num_classes != num_classes:
            raise ValueError(
                f"the balance is for {balance.num_classes} classes, the loss for {num_classes}"
            )
        self.num_classes = num_classes
        self.balance = balance

    def check(self, logits: Tensor, labels: Tensor, extra: int, extra_meaning: str) -> bool:
        """Check the shape of logits and the range of labels.

        Args:
            logits: (N, C) for a classifier, or (N, C + extra) for a detector.
            labels: (N,), in [0, C - 1]; in a detector also C.
            extra: columns of a detector besides its classes.
            extra_meaning: what they are, for the error.

        Returns:
            Whether the logits are a detector's.

        Raises:
            ValueError: logits of another width, or a label out of range.
        """
        num_classes, width = self.num_classes, logits.shape[1]
        if width not in (num_classes, num_classes + extra):
            raise ValueError(
                f"logits must have {num_classes} columns, or {num_classes + extra} with "
                f"{extra_meaning} last, got {width}"
            )
        has_background = width > num_classes
        highest = num_classes if has_background else num_classes - 1
        outside = labels[(labels < 0) | (labels > highest)]
        if len(outside):
            meaning = f"; {num_classes} is background" if has_background else ""
            raise ValueError(f"labels must lie in [0, {highest}], got {int(outside[0])}{meaning}")
        return has_background

    def watch(
        self, logits: Tensor, labels: Tensor, iteration: int | None
    ) -> tuple[float, Tensor | None]:
        """Let the balance see the positives of a batch, then ask what to do with them.

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
        if self.training:  # validation must not leak into the soft labels
            self.balance.observe(logits.detach(), labels)
        if not self.balance.is_active():
            return 0.0, None
        soft_labels = self.balance.soft_labels(labels).to(logits.dtype)
        return self.balance.strength_at(iteration), soft_labels
