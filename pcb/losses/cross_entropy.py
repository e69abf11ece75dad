"""Cross-entropy loss, with or without Pairwise Class Balance (PCB)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

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
            ValueError: If the logits have the wrong shape, or a label on the CPU is out of range.
        """
        logits, batch = self.prepare(logits, labels, iteration)
        weights, avg_factor = weights_and_factor(logits, weights, avg_factor)
        log_probabilities = logits.log_softmax(dim=1)
        strength, soft_labels = self.consult_balance(logits, batch, iteration)
        if strength == 0 or soft_labels is None:
            cross_entropy = F.nll_loss(log_probabilities, batch.labels, reduction="none")
            return (weights * cross_entropy).sum() / avg_factor
        share = strength / max(len(logits), 1)
        rows = batch.occurring.rows
        is_positive = (batch.labels < self.num_classes).to(logits.dtype)
        hard = (1 - strength * is_positive) * weights / avg_factor  # negatives keep their full loss
        cross_entropy = _CrossEntropy.apply(
            log_probabilities, batch.labels, hard, batch.positive, (share * soft_labels)[rows]
        )
        entropies = torch.special.entr(soft_labels).sum(dim=1)
        return cross_entropy - share * entropies[rows].sum()

    def _scores(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)


class _CrossEntropy(Function):
    """Cross-entropy of all samples with their labels, and of the positives with soft labels.

    The loss is linear in the log-probabilities, so its gradient is a matrix of targets. Autograd
    would make one such matrix for each of the two terms, and add them.
    """

    @staticmethod
    def forward(
        log_probabilities: Tensor, labels: Tensor, hard: Tensor, positive: Tensor, soft: Tensor
    ) -> Tensor:
        """Return the sum over both terms.

        Args:
            log_probabilities: (N, C), or (N, C + 1) with background.
            labels: (N,) true labels.
            hard: (N,) factor of the log-probability of each sample's label.
            positive: (P,) positions of the positives among the N samples.
            soft: (P, C) factors of the log-probabilities of the positives.
        """
        own = log_probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)
        others = log_probabilities[:, : soft.shape[1]].index_select(0, positive)
        return -torch.dot(hard, own) - torch.dot(soft.flatten(), others.flatten())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        log_probabilities, labels, hard, positive, soft = ctx.saved_tensors
        targets = torch.zeros_like(log_probabilities)
        targets[:, : soft.shape[1]].index_copy_(0, positive, -gradient * soft)
        targets.scatter_add_(1, labels.unsqueeze(1), (-gradient * hard).unsqueeze(1))
        of_hard = None
        if ctx.needs_input_grad[2]:  # the sample weights require gradients
            of_hard = -gradient * log_probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)
        return targets, None, of_hard, None, None
