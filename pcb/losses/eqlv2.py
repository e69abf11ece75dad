"""Equalization loss v2 (EQL v2), with or without PCB."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from pcb.balance import PairwiseClassBalance
from pcb.distributed import sum_over_processes
from pcb.losses.base import BalancedLoss
from pcb.losses.updates import updates_once


class EQLv2Loss(BalancedLoss):
    r"""EQL v2, a sigmoid loss that balances the positive and negative gradients of each class.

    .. math::
        L = \frac{1}{N} \sum_{n, j} \left(u_j t_{nj} + v_j (1 - t_{nj})\right)
            \mathrm{BCE}(z_{nj}, t_{nj}), \qquad
        v_j = \frac{1}{1 + e^{-\gamma (g_j - \mu)}}, \quad u_j = 1 + \alpha (1 - v_j)

    Here ``t`` is the one-hot target, and ``g`` is the ratio of the accumulated positive gradients
    of a class to its accumulated negative gradients. Before the first update, the weights ``u`` and
    ``v`` are 1. For background, they are always 1.

    With a :class:`PairwiseClassBalance`, the target of a positive becomes
    ``a * q + (1 - a) * onehot``, where ``a`` is the strength of PCB and ``q`` is the soft label.

    Args:
        num_classes: C, the number of foreground classes.
        balance: The :class:`PairwiseClassBalance` that provides soft labels; None for the loss
            without PCB. The activation of ``balance`` must be ``"sigmoid"``.
        gamma: Steepness of the negative weight ``v`` as a function of ``g``.
        mu: Ratio ``g`` for which ``v`` is one half.
        alpha: How much the positive weight ``u`` grows as ``v`` falls.
        background: None, ``"last"`` or ``"first"``; see :class:`BalancedLoss`.

    Shape:
        - logits: (N, C), or (N, C + 1) with background.
        - labels: (N,), in [0, C - 1], or in [0, C] with background.
        - returns a scalar in the dtype of the logits, but at least float32.

    Buffers:
        positive_gradient (C,), negative_gradient (C,): Gradients of each class, summed over all
            training batches and processes.
        has_gradients (1,): 1 if any gradient has been accumulated, otherwise 0.

    Raises:
        ValueError: If the activation of ``balance`` is not ``"sigmoid"``.

    Source: Tan et al., "Equalization Loss v2: A New Gradient Balance Approach for Long-tailed
    Object Detection", CVPR 2021; He et al., "Relieving Long-tailed Instance Segmentation via
    Pairwise Class Balance", CVPR 2022.

    Example:
        >>> balance = PairwiseClassBalance(3, alpha=0.2, activation="sigmoid")
        >>> loss = EQLv2Loss(num_classes=3, balance=balance, background="last")
        >>> loss(torch.zeros(4, 4, requires_grad=True), torch.tensor([0, 1, 2, 3])).item()
        2.7725887298583984
        >>> loss.positive_gradient
        tensor([0.2421, 0.2421, 0.2421])
    """

    def __init__(
        self,
        num_classes: int,
        balance: PairwiseClassBalance | None = None,
        gamma: float = 12.0,
        mu: float = 0.8,
        alpha: float = 4.0,
        *,
        background: Literal["last", "first"] | None = None,
    ) -> None:
        super().__init__(num_classes, balance, background)
        if balance is not None and balance.activation != "sigmoid":
            raise ValueError(
                f"EQLv2Loss needs a balance with activation 'sigmoid', got {balance.activation!r}: "
                "use PairwiseClassBalance(..., activation='sigmoid')"
            )
        self.gamma = gamma
        self.mu = mu
        self.alpha = alpha
        self.register_buffer("positive_gradient", torch.zeros(num_classes))
        self.register_buffer("negative_gradient", torch.zeros(num_classes))
        self.register_buffer("has_gradients", torch.zeros(1))

    @updates_once
    def forward(self, logits: Tensor, labels: Tensor, iteration: int | None = None) -> Tensor:
        """Return the loss of a batch; in training, update ``balance`` and the gradient sums.

        Args:
            logits: (N, C) logits, or (N, C + 1) with background.
            labels: (N,) true labels.
            iteration: Index of the refinement iteration that computed the logits; None for the last
                refinement iteration.

        Returns:
            The loss, a scalar.

        Raises:
            ValueError: If the logits have the wrong shape, or a label on the CPU is out of range.
        """
        logits, batch = self.prepare(logits, labels, iteration)
        strength, soft_labels = self.consult_balance(logits, batch, iteration)
        targets = torch.zeros_like(logits).scatter_(1, batch.labels.unsqueeze(1), 1.0)
        if soft_labels is not None:
            of_classes = targets[:, : self.num_classes]
            own = of_classes.index_select(0, batch.positive)
            mixed = own.lerp_(soft_labels[batch.occurring.rows], strength)
            of_classes.index_copy_(0, batch.positive, mixed)
        positive_weight, negative_weight = self.class_weights(logits)
        weights = torch.addcmul(negative_weight, positive_weight - negative_weight, targets)
        total, gradients = _BinaryCrossEntropy.apply(logits, targets, weights)
        self.update_state(logits, self._accumulate, gradients, targets)
        return total / max(len(labels), 1)

    @torch.no_grad()
    def class_weights(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weight of positives and the weight of negatives for each column of the logits.

        Args:
            logits: (N, C) logits, or (N, C + 1) with background last.

        Returns:
            The positive weights and the negative weights, each (C,), or (C + 1,) with background.
        """
        ratio = self.positive_gradient / (self.negative_gradient + 1e-10)
        negative_weight = torch.sigmoid(self.gamma * (ratio - self.mu))
        # Before the first update, the ratio is 0, so negatives would have almost no weight.
        negative_weight = torch.where(self.has_gradients > 0, negative_weight, 1.0).to(logits.dtype)
        background = logits.shape[1] - self.num_classes
        negative_weight = F.pad(negative_weight, (0, background), value=1.0)
        return 1 + self.alpha * (1 - negative_weight), negative_weight

    @torch.no_grad()
    def _accumulate(self, gradients: Tensor, targets: Tensor) -> None:
        """Add the gradients of a batch, summed over all processes, to the gradient sums."""
        gradients = gradients.abs()
        # A NaN would stay in the sums forever, so samples with NaN are left out.
        gradients.masked_fill_(~gradients.sum(dim=1, keepdim=True).isfinite(), 0.0)
        total = gradients.sum(0)
        positive = gradients.mul_(targets).sum(0)
        sums = sum_over_processes(torch.stack([positive, total - positive])[:, : self.num_classes])
        positive, negative = sums
        self.positive_gradient += positive.to(self.positive_gradient.dtype)
        self.negative_gradient += negative.to(self.negative_gradient.dtype)
        self.has_gradients.masked_fill_(sums.sum() > 0, 1)  # stays 0 if the batch is empty

    def _scores(self, logits: Tensor) -> Tensor:
        """Return the sigmoid of each logit.

        With a background class, each foreground score is multiplied by 1 - background score.
        """
        scores = logits.sigmoid()
        if self.background is None:
            return scores
        classes, background = scores.split([self.num_classes, 1], dim=1)
        return torch.cat([classes * (1 - background), background], dim=1)


class _BinaryCrossEntropy(Function):
    """Weighted sum of binary cross-entropies, and its gradient with respect to the logits.

    EQL v2 needs the gradient in the forward pass. Written out, it is computed once, and with few
    temporary matrices of the size of the logits.
    """

    @staticmethod
    def forward(logits: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        losses = F.softplus(logits).addcmul_(targets, logits, value=-1)
        gradients = logits.sigmoid().sub_(targets).mul_(weights)
        return torch.dot(losses.flatten(), weights.flatten()), gradients

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs, output[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: None) -> tuple[Tensor, None, None]:
        logits, targets, weights, gradients = ctx.saved_tensors
        if torch.is_grad_enabled():  # for the second derivative
            gradients = (logits.sigmoid() - targets) * weights
        return gradient * gradients, None, None
