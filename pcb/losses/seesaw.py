"""Seesaw loss, with or without Pairwise Class Balance (PCB)."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pcb.balance import PairwiseClassBalance
from pcb.distributed import sum_over_processes
from pcb.losses.base import BalancedLoss, weights_and_factor
from pcb.losses.updates import updates_once


class SeesawLoss(BalancedLoss):
    r"""Seesaw loss, or Seesaw + PCB if used with a :class:`PairwiseClassBalance`.

    The loss is a cross-entropy over the classes. A factor ``S[y, j]`` scales how strongly an
    instance of class ``y`` suppresses class ``j``. Mitigation lowers the factor if class ``j`` is
    rarer than ``y``. Compensation raises the factor if the instance is mistaken for class ``j``:

    .. math::
        L_y = -\log \frac{e^{z_y}}{\sum_j S_{yj} e^{z_j}}, \qquad
        S_{yj} = \min\left(1, \frac{n_j}{n_y}\right)^p
                 \max\left(1, \frac{\sigma_j}{\max(\sigma_y, \epsilon)}\right)^q

    Here ``n`` is the number of samples of each class so far, and ``sigma`` is the softmax of the
    logits. A detector has two more logits, one for foreground and one for background. These two
    logits are trained with cross-entropy over all RoIs.

    With PCB of strength ``a``, the class loss is ``(1 - a) * L_y`` plus ``a`` times the
    cross-entropy between the soft label of ``y`` and the logits, with the same factors ``S``.

    Args:
        num_classes: C, the number of foreground classes.
        balance: Module that observes the predictions and provides soft labels; None for Seesaw
            without PCB.
        p: Exponent of the mitigation; 0 turns it off.
        q: Exponent of the compensation; 0 turns it off.
        eps: Lower limit for the denominator in the compensation.
        background: Position of background among the labels: ``"last"``, ``"first"``, or None for no
            background. In the logits, background is always last.

    Shape:
        - logits: (N, C), or (N, C + 2) with background: the classes, then foreground, then
          background.
        - labels: (N,), in [0, C - 1], or in [0, C] with background.
        - losses: scalars in the dtype of the logits, but at least float32.

    Buffers:
        cum_samples (C + 1,): Number of samples of each class so far, in all processes together.
            Background is last.

    Raises:
        ValueError: If a setting is out of range.

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

    @updates_once
    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        weights: Tensor | None = None,
        avg_factor: float | None = None,
        iteration: int | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses of a batch.

        In training mode, the sample counts and ``balance`` are first updated with the batch.

        Args:
            logits: (N, C) logits, or (N, C + 2) with background.
            labels: (N,) true labels.
            weights: (N,) sample weights; default: 1.
            avg_factor: Number by which the sum of the weighted losses is divided. The default is
                the number of samples with positive weight, or 1 if there are none.
            iteration: Index of the refinement iteration; None for the last refinement iteration.

        Returns:
            A dict of scalars whose sum is the loss. The key ``loss_cls_classes`` is always present.
            The key ``loss_cls_objectness`` is present if the loss has a background class. The key
            ``loss_pcb_classes`` is present while PCB is active.

        Raises:
            ValueError: If the logits have the wrong shape, or a label on the CPU is out of range.
        """
        logits, batch = self.prepare(logits, labels, iteration)
        weights, avg_factor = weights_and_factor(logits, weights, avg_factor)
        self.update_state(logits, self._count, batch.labels)

        def average(loss: Tensor, weights: Tensor) -> Tensor:
            return (weights * loss).sum() / avg_factor

        losses = {}
        if self.background is not None:
            objectness = F.cross_entropy(
                logits[:, self.num_classes :],
                (batch.labels == self.num_classes).long(),
                reduction="none",
            )
            losses["loss_cls_objectness"] = average(objectness, weights)

        strength, soft_labels = self.consult_balance(logits, batch, iteration)
        logits, weights = logits[batch.positive, : self.num_classes], weights[batch.positive]
        labels = batch.classes
        log_probabilities = (logits + self.log_factors(logits, labels)).log_softmax(dim=1)
        hard = F.nll_loss(log_probabilities, labels, reduction="none")
        losses["loss_cls_classes"] = (1 - strength) * average(hard, weights)
        if soft_labels is not None:
            soft = -(soft_labels[batch.occurring.rows] * log_probabilities).sum(dim=1)
            losses["loss_pcb_classes"] = strength * average(soft, weights)
        return losses

    def _count(self, labels: Tensor) -> None:
        """Add the class counts of a batch, summed over all processes, to ``cum_samples``."""
        counts = torch.zeros_like(self.cum_samples)  # `bincount` would wait for a GPU
        counts.index_add_(0, labels, counts.new_ones(len(labels)))
        self.cum_samples += sum_over_processes(counts)

    @torch.no_grad()
    def log_factors(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the logarithms of Seesaw's factors ``S`` for the positives of a batch.

        Args:
            logits: (P, C) class logits of the positives.
            labels: (P,) true classes in [0, C - 1].

        Returns:
            (P, C) logarithms, without gradient. They are 0 for the true class.
        """
        log_counts = self.cum_samples[:-1].clamp(min=1).log().to(logits.dtype)
        mitigation = (log_counts - log_counts[labels, None]).clamp(max=0)
        log_scores = logits.log_softmax(dim=1)
        own = log_scores.gather(1, labels[:, None]).clamp(min=math.log(self.eps))
        compensation = (log_scores - own).clamp(min=0)
        return self.p * mitigation + self.q * compensation

    def _background_last(self, logits: Tensor) -> Tensor:
        return logits  # the foreground and background logits are always last

    def _scores(self, logits: Tensor) -> Tensor:
        """Return the class probabilities, with background if the loss has a background class."""
        classes = logits[:, : self.num_classes].softmax(dim=1)
        if self.background is None:
            return classes
        foreground, background = logits[:, self.num_classes :].softmax(dim=1).split(1, dim=1)
        return torch.cat([classes * foreground, background], dim=1)
