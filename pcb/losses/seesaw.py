"""Seesaw loss, plain or balanced pairwise."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pcb.balance import PairwiseClassBalance
from pcb.distributed import sum_over_processes
from pcb.losses.base import BalancedLoss, averaging
from pcb.losses.learning import learns_once


class SeesawLoss(BalancedLoss):
    r"""Seesaw loss; with a :class:`PairwiseClassBalance`, Seesaw + PCB.

    Cross-entropy over the classes in which a positive of class ``y`` pushes class ``j`` down with
    the factor ``S[y, j]``, which is below 1 for rarer classes (mitigation), and above 1 for those
    it is taken for (compensation):

    .. math::
        L_y = -\log \frac{e^{z_y}}{\sum_j S_{yj} e^{z_j}}, \qquad
        S_{yj} = \min\left(1, \frac{n_j}{n_y}\right)^p
                 \max\left(1, \frac{\sigma_j}{\max(\sigma_y, \epsilon)}\right)^q

    with ``n`` the samples of each class so far and ``sigma`` the softmax of the logits. A detector
    has two more logits, foreground and background, trained by cross-entropy over all RoIs.

    With PCB the class part becomes ``(1 - a) L_y`` and ``a`` times the soft cross-entropy between
    the soft label of ``y`` and the same logits after the factors for ``y``; ``a`` is the strength.

    Args:
        num_classes: C, the foreground classes.
        balance: watches the predictions and gives soft labels; None for plain Seesaw.
        p: exponent of the mitigation; 0 turns it off.
        q: exponent of the compensation; 0 turns it off.
        eps: least probability that the compensation divides by.
        background: None, ``"last"`` or ``"first"``, see :class:`BalancedLoss`; says which label
            background has, and its column in the scores. The logits have one order.

    Shape:
        - logits: (N, C), or (N, C + 2) with background: the classes, then foreground, then
          background.
        - labels: (N,), in [0, C - 1]; with background in [0, C].
        - returns scalars, in the precision of the logits, at least float32.

    Buffers:
        cum_samples (C + 1,): samples of each class so far, background last, on all processes.

    Source: Wang et al., "Seesaw Loss for Long-Tailed Instance Segmentation", CVPR 2021; He et al.,
    "Relieving Long-tailed Instance Segmentation via Pairwise Class Balance", CVPR 2022.

    Example:
        >>> balance = PairwiseClassBalance(3, alpha=0.05)
        >>> loss = SeesawLoss(num_classes=3, balance=balance, background="last")
        >>> losses = loss(torch.zeros(4, 5, requires_grad=True), torch.tensor([0, 1, 2, 3]))
        >>> {name: round(value.item(), 3) for name, value in losses.items()}
        {'loss_cls_objectness': 0.693, 'loss_cls_classes': 0.783, 'loss_pcb_classes': 0.041}
    """

    extra_columns = 2

    def __init__(
        self,
        num_classes: int,
        balance: PairwiseClassBalance | None = None,
        p: float = 0.8,
        q: float = 2.0,
        eps: float = 1e-2,
        *,
        background: Literal["last", "first"] | None = None,
    ) -> None:
        super().__init__(num_classes, balance, background)
        for name, value in (("p", p), ("q", q)):
            if value < 0:
                raise ValueError(f"{name} must not be negative, got {value}")
        if not 0 < eps <= 1:
            raise ValueError(f"eps must lie in (0, 1], got {eps}")
        self.p = p
        self.q = q
        self.eps = eps
        self.register_buffer("cum_samples", torch.zeros(num_classes + 1))

    @learns_once
    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        weights: Tensor | None = None,
        avg_factor: float | None = None,
        iteration: int | None = None,
    ) -> dict[str, Tensor]:
        """Losses of a batch; if it is trained on, samples are counted and the balance observes.

        Args:
            logits: (N, C), or (N, C + 2) with background.
            labels: (N,).
            weights: (N,), default 1.
            avg_factor: A; default the number of samples with positive weight, at least 1.
            iteration: iteration of refinement; default the last.

        Returns:
            ``loss_cls_classes``; for a detector also ``loss_cls_objectness``; while PCB acts also
            ``loss_pcb_classes``. Their sum is the loss.

        Raises:
            ValueError: for logits of another width, or a label out of range.
        """
        logits, labels = self.arrange(logits, labels)
        weights, avg_factor = averaging(logits, weights, avg_factor)
        self.learn(logits, self._count, labels)

        def average(loss: Tensor, weights: Tensor) -> Tensor:
            return (weights * loss).sum() / avg_factor

        losses = {}
        positive = labels < self.num_classes
        if self.background is not None:
            objectness = F.cross_entropy(
                logits[:, self.num_classes :], (~positive).long(), reduction="none"
            )
            losses["loss_cls_objectness"] = average(objectness, weights)

        logits = logits[positive, : self.num_classes]
        labels, weights = labels[positive], weights[positive]
        strength, soft_labels = self.watch(logits, labels, iteration)
        log_probabilities = (logits + self.log_factors(logits, labels)).log_softmax(dim=1)
        hard = F.nll_loss(log_probabilities, labels, reduction="none")
        losses["loss_cls_classes"] = (1 - strength) * average(hard, weights)
        if soft_labels is not None:
            soft = -(soft_labels * log_probabilities).sum(dim=1)
            losses["loss_pcb_classes"] = strength * average(soft, weights)
        return losses

    def _count(self, labels: Tensor) -> None:
        """Count the samples of a batch, on all processes together."""
        counts = torch.bincount(labels, minlength=self.num_classes + 1)
        self.cum_samples += sum_over_processes(counts.to(self.cum_samples.dtype))

    @torch.no_grad()
    def log_factors(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logarithm of the factors ``S`` of positives (P, C), 0 for the true class."""
        log_counts = self.cum_samples[:-1].clamp(min=1).log().to(logits.dtype)
        mitigation = (log_counts - log_counts[labels, None]).clamp(max=0)
        log_scores = logits.log_softmax(dim=1)
        own = log_scores.gather(1, labels[:, None]).clamp(min=math.log(self.eps))
        compensation = (log_scores - own).clamp(min=0)
        return self.p * mitigation + self.q * compensation

    def _background_last(self, logits: Tensor) -> Tensor:
        return logits  # objectness is last anyway

    def _scores(self, logits: Tensor) -> Tensor:
        """The softmax of the classes, with background times the probability of foreground."""
        classes = logits[:, : self.num_classes].softmax(dim=1)
        if self.background is None:
            return classes
        foreground, background = logits[:, self.num_classes :].softmax(dim=1).split(1, dim=1)
        return torch.cat([classes * foreground, background], dim=1)
