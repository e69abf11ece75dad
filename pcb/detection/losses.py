"""The losses that this package adds to mmdet.

Their names and arguments are those of the official PCB code.
"""

from collections.abc import Sequence

from mmdet.models.builder import LOSSES
from torch import Tensor

from pcb.balance import PairwiseClassBalance
from pcb.detection.box_head_loss import BoxHeadLoss, accuracy_percent
from pcb.losses import CrossEntropyLoss, EQLv2Loss, SeesawLoss


def _balance(
    num_classes: int,
    alpha: float,
    start_epoch: int,
    momentum: float,
    n_iter: int,
    required_classes: str | Sequence[int],
    activation: str = "softmax",
) -> PairwiseClassBalance:
    """Build a PairwiseClassBalance from the arguments of a loss."""
    if isinstance(required_classes, str) and required_classes not in ("all", "present"):
        raise ValueError(
            "required_classes must be 'all', 'present' or a list of labels, "
            f"got {required_classes!r}"
        )
    return PairwiseClassBalance(
        num_classes,
        alpha,
        start_epoch=start_epoch,
        momentum=momentum,
        num_iterations=n_iter,
        activation=activation,
        required_classes=None if isinstance(required_classes, str) else required_classes,
    )


@LOSSES.register_module()
class CrossEntropyPCBLoss(BoxHeadLoss, CrossEntropyLoss):
    """Cross-entropy loss with PCB, for a box head with C + 1 logits.

    Args:
        num_classes: C, the number of foreground classes.
        alpha: Strength of PCB in the last refinement iteration. If 0, the loss is ordinary
            cross-entropy, and the confusion matrix is updated but has no effect.
        start_epoch: First epoch (counted from 1) in which PCB is active.
        momentum: Weight of the old value in each update of the confusion matrix.
        n_iter: Number of refinement iterations; the RoI head overwrites this number.
        required_classes: Classes that must occur in training before PCB becomes active: a list of
            labels, ``"all"``, or ``"present"`` for the classes that occur in the training set.
        loss_weight: Factor by which the loss is multiplied.
        use_sigmoid: Only False is valid; the argument exists because official configs set it.

    Example:
        >>> import torch
        >>> loss = CrossEntropyPCBLoss(num_classes=3, alpha=0.4, start_epoch=1, n_iter=3)
        >>> logits, labels = torch.zeros(4, 4), torch.tensor([0, 1, 2, 3])
        >>> loss(logits, labels, torch.ones(4), avg_factor=4.0, iter_id=0)
        tensor(1.3863)
        >>> sorted(loss.state_dict())
        ['_epoch', 'fg_confusion_matrix', 'num_inst_cnt', 'update_count']
    """

    def __init__(
        self,
        num_classes: int,
        alpha: float = 0.0,
        start_epoch: int = 17,
        momentum: float = 0.99,
        n_iter: int = 3,
        required_classes: str | Sequence[int] = "all",
        loss_weight: float = 1.0,
        use_sigmoid: bool = False,
    ) -> None:
        _require_softmax(type(self).__name__, use_sigmoid)
        balance = _balance(num_classes, alpha, start_epoch, momentum, n_iter, required_classes)
        super().__init__(num_classes, balance, background="last")
        self._register(loss_weight, required_classes)


