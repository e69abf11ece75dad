"""The losses as mmdet builds them: official names and arguments, translated to the core."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from mmdet.models.builder import LOSSES
from mmdet.models.losses import accuracy
from torch import Tensor, nn

from pcb.balance import PairwiseClassBalance
from pcb.losses import CrossEntropyLoss, EQLv2Loss, SeesawLoss

# Names under which official checkpoints carry the state of the balance.
OFFICIAL_BUFFERS = {
    "balance.confusion": "fg_confusion_matrix",
    "balance.instance_count": "num_inst_cnt",
    "balance.epoch": "_epoch",
    "balance.update_count": "update_count",
}

# State that official checkpoints do not hold; without it one still loads, see the README.
NEW_BUFFERS = ("update_count", "positive_gradient", "negative_gradient", "has_gradients")


def _to_official_names(_module: nn.Module, state: dict[str, Tensor], prefix: str, _meta) -> None:
    for ours, official in OFFICIAL_BUFFERS.items():
        if prefix + ours in state:
            state[prefix + official] = state.pop(prefix + ours)


def _from_official_names(_module, state: dict[str, Tensor], prefix: str, *_args: Any) -> None:
    for ours, official in OFFICIAL_BUFFERS.items():
        if prefix + official in state:
            state[prefix + ours] = state.pop(prefix + official)


class _BoxHeadLoss:
    """What mmdet's box head, the RoI head and the training loop ask of a classification loss.

    Stands before a core loss in the bases of each registered class.
    """

    # What the box head asks: whether to call get_cls_channels, get_activation and get_accuracy.
    custom_cls_channels = False
    custom_activation = False

    if TYPE_CHECKING:  # what the core loss brings
        num_classes: int
        balance: PairwiseClassBalance | None
        training: bool
        scores: Callable[[Tensor], Tensor]
        register_state_dict_post_hook: Callable[..., Any]
        register_load_state_dict_pre_hook: Callable[..., Any]

    def _register(self, loss_weight: float, required_classes: str | Sequence[int] = "all") -> None:
        """Finish the construction."""
        self.loss_weight = loss_weight
        self.requires_present_classes = required_classes == "present"
        self._knows_present_classes = False
        self.iteration: int | None = None
        self.register_state_dict_post_hook(_to_official_names)
        self.register_load_state_dict_pre_hook(_from_official_names)

    def describe_training_set(self, class_names: Sequence[str], instance_count: Sequence[int]):
        """Names for warnings, and which classes exist, as the training set tells them.

        Raises:
            ValueError: the training set has another number of classes.
        """
        if len(class_names) != self.num_classes:
            raise ValueError(
                f"the training set has {len(class_names)} classes, the config {self.num_classes}: "
                "set num_classes of bbox_head, its loss_cls and mask_head"
            )
        if self.balance is None:
            return
        self.balance.class_names = list(class_names)
        self._knows_present_classes = True
        if self.requires_present_classes:
            self.balance.require_classes([c for c, n in enumerate(instance_count) if n > 0])
        required = self.balance.required_classes()
        missing = [c for c in required if instance_count[c] == 0]
        if missing:  # known before the first epoch, so said before it
            self.balance.warn_of_missing(missing)

    def set_iteration(self, iteration: int, num_iterations: int) -> None:
        """Which of how many iterations of refinement the next calls belong to."""
        self.iteration = iteration
        if self.balance is not None:
            self.balance.num_iterations = num_iterations

    def forward(
        self,
        cls_score: Tensor,
        labels: Tensor,
        label_weights: Tensor | None = None,
        avg_factor: float | None = None,
        iter_id: int | None = None,
        reduction_override: str | None = None,
    ) -> Tensor | dict[str, Tensor]:
        """Loss of a batch, one value or several by name.

        Args:
            cls_score: (N, width) logits, as many columns as :meth:`get_cls_channels` says.
            labels: (N,) in [0, C]; C is background.
            label_weights: (N,), default 1. EQL v2 ignores them, as officially.
            avg_factor: default the number of RoIs with positive weight, at least 1. EQL v2 ignores
                it, too.
            iter_id: iteration of refinement; default what the RoI head has set, else the last.
            reduction_override: None or ``"mean"``; the terms have their own averages.

        Raises:
            ValueError: for logits of another width, or a label out of range.
        """
        if reduction_override not in (None, "mean"):
            raise ValueError(f"reduction_override must be None or 'mean', got {reduction_override}")
        if self.requires_present_classes and self.training and not self._knows_present_classes:
            self._knows_present_classes = True  # once is enough
            warnings.warn(
                "required_classes is 'present', but nothing has told the loss which classes the "
                "training set has, so that it requires all of them: add "
                "dict(type='LossEpochUpdateHook') to custom_hooks, or call describe_training_set",
                stacklevel=2,
            )
        iteration = self.iteration if iter_id is None else iter_id
        losses = self._losses(cls_score, labels, label_weights, avg_factor, iteration)
        if isinstance(losses, dict):
            return {name: self.loss_weight * loss for name, loss in losses.items()}
        return self.loss_weight * losses

    def _losses(self, logits, labels, weights, avg_factor, iteration):
        return super().forward(logits, labels, weights, avg_factor, iteration)

    def get_cls_channels(self, num_classes: int) -> int:
        """Columns of the logits for this many classes, background included."""
        return num_classes + 1

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Test-time scores (N, C + 1), background last."""
        return self.scores(cls_score)

    def get_accuracy(self, cls_score: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Accuracies in percent, for the training log."""
        return {"acc": _accuracy(cls_score, labels)}


def _accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Accuracy in percent, 0 for no samples, in float32 either way: processes take its mean."""
    return accuracy(logits.float(), labels)


def _balance(
    num_classes: int,
    alpha: float,
    start_epoch: int,
    momentum: float,
    n_iter: int,
    required_classes: str | Sequence[int],
    activation: str = "softmax",
) -> PairwiseClassBalance:
    """Balance from the arguments of an official loss."""
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
class CrossEntropyPCBLoss(_BoxHeadLoss, CrossEntropyLoss):
    """Cross-entropy with PCB for a box head with C + 1 logits; plain with ``alpha=0``.

    Args:
        num_classes: C, the foreground classes.
        alpha: full strength of PCB; with 0 the loss is cross-entropy and the matrix is only
            observed.
        start_epoch: first epoch (counted from 1) in which PCB acts.
        momentum: weight of the past in the running confusion matrix.
        n_iter: K, iterations of refinement; set by the RoI head it is used in.
        required_classes: classes that must have been seen before PCB acts: ``"all"``,
            ``"present"`` for those with an instance in the training set, or a list of labels.
        loss_weight: factor of the returned loss.
        use_sigmoid: False; accepted because official configs state it.

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
class SeesawPCBLoss(_BoxHeadLoss, SeesawLoss):
    """Seesaw with PCB for a box head with C + 2 logits; plain Seesaw with ``alpha=0``.

    Args:
        num_classes: C, the foreground classes.
        p: exponent of Seesaw's mitigation factor.
        q: exponent of Seesaw's compensation factor.
        eps: least probability that the compensation factor divides by.
        alpha: full strength of PCB; with 0 the matrix is only observed.
        start_epoch: first epoch (counted from 1) in which PCB acts.
        momentum: weight of the past in the running confusion matrix.
        n_iter: K, iterations of refinement; set by the RoI head it is used in.
        required_classes: see :class:`CrossEntropyPCBLoss`.
        loss_weight: factor of the returned losses.
        return_dict: True; accepted because mmdet's Seesaw has it.
        use_sigmoid: False; accepted because mmdet's Seesaw has it.

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
            raise ValueError("return_dict must be True: the box head adds the losses up")
        balance = _balance(num_classes, alpha, start_epoch, momentum, n_iter, required_classes)
        super().__init__(num_classes, balance, p, q, eps, background="last")
        self._register(loss_weight, required_classes)

    def get_cls_channels(self, num_classes: int) -> int:
        """The classes, foreground and background."""
        return num_classes + 2

    def get_accuracy(self, cls_score: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Accuracy of objectness over all RoIs and of classes over positives, in percent."""
        positive = labels < self.num_classes
        classes, objectness = cls_score.split([self.num_classes, 2], dim=1)
        return {
            "acc_objectness": _accuracy(objectness, (~positive).long()),
            "acc_classes": _accuracy(classes[positive], labels[positive]),
        }


class _EQLv2BoxHeadLoss(_BoxHeadLoss):
    """EQL v2 has scores of its own and neither weights nor an averaging factor."""

    custom_cls_channels = True
    custom_activation = True

    def _losses(self, logits, labels, _weights, _avg_factor, iteration):
        return EQLv2Loss.forward(self, logits, labels, iteration)


@LOSSES.register_module()
class EQLv2(_EQLv2BoxHeadLoss, EQLv2Loss):
    """Plain EQL v2 for a box head with C + 1 sigmoid logits.

    Args:
        num_classes: C, the foreground classes.
        gamma: steepness of the weight of negatives.
        mu: ratio of gradients at which negatives weigh one half.
        alpha: how much positives gain where negatives lose; not a strength of PCB.
        loss_weight: factor of the returned loss.
        use_sigmoid: of no effect, EQL v2 is a sigmoid loss; official configs state it either way.

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
    """EQL v2 with PCB for a box head with C + 1 sigmoid logits; plain with ``alpha_pcb=0``.

    Args:
        num_classes: C, the foreground classes.
        gamma: steepness of EQL v2's weight of negatives.
        mu: ratio of gradients at which negatives weigh one half.
        alpha: EQL v2's own: how much positives gain where negatives lose.
        alpha_pcb: full strength of PCB; with 0 the matrix is only observed.
        start_epoch: first epoch (counted from 1) in which PCB acts.
        momentum: weight of the past in the running confusion matrix.
        n_iter: K, iterations of refinement; set by the RoI head it is used in.
        required_classes: see :class:`CrossEntropyPCBLoss`.
        loss_weight: factor of the returned loss.
        use_sigmoid: of no effect, EQL v2 is a sigmoid loss; official configs state it either way.

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


def balances(model: nn.Module) -> Mapping[str, PairwiseClassBalance]:
    """Every PairwiseClassBalance in a model, by its module name.

    Example:
        >>> list(balances(nn.ModuleDict({"loss": CrossEntropyPCBLoss(num_classes=3)})))
        ['loss.balance']
    """
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, PairwiseClassBalance)
    }


def describe_training_set(model: nn.Module, dataset: Any) -> None:
    """Tell every loss of a model which classes have instances in a training set.

    Args:
        model: the detector.
        dataset: of mmdet, in whatever wrappers. One without ``instance_count`` is gone through
            where a loss has ``required_classes="present"``, and else left alone.

    Raises:
        ValueError: the training set has another number of classes than a loss.
    """
    losses = [module for module in model.modules() if isinstance(module, _BoxHeadLoss)]
    by_hand = any(loss.requires_present_classes for loss in losses)
    parts = list(_innermost(dataset))
    if not losses or not (by_hand or all(hasattr(part, "instance_count") for part in parts)):
        return
    counts = sum(_instance_count(part) for part in parts)
    for loss in losses:
        loss.describe_training_set(parts[0].CLASSES, counts)


def _innermost(dataset: Any) -> Iterator[Any]:
    """The datasets inside wrappers that repeat or join them."""
    inside = getattr(dataset, "datasets", None) or [getattr(dataset, "dataset", None)]
    if inside == [None]:
        yield dataset
        return
    for one in inside:
        yield from _innermost(one)


def _instance_count(dataset: Any) -> np.ndarray:
    if hasattr(dataset, "instance_count"):
        return np.asarray(dataset.instance_count())
    labels = [dataset.get_ann_info(index)["labels"] for index in range(len(dataset))]
    return np.bincount(np.concatenate(labels), minlength=len(dataset.CLASSES))
