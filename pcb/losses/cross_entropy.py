"""Cross-entropy, plain or balanced pairwise."""

import torch.nn.functional as F
from torch import Tensor

from pcb.losses.base import BalancedLoss, averaging
from pcb.losses.learning import learns_once


class CrossEntropyLoss(BalancedLoss):
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
        background: None, ``"last"`` or ``"first"``, see :class:`BalancedLoss`.

    Shape:
        - logits: (N, C), or (N, C + 1) with background.
        - labels: (N,), in [0, C - 1]; with background in [0, C].
        - returns a scalar, in the precision of the logits, at least float32.

    Source: He et al., "Relieving Long-tailed Instance Segmentation via Pairwise Class Balance",
    CVPR 2022.

    Example:
        >>> import torch
        >>> from pcb import PairwiseClassBalance
        >>> loss = CrossEntropyLoss(num_classes=3, balance=PairwiseClassBalance(3, alpha=0.4))
        >>> logits = torch.zeros(4, 3, requires_grad=True)
        >>> loss(logits, torch.tensor([0, 1, 2, 0])).backward()
        >>> logits.grad.shape
        torch.Size([4, 3])
    """

    @learns_once
    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        weights: Tensor | None = None,
        avg_factor: float | None = None,
        iteration: int | None = None,
    ) -> Tensor:
        """Loss of a batch; if it is trained on, the balance observes it first.

        Args:
            logits: (N, C), or (N, C + 1) with background.
            labels: (N,).
            weights: (N,) weights of the cross-entropy terms; default 1.
            avg_factor: A; default the number of samples with positive weight, at least 1.
            iteration: iteration of refinement; default the last.

        Raises:
            ValueError: for logits of another width, or a label out of range.
        """
        logits, labels = self.arrange(logits, labels)
        weights, avg_factor = averaging(logits, weights, avg_factor)
        log_probabilities = logits.log_softmax(dim=1)
        cross_entropy = weights * F.nll_loss(log_probabilities, labels, reduction="none")

        positive = labels < self.num_classes
        class_logits = logits[positive, : self.num_classes]
        strength, soft_labels = self.watch(class_logits, labels[positive], iteration)
        if strength == 0:
            return cross_entropy.sum() / avg_factor
        background = logits.shape[1] - self.num_classes
        soft_labels = F.pad(soft_labels, (0, background))  # background gets nothing
        divergence = F.kl_div(log_probabilities[positive], soft_labels, reduction="sum")
        kept = 1 - strength * positive.to(logits.dtype)
        mean_divergence = divergence / max(len(labels), 1)
        return (kept * cross_entropy).sum() / avg_factor + strength * mean_divergence

    def _scores(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)
