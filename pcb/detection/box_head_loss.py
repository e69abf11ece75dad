"""Adapt the losses of ``pcb.losses`` to mmdet and to the checkpoints of the official PCB code."""

import warnings
from collections.abc import Sequence
from typing import Any

from mmdet.models.losses import accuracy
from torch import Tensor, nn

# The names of PCB's buffers in official checkpoints, by their names in this kit.
OFFICIAL_BUFFERS = {
    "balance.confusion": "fg_confusion_matrix",
    "balance.instance_count": "num_inst_cnt",
    "balance.epoch": "_epoch",
    "balance.update_count": "update_count",
}

# Buffers that official checkpoints do not contain. A checkpoint can be loaded without these.
NEW_BUFFERS = ("update_count", "positive_gradient", "negative_gradient", "has_gradients")


def _to_official_names(_module: nn.Module, state: dict[str, Tensor], prefix: str, _meta) -> None:
    for ours, official in OFFICIAL_BUFFERS.items():
        if prefix + ours in state:
            state[prefix + official] = state.pop(prefix + ours)


def _from_official_names(_module, state: dict[str, Tensor], prefix: str, *_args: Any) -> None:
    for ours, official in OFFICIAL_BUFFERS.items():
        if prefix + official in state:
            state[prefix + ours] = state.pop(prefix + official)


class BoxHeadLoss(nn.Module):
    """Base class for losses, with the methods that mmdet's heads and the training loop call.

    A subclass inherits first from this class, then from a loss in ``pcb.losses``.
    """

    # Tell the box head whether to call get_cls_channels, get_activation and get_accuracy.
    custom_cls_channels = False
    custom_activation = False

    def _register(self, loss_weight: float, required_classes: str | Sequence[int] = "all") -> None:
        """Set the attributes that mmdet needs.

        Call this method after ``super().__init__``. Checkpoints then contain the buffer names of
        the official PCB code.
        """
        self.loss_weight = loss_weight
        self.requires_present_classes = required_classes == "present"
        self._knows_present_classes = False
        self.iteration: int | None = None
        self.register_state_dict_post_hook(_to_official_names)
        self.register_load_state_dict_pre_hook(_from_official_names)

    def describe_training_set(self, class_names: Sequence[str], instance_count: Sequence[int]):
        """Pass the class names and the instance counts of the training set to the loss.

        Args:
            class_names: Names of the C classes, used in warnings.
            instance_count: (C,) number of instances of each class.

        Raises:
            ValueError: The loss and the training set have different numbers of classes.
        """
        if len(class_names) != self.num_classes:
            raise ValueError(
                f"the training set has {len(class_names)} class{'es' * (len(class_names) != 1)}, "
                f"but num_classes in the config is {self.num_classes}: set num_classes to "
                f"{len(class_names)} in bbox_head, loss_cls and mask_head"
            )
        if self.balance is None:
            return
        self.balance.class_names = list(class_names)
        self._knows_present_classes = True
        if self.requires_present_classes:
            self.balance.require_classes([c for c, n in enumerate(instance_count) if n > 0])
        required = self.balance.required_classes()
        missing = [c for c in required if instance_count[c] == 0]
        if missing:  # warn before the first epoch
            self.balance.warn_of_missing(missing)

    def set_iteration(self, iteration: int, num_iterations: int) -> None:
        """Set the index of the next refinement iteration, and the number of these iterations."""
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
        """Return the loss of a batch: one value, or a dictionary with several terms.

        Args:
            cls_score: (N, W) logits, where W is the result of :meth:`get_cls_channels`.
            labels: (N,) in [0, C]; C is background.
            label_weights: (N,) weight of each RoI, by default 1. EQL v2 ignores this argument.
            avg_factor: Divisor of the sum over RoIs; by default, the number of RoIs with positive
                weight, but at least 1. EQL v2 ignores this argument.
            iter_id: Index of the refinement iteration. If None, the index passed to
                :meth:`set_iteration` is used. If this method was not called, the last refinement
                iteration is used.
            reduction_override: None or ``"mean"``; both have the same effect.

        Raises:
            ValueError: The logits do not have W columns, or a label is out of range.
        """
        if reduction_override not in (None, "mean"):
            raise ValueError(
                f"reduction_override must be None or 'mean', got {reduction_override!r}"
            )
        if self.requires_present_classes and self.training and not self._knows_present_classes:
            self._knows_present_classes = True  # warn only once
            warnings.warn(
                "required_classes is 'present', but the loss does not know which classes the "
                "training set contains, so PCB will wait for all classes. Add "
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
        """Return the number of logits: one for each class, and one for background."""
        return num_classes + 1

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Return the test-time scores of N RoIs: (N, C + 1), with background in the last column."""
        return self.scores(cls_score)

    def get_accuracy(self, cls_score: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the classification accuracy in percent, for the training log."""
        return {"acc": accuracy_percent(cls_score, labels)}


def accuracy_percent(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the accuracy in percent, or 0 if there are no samples.

    The result is always float32, so that distributed training can average it over processes.
    """
    return accuracy(logits.float(), labels)
