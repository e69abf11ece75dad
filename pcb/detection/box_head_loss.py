"""The interface between mmdet and a loss with PCB, and the official names of its buffers."""

import warnings
from collections.abc import Sequence
from typing import Any

from mmdet.models.losses import accuracy
from torch import Tensor, nn

# Names under which official checkpoints carry the state of the balance.
OFFICIAL_BUFFERS = {
    "balance.confusion": "fg_confusion_matrix",
    "balance.instance_count": "num_inst_cnt",
    "balance.epoch": "_epoch",
    "balance.update_count": "update_count",
}

# Buffers that official checkpoints lack. A checkpoint loads without them.
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
    """The interface of a loss for mmdet's box head, the RoI head and the training loop.

    Each registered class inherits from this class first and from a core loss second.
    """

    # These tell the box head whether to call get_cls_channels, get_activation and get_accuracy.
    custom_cls_channels = False
    custom_activation = False

    def _register(self, loss_weight: float, required_classes: str | Sequence[int] = "all") -> None:
        """Finish the construction, after the core loss has been built."""
        self.loss_weight = loss_weight
        self.requires_present_classes = required_classes == "present"
        self._knows_present_classes = False
        self.iteration: int | None = None
        self.register_state_dict_post_hook(_to_official_names)
        self.register_load_state_dict_pre_hook(_from_official_names)

    def describe_training_set(self, class_names: Sequence[str], instance_count: Sequence[int]):
        """Receive from the training set the names of the classes and which of them have instances.

        Args:
            class_names: names of the C classes, for warnings.
            instance_count: (C,), instances of each class.

        Raises:
            ValueError: the training set has another number of classes than the loss.
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
        if missing:  # warn before the first epoch
            self.balance.warn_of_missing(missing)

    def set_iteration(self, iteration: int, num_iterations: int) -> None:
        """Set the iteration of refinement that the next calls belong to, and how many there are."""
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
        """Loss of a batch: one value, or several by name.

        Args:
            cls_score: (N, width) logits, with the width that :meth:`get_cls_channels` returns.
            labels: (N,) in [0, C]; C is background.
            label_weights: (N,); by default 1. EQL v2 ignores them, as the official code does.
            avg_factor: by default the number of RoIs with positive weight, at least 1. EQL v2
                ignores it, too.
            iter_id: iteration of refinement; by default the one that the RoI head has set, or the
                last.
            reduction_override: None or ``"mean"``; every term defines its own average.

        Raises:
            ValueError: the logits have another width, or a label is out of range.
        """
        if reduction_override not in (None, "mean"):
            raise ValueError(f"reduction_override must be None or 'mean', got {reduction_override}")
        if self.requires_present_classes and self.training and not self._knows_present_classes:
            self._knows_present_classes = True  # warn only once
            warnings.warn(
                "required_classes is 'present', but the loss does not know which classes the "
                "training set has, so it requires all of them: add "
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
        """Number of logits for this many classes, including background."""
        return num_classes + 1

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Scores (N, C + 1) at test time, background last."""
        return self.scores(cls_score)

    def get_accuracy(self, cls_score: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Accuracies in percent, for the training log."""
        return {"acc": accuracy_percent(cls_score, labels)}


def accuracy_percent(logits: Tensor, labels: Tensor) -> Tensor:
    """Accuracy in percent, 0 without samples.

    It is always float32, because processes average it and must agree on its dtype.
    """
    return accuracy(logits.float(), labels)
