"""PCB's losses as mmdet builds them: official names and arguments, translated to the core."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmdet.models.builder import LOSSES
from torch import Tensor, nn

from pcb.balance import PairwiseClassBalance
from pcb.losses import CrossEntropyLoss

# Names under which official checkpoints carry the state.
OFFICIAL_BUFFERS = {
    "balance.confusion": "fg_confusion_matrix",
    "balance.instance_count": "num_inst_cnt",
    "balance.epoch": "_epoch",
    "balance.update_count": "update_count",  # not official: absent from official checkpoints
}


def _to_official_names(_module: nn.Module, state: dict[str, Tensor], prefix: str, _meta) -> None:
    for ours, official in OFFICIAL_BUFFERS.items():
        state[prefix + official] = state.pop(prefix + ours)


def _from_official_names(_module, state: dict[str, Tensor], prefix: str, *_args: Any) -> None:
    for ours, official in OFFICIAL_BUFFERS.items():
        if prefix + official in state:
            state[prefix + ours] = state.pop(prefix + official)


@LOSSES.register_module()
class CrossEntropyPCBLoss(CrossEntropyLoss):
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
        start_epoch: int = 1,
        momentum: float = 0.99,
        n_iter: int = 3,
        required_classes: str | Sequence[int] = "all",
        loss_weight: float = 1.0,
        use_sigmoid: bool = False,
    ) -> None:
        if use_sigmoid:
            raise ValueError("CrossEntropyPCBLoss is a softmax loss: use_sigmoid must be False")
        if isinstance(required_classes, str) and required_classes not in ("all", "present"):
            raise ValueError(
                "required_classes must be 'all', 'present' or a list of labels, "
                f"got {required_classes!r}"
            )
        listed = None if isinstance(required_classes, str) else required_classes
        balance = PairwiseClassBalance(
            num_classes,
            alpha,
            start_epoch=start_epoch,
            momentum=momentum,
            num_iterations=n_iter,
            required_classes=listed,
        )
        super().__init__(num_classes, balance)
        self.loss_weight = loss_weight
        self.requires_present_classes = required_classes == "present"
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
        self.balance.class_names = list(class_names)
        if self.requires_present_classes:
            self.balance.require_classes([c for c, n in enumerate(instance_count) if n > 0])
        required = self.balance.required_classes()
        missing = [c for c in required if instance_count[c] == 0]
        if missing:  # known before the first epoch, so said before it
            self.balance.warn_of_missing(missing)

    def set_iteration(self, iteration: int, num_iterations: int) -> None:
        """Which of how many iterations of refinement the next calls belong to."""
        self.iteration = iteration
        self.balance.num_iterations = num_iterations

    def forward(
        self,
        cls_score: Tensor,
        labels: Tensor,
        label_weights: Tensor | None = None,
        avg_factor: float | None = None,
        iter_id: int | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Loss of (N, C + 1) logits with background last.

        Args:
            cls_score: (N, C + 1).
            labels: (N,) in [0, C]; C is background.
            label_weights: (N,), default 1.
            avg_factor: default the number of RoIs with positive weight, at least 1.
            iter_id: iteration of refinement; default what the RoI head has set, else the last.
            reduction_override: None or ``"mean"``; PCB's terms have their own averages.
        """
        if reduction_override not in (None, "mean"):
            raise ValueError(f"reduction_override must be None or 'mean', got {reduction_override}")
        iteration = self.iteration if iter_id is None else iter_id
        loss = super().forward(cls_score, labels, label_weights, avg_factor, iteration)
        return self.loss_weight * loss


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
