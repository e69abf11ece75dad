"""Equalization loss v2 (EQL v2), plain or balanced pairwise."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pcb.balance import PairwiseClassBalance
from pcb.distributed import sum_over_processes
from pcb.losses.base import BalancedLoss
from pcb.losses.learning import learns_once


class EQLv2Loss(BalancedLoss):
    r"""Sigmoid loss that evens out each class's positive and negative gradients.

    .. math::
        L = \frac{1}{N} \sum_{n, j} \left(u_j t_{nj} + v_j (1 - t_{nj})\right)
            \mathrm{BCE}(z_{nj}, t_{nj}), \qquad
        v_j = \frac{1}{1 + e^{-\gamma (g_j - \mu)}}, \quad u_j = 1 + \alpha (1 - v_j)

    with the one-hot target ``t`` and ``g`` the ratio of the positive to the negative gradients that
    a class has accumulated. Weights are 1 until something has been accumulated, and for background.

    With a :class:`PairwiseClassBalance` the target of a positive becomes
    ``a q + (1 - a) onehot``, with the strength ``a`` and the soft label ``q``.

    Args:
        num_classes: C, the foreground classes.
        balance: watches the predictions and gives soft labels; has to be for ``"sigmoid"``. None
            for plain EQL v2.
        gamma: steepness of the weight of negatives.
        mu: ratio of gradients at which negatives weigh one half.
        alpha: how much positives gain where negatives lose.
        background: None, ``"last"`` or ``"first"``, see :class:`BalancedLoss`.

    Shape:
        - logits: (N, C), or (N, C + 1) with background.
        - labels: (N,), in [0, C - 1]; with background in [0, C].
        - returns a scalar, in the precision of the logits, at least float32.

    Buffers:
        positive_gradient (C,), negative_gradient (C,): accumulated on all processes.
        has_gradients (1,): 0 until something has been accumulated, then 1.

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
                "EQL v2 is a sigmoid loss, its balance is for "
                f"{balance.activation!r}: give PairwiseClassBalance(..., activation='sigmoid')"
            )
        self.gamma = gamma
        self.mu = mu
        self.alpha = alpha
        self.register_buffer("positive_gradient", torch.zeros(num_classes))
        self.register_buffer("negative_gradient", torch.zeros(num_classes))
        self.register_buffer("has_gradients", torch.zeros(1))

    @learns_once
    def forward(self, logits: Tensor, labels: Tensor, iteration: int | None = None) -> Tensor:
        """Loss of a batch; if it is trained on, the balance observes it, and gradients accumulate.

        Args:
            logits: (N, C), or (N, C + 1) with background.
            labels: (N,).
            iteration: iteration of refinement; default the last.

        Raises:
            ValueError: for logits of another width, or a label out of range.
        """
        logits, labels = self.arrange(logits, labels)
        positive = labels < self.num_classes
        strength, soft_labels = self.watch(
            logits[positive, : self.num_classes], labels[positive], iteration
        )
        targets = F.one_hot(labels, logits.shape[1]).to(logits.dtype)
        if soft_labels is not None:
            targets[positive, : self.num_classes] = torch.lerp(
                targets[positive, : self.num_classes], soft_labels, strength
            )
        of_positives, of_negatives = self.class_weights(logits)
        weights = of_positives * targets + of_negatives * (1 - targets)
        losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        self.learn(logits, self._accumulate, logits.detach(), targets, weights)
        return (weights * losses).sum() / max(len(labels), 1)

    @torch.no_grad()
    def class_weights(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of positives and of negatives for each column of the logits, (width,) each."""
        ratio = self.positive_gradient / (self.negative_gradient + 1e-10)
        of_negatives = torch.sigmoid(self.gamma * (ratio - self.mu))
        # Without gradients the ratio would be 0, and the weight of negatives almost 0, too.
        of_negatives = torch.where(self.has_gradients > 0, of_negatives, 1.0).to(logits.dtype)
        background = logits.shape[1] - self.num_classes
        of_negatives = F.pad(of_negatives, (0, background), value=1.0)
        return 1 + self.alpha * (1 - of_negatives), of_negatives

    @torch.no_grad()
    def _accumulate(self, logits: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Add the weighted gradients of a batch, on all processes together."""
        # |t (sigma - 1) + (1 - t) sigma|: the terms in t sigma cancel.
        gradients = weights * (logits.sigmoid() - targets).abs()
        # One NaN would stay in what has been accumulated for ever.
        usable = logits.isfinite().all(dim=1, keepdim=True)
        gradients = torch.where(usable, gradients, 0.0)[:, : self.num_classes]
        targets = targets[:, : self.num_classes]
        sums = torch.stack([(gradients * targets).sum(0), (gradients * (1 - targets)).sum(0)])
        sums = sum_over_processes(sums)
        positive, negative = sums
        self.positive_gradient += positive.to(self.positive_gradient.dtype)
        self.negative_gradient += negative.to(self.negative_gradient.dtype)
        self.has_gradients.masked_fill_(sums.sum() > 0, 1)  # not after an empty batch

    def _scores(self, logits: Tensor) -> Tensor:
        """``sigma(z_j)``, with background ``sigma(z_j) (1 - sigma(z_C))``."""
        scores = logits.sigmoid()
        if self.background is None:
            return scores
        classes, background = scores.split([self.num_classes, 1], dim=1)
        return torch.cat([classes * (1 - background), background], dim=1)
