"""Cross-entropy, plain or balanced pairwise."""

import torch.nn.functional as F
from torch import Tensor, nn

from pcb.balance import PairwiseClassBalance
from pcb.confusion import at_least_float32


def check_labels(labels: Tensor, highest: int, meaning: str = "") -> None:
    """Raise a ValueError naming the first label outside [0, highest]."""
    outside = labels[(labels < 0) | (labels > highest)]
    if len(outside):
        raise ValueError(f"labels must lie in [0, {highest}], got {int(outside[0])}{meaning}")


class CrossEntropyLoss(nn.Module):
    r"""Softmax cross-entropy; with a :class:`PairwiseClassBalance`, the PCB loss.

    .. math::
        L = \frac{1}{A} \sum_{n\,\text{negative}} w_n CE_n
          + \frac{1 - a}{A} \sum_{n\,\text{positive}} w_n CE_n
          + \frac{a}{N} \sum_{n\,\text{positive}} KL(q_{y_n} \| \mathrm{softmax}(z_n))

    with the strength ``a`` of the balance (0 while it is off), its soft labels ``q`` and the
    averaging factor ``A``. Without a balance, or with ``a = 0``, this is cross-entropy.

    Args:
        num_classes: C, the foreground classes.
        balance: watches the predictions and gives soft labels; None for plain cross-entropy.

    Shape:
        - logits: (N, C) for a classifier, or (N, C + 1) for a detector, background last.
        - labels: (N,), in [0, C - 1]; C is background.
        - returns a scalar, in the precision of the logits, at least float32.

    Source: He et al., "Relieving Long-tailed Instance Segmentation via Pairwise Class Balance",
    CVPR 2022.

    Example:
        >>> import torch
        >>> loss = CrossEntropyLoss(num_classes=3, balance=PairwiseClassBalance(3, alpha=0.4))
        >>> logits = torch.zeros(4, 3, requires_grad=True)
        >>> loss(logits, torch.tensor([0, 1, 2, 0])).backward()
        >>> logits.grad.shape
        torch.Size([4, 3])
    """

    def __init__(self, num_classes: int, balance: PairwiseClassBalance | None = None) -> None:
        super().__init__()
        if balance is not None and balance.num_classes != num_classes:
            raise ValueError(
                f"the balance is for {balance.num_classes} classes, the loss for {num_classes}"
            )
        self.num_classes = num_classes
        self.balance = balance

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        weights: Tensor | None = None,
        avg_factor: float | None = None,
        iteration: int | None = None,
    ) -> Tensor:
        """Loss of a batch; in training mode the balance observes it first.

        Args:
            logits: (N, C) or (N, C + 1).
            labels: (N,).
            weights: (N,) weights of the cross-entropy terms; default 1.
            avg_factor: A; default the number of samples with positive weight, at least 1.
            iteration: iteration of refinement; default the last.

        Raises:
            ValueError: for logits of another width, or a label out of range.
        """
        num_classes, width = self.num_classes, logits.shape[1]
        if width not in (num_classes, num_classes + 1):
            raise ValueError(
                f"logits must have {num_classes} columns, or {num_classes + 1} with background "
                f"last, got {width}"
            )
        has_background = width > num_classes
        check_labels(labels, width - 1, f"; {num_classes} is background" * has_background)

        logits = at_least_float32(logits)
        weights = logits.new_ones(len(labels)) if weights is None else weights.to(logits.dtype)
        if avg_factor is None:
            avg_factor = (weights > 0).sum().clamp(min=1)

        log_probabilities = logits.log_softmax(dim=1)
        cross_entropy = weights * F.nll_loss(log_probabilities, labels, reduction="none")
        if self.balance is None:
            return cross_entropy.sum() / avg_factor

        positive = labels < num_classes
        positive_labels = labels[positive]
        if self.training:  # validation must not leak into the soft labels
            self.balance.observe(logits[positive, :num_classes].detach(), positive_labels)
        strength = self.balance.current_strength(iteration)
        if strength == 0:
            return cross_entropy.sum() / avg_factor

        soft_labels = self.balance.soft_labels(positive_labels).to(logits.dtype)
        soft_labels = F.pad(soft_labels, (0, width - num_classes))  # background gets nothing
        divergence = F.kl_div(log_probabilities[positive], soft_labels, reduction="sum")
        kept = 1 - strength * positive.to(logits.dtype)
        mean_divergence = divergence / max(len(labels), 1)
        return (kept * cross_entropy).sum() / avg_factor + strength * mean_divergence
