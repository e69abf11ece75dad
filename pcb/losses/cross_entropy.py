"""Cross-entropy loss, with or without Pairwise Class Balance (PCB)."""

import torch.nn.functional as F
from torch import Tensor

from pcb.losses.base import BalancedLoss, weights_and_factor
from pcb.losses.updates import updates_once


class CrossEntropyLoss(BalancedLoss):
    r"""Softmax cross-entropy, with or without Pairwise Class Balance (PCB).

    .. math::
        L = \frac{1}{A} \sum_{n\,\text{negative}} w_n CE_n
          + \frac{1 - a}{A} \sum_{n\,\text{positive}} w_n CE_n
          + \frac{a}{N} \sum_{n\,\text{positive}} KL(q_{y_n} \| \mathrm{softmax}(z_n))

    Here ``a`` is the strength of PCB, ``q`` are the soft labels, ``w`` are the sample weights,
    ``N`` is the number of samples, and ``A`` is the averaging factor. Without ``balance``,
    ``a`` is 0. If ``a`` is 0, the loss is the usual cross-entropy.

    Args:
        num_classes: C, the number of foreground classes.
        balance: The :class:`PairwiseClassBalance` that provides soft labels; None for the loss
            without PCB.
        background: Position of the background class: ``"last"``, ``"first"``, or None if there is
            no background. See :class:`BalancedLoss`.

    Shape:
        - logits: (N, C), or (N, C + 1) with background.
        - labels: (N,), in [0, C - 1], or in [0, C] with background.
        - returns a scalar: float64 for float64 logits, otherwise float32.

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

    @updates_once
    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        weights: Tensor | None = None,
        avg_factor: float | None = None,
        iteration: int | None = None,
    ) -> Tensor:
        """Return the loss of a batch.

        In training, ``balance`` is first updated with the batch.

        Args:
            logits: (N, C) logits, or (N, C + 1) with background.
            labels: (N,) true labels.
            weights: (N,) weights w of the cross-entropy terms; default: 1.
            avg_factor: Averaging factor A; default: the number of samples with positive weight, but
                at least 1.
            iteration: Index of the refinement iteration; default: the last refinement iteration.

        Returns:
            The loss, a scalar.

        Raises:
            ValueError: If the logits have the wrong shape, or a label is out of range.
        """
        logits, labels = self.prepare(logits, labels)
        weights, avg_factor = weights_and_factor(logits, weights, avg_factor)
        log_probabilities = logits.log_softmax(dim=1)
        cross_entropy = weights * F.nll_loss(log_probabilities, labels, reduction="none")

        positive = labels < self.num_classes
        class_logits = logits[positive, : self.num_classes]
        strength, soft_labels = self.consult_balance(class_logits, labels[positive], iteration)
        if strength == 0:
            return cross_entropy.sum() / avg_factor
        background = logits.shape[1] - self.num_classes
        soft_labels = F.pad(soft_labels, (0, background))  # no probability for background
        divergence = F.kl_div(log_probabilities[positive], soft_labels, reduction="sum")
        # Negatives keep their full cross-entropy.
        share = 1 - strength * positive.to(logits.dtype)
        mean_divergence = divergence / max(len(labels), 1)
        return (share * cross_entropy).sum() / avg_factor + strength * mean_divergence

    def _scores(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)
