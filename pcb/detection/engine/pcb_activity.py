"""Record when PCB was active during training, and describe the record in a sentence.

PCB (Pairwise Class Balance) is active if it changes the classification loss. The record is saved in
checkpoints.
"""

import warnings
from collections.abc import Mapping
from typing import Any

from mmcv.runner import Hook
from torch import nn

from pcb.detection.balances import balances

RECORD = "pcb_acted"  # key in the runner's meta, which checkpoints contain
_MOST_NAMES = 20  # maximum number of class names in a description


class ActivityHook(Hook):
    """Hook that records the first and the last iteration in which PCB changed the loss."""

    def __init__(self) -> None:
        self._epoch = -1  # the last epoch in which PCB was observed to be active

    def before_run(self, runner) -> None:
        """Find the losses that use PCB, and prepare the record of PCB's activity."""
        self._balances = [b for b in balances(runner.model).values() if b.alpha > 0]
        # A resumed checkpoint without a record does not say whether PCB was active before.
        if self._balances and not isinstance(runner.meta.get(RECORD), dict):
            runner.meta[RECORD] = {"unknown_until": runner.iter} if runner.iter else {}

    def after_train_iter(self, runner) -> None:
        """Record the current iteration if PCB changed the loss."""
        epoch = runner.epoch + 1
        started = [b for b in self._balances if epoch >= b.start_epoch]
        if not started:
            return
        record = runner.meta[RECORD]
        # Once PCB is active, it stays active until the end of the epoch. Right after the loss is
        # computed, reading the strength does not stall the GPU.
        if epoch != self._epoch:
            strength = max(balance.current_strength() for balance in started)
            if strength == 0:
                return
            self._epoch, record["strength"] = epoch, strength
        place = [epoch, runner.iter + 1]
        record.setdefault("from", place)
        record["to"] = place


def describe_activity(model: nn.Module, meta: Mapping[str, Any], last_epoch: int) -> str:
    """Return a sentence that says when PCB was active, or why PCB was never active.

    Args:
        model: The model after training.
        meta: The runner's dictionary ``meta``, which contains the record of :class:`ActivityHook`.
        last_epoch: The last epoch of training, counted from 1.

    Example:
        >>> from pcb.detection.losses import CrossEntropyPCBLoss
        >>> loss = CrossEntropyPCBLoss(num_classes=3, alpha=0.4, start_epoch=4)
        >>> describe_activity(loss, {}, last_epoch=3)
        'PCB was never active: PCB starts in epoch 4 (start_epoch), but training ended with epoch 3'
        >>> record = {"from": [4, 901], "to": [5, 1500], "strength": 0.4}
        >>> describe_activity(loss, {RECORD: record}, last_epoch=5)
        'PCB was active from epoch 4 (iteration 901) to epoch 5, with strength 0.4'
    """
    record = meta.get(RECORD) or {}
    unknown = ""
    if "unknown_until" in record:
        until = record["unknown_until"]
        unknown = (
            f"; the resumed checkpoint does not say whether PCB was active up to iteration {until}"
        )
    if "from" in record:
        (first, start), (last, _) = record["from"], record["to"]
        return (
            f"PCB was active from epoch {first} (iteration {start}) to epoch {last}, "
            f"with strength {record['strength']:g}{unknown}"
        )
    return f"PCB was never active: {_why_not(model, last_epoch)}{unknown}"


def _why_not(model: nn.Module, last_epoch: int) -> str:
    found = balances(model).values()
    if not found:
        return "the model has no loss with PCB"
    able = [balance for balance in found if balance.alpha > 0]
    if not able:
        return "its strength (alpha) is 0, so the confusion matrix had no effect"
    balance = min(able, key=lambda b: b.start_epoch)
    if balance.start_epoch > last_epoch:
        return (
            f"PCB starts in epoch {balance.start_epoch} (start_epoch), but training ended with "
            f"epoch {last_epoch}"
        )
    if unseen := balance.unseen_classes():
        names = [str(balance.class_names[c] if balance.class_names else c) for c in unseen]
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        return (
            f"{len(unseen)} of {balance.num_classes} classes never occurred in training "
            f"({', '.join(names[:_MOST_NAMES])}{more}), and PCB waits until every required class "
            "has occurred (required_classes)"
        )
    return "training ended before the iteration in which PCB would have become active"


def warn_of_late_start(model: nn.Module, max_epochs: int) -> None:
    """Warn if PCB would start only after the last epoch of training."""
    for balance in balances(model).values():
        if balance.alpha > 0 and balance.start_epoch > max_epochs:
            warnings.warn(
                f"PCB starts in epoch {balance.start_epoch}, but training ends with epoch "
                f"{max_epochs}, so PCB will never change the loss. Set start_epoch of the loss to "
                "17/24 of the number of epochs, as in the paper",
                stacklevel=2,
            )