@LOSSES.register_module()
class SeesawPCBLoss(BoxHeadLoss, SeesawLoss):
    """Seesaw loss with PCB, for a box head with C + 2 logits.

    Args:
        num_classes: C, the number of foreground classes.
        p: Exponent of Seesaw's mitigation factor.
        q: Exponent of Seesaw's compensation factor.
        eps: Lower bound of the probability in the denominator of the compensation factor.
        alpha: Strength of PCB in the last refinement iteration. If 0, the loss is the ordinary
            Seesaw loss, and the confusion matrix is updated but has no effect.
        start_epoch: First epoch (counted from 1) in which PCB is active.
        momentum: Weight of the old value in each update of the confusion matrix.
        n_iter: Number of refinement iterations; the RoI head overwrites this number.
        required_classes: See :class:`CrossEntropyPCBLoss`.
        loss_weight: Factor by which the losses are multiplied.
        return_dict: Only True is valid; the argument exists because mmdet's Seesaw loss has it.
        use_sigmoid: Only False is valid; the argument exists because mmdet's Seesaw loss has it.

    Example:
        >>> import torch
        >>> loss = SeesawPCBLoss(num_classes=3, alpha=0.05, start_epoch=1)
        >>> logits = torch.zeros(4, 5, requires_grad=True)
        >>> losses = loss(logits, torch.tensor([0, 1, 2, 3]), iter_id=2)
        >>> sorted(losses)
        ['loss_cls_classes', 'loss_cls_objectness', 'loss_pcb_classes']
        >>> loss.get_activation(torch.zeros(1, 5))
        tensor([[0.1667, 0.1667, 0.1667, 0.5000]])
    """

    custom_cls_channels = True
    custom_activation = True

    def __init__(
        self,
        num_classes: int = 1203,
        p: float = 0.8,
        q: float = 2.0,
        eps: float = 1e-2,
        alpha: float = 0.0,
        start_epoch: int = 17,
        momentum: float = 0.99,
        n_iter: int = 3,
        required_classes: str | Sequence[int] = "all",
        loss_weight: float = 1.0,
        return_dict: bool = True,
        use_sigmoid: bool = False,
    ) -> None:
        _require_softmax(type(self).__name__, use_sigmoid)
        if not return_dict:
            raise ValueError(
                "return_dict must be True: this loss always returns a dict of its terms"
            )
        balance = _balance(num_classes, alpha, start_epoch, momentum, n_iter, required_classes)
        super().__init__(num_classes, balance, p, q, eps, background="last")
        self._register(loss_weight, required_classes)

    def get_cls_channels(self, num_classes: int) -> int:
        """Return the number of logits: C for the classes, and 2 for foreground and background."""
        return num_classes + 2

    def get_accuracy(self, cls_score: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the objectness accuracy and the class accuracy in percent, for the training log.

        The objectness accuracy is computed over all RoIs, and the class accuracy over the positive
        RoIs.
        """
        positive = labels < self.num_classes
        classes, objectness = cls_score.split([self.num_classes, 2], dim=1)
        return {
            "acc_objectness": accuracy_percent(objectness, (~positive).long()),
            "acc_classes": accuracy_percent(classes[positive], labels[positive]),
        }


class _EQLv2BoxHeadLoss(BoxHeadLoss):
    """Base class of the EQL v2 losses, which ignore label weights and ``avg_factor``."""

    custom_cls_channels = True
    custom_activation = True

    def _losses(self, logits, labels, _weights, _avg_factor, iteration):
        return EQLv2Loss.forward(self, logits, labels, iteration)


@LOSSES.register_module()
class EQLv2(_EQLv2BoxHeadLoss, EQLv2Loss):
    """EQL v2 without PCB, for a box head with C + 1 sigmoid logits.

    Args:
        num_classes: C, the number of foreground classes.
        gamma: Steepness of the function that computes the weight of negatives.
        mu: Ratio of positive to negative gradients at which negatives have weight 1/2.
        alpha: How much the weight of positives grows as the weight of negatives decreases.
        loss_weight: Factor by which the loss is multiplied.
        use_sigmoid: Has no effect; the argument exists because official configs set it.

    Example:
        >>> import torch
        >>> EQLv2(num_classes=3)(torch.zeros(4, 4), torch.tensor([0, 1, 2, 3]))
        tensor(2.7726)
    """

    def __init__(
        self,
        num_classes: int = 1203,
        gamma: float = 12.0,
        mu: float = 0.8,
        alpha: float = 4.0,
        loss_weight: float = 1.0,
        use_sigmoid: bool = True,
    ) -> None:
        super().__init__(num_classes, None, gamma, mu, alpha, background="last")
        self._register(loss_weight)


@LOSSES.register_module()
class EQLv2PCBLoss(_EQLv2BoxHeadLoss, EQLv2Loss):
    """EQL v2 with PCB, for a box head with C + 1 sigmoid logits.

    Args:
        num_classes: C, the number of foreground classes.
        gamma: Steepness of the function that computes the weight of negatives.
        mu: Ratio of positive to negative gradients at which negatives have weight 1/2.
        alpha: How much the weight of positives grows as the weight of negatives decreases. For
            the strength of PCB, see ``alpha_pcb``.
        alpha_pcb: Strength of PCB in the last refinement iteration. If 0, the loss is ordinary EQL
            v2, and the confusion matrix is updated but has no effect.
        start_epoch: First epoch (counted from 1) in which PCB is active.
        momentum: Weight of the old value in each update of the confusion matrix.
        n_iter: Number of refinement iterations; the RoI head overwrites this number.
        required_classes: See :class:`CrossEntropyPCBLoss`.
        loss_weight: Factor by which the loss is multiplied.
        use_sigmoid: Has no effect; the argument exists because official configs set it.

    Example:
        >>> import torch
        >>> loss = EQLv2PCBLoss(num_classes=3, alpha_pcb=0.2, start_epoch=1)
        >>> loss(torch.zeros(4, 4), torch.tensor([0, 1, 2, 3]), iter_id=2)
        tensor(2.7726)
        >>> loss.get_activation(torch.zeros(1, 4))
        tensor([[0.2500, 0.2500, 0.2500, 0.5000]])
    """

    def __init__(
        self,
        num_classes: int = 1203,
        gamma: float = 12.0,
        mu: float = 0.8,
        alpha: float = 4.0,
        alpha_pcb: float = 0.0,
        start_epoch: int = 17,
        momentum: float = 0.99,
        n_iter: int = 3,
        required_classes: str | Sequence[int] = "all",
        loss_weight: float = 1.0,
        use_sigmoid: bool = True,
    ) -> None:
        balance = _balance(
            num_classes, alpha_pcb, start_epoch, momentum, n_iter, required_classes, "sigmoid"
        )
        super().__init__(num_classes, balance, gamma, mu, alpha, background="last")
        self._register(loss_weight, required_classes)


def _require_softmax(loss: str, use_sigmoid: bool) -> None:
    if use_sigmoid:
        raise ValueError(f"{loss} is a softmax loss: use_sigmoid must be False")
