"""When PCB acted during a training: observed, recorded in checkpoints, and described."""

from collections.abc import Mapping
from typing import Any

from mmcv.runner import Hook
from torch import nn

from pcb.detection.balances import balances

RECORD = "pcb_acted"  # in a runner's meta, and so in its checkpoints
_MOST_NAMES = 20  # classes that a description names


class ActivityHook(Hook):
    """Records the first and the last iteration in which PCB changed the loss.

    It reads the strength of PCB right after the loss is computed, where this does not stall the
    GPU. Once PCB acts it does so until the end of the epoch, so one look per epoch is enough then.
    """

    def __init__(self) -> None:
        self._epoch = -1  # the last one in which PCB was seen to act

    def before_run(self, runner) -> None:
        """Find the balances that may act, and note if earlier iterations have no record."""
        self._balances = [b for b in balances(runner.model).values() if b.alpha > 0]
        if self._balances and not isinstance(runner.meta.get(RECORD), dict):
            runner.meta[RECORD] = {"unknown_until": runner.iter} if runner.iter else {}

    def after_train_iter(self, runner) -> None:
        """Record the iteration if PCB acted in it."""
        epoch = runner.epoch + 1
        started = [b for b in self._balances if epoch >= b.start_epoch]
        if not started:
            return
        record = runner.meta[RECORD]
        if epoch != self._epoch:
            strength = max(balance.current_strength() for balance in started)
            if strength == 0:
                return
            self._epoch, record["strength"] = epoch, strength
        place = [epoch, runner.iter + 1]
        record.setdefault("from", place)
        record["to"] = place


def describe_activity(model: nn.Module, meta: Mapping[str, Any], last_epoch: int) -> str:
    """Describe when PCB acted, or why it did not, in one sentence.

    Args:
        model: the model after the training.
        meta: the runner's meta, with the record of :class:`ActivityHook`.
        last_epoch: the last epoch of the training, counted from 1.

    Example:
        >>> from pcb.detection.losses import CrossEntropyPCBLoss
        >>> loss = CrossEntropyPCBLoss(num_classes=3, alpha=0.4, start_epoch=4)
        >>> describe_activity(loss, {}, last_epoch=3)
        'PCB never acted: it starts in epoch 4 (start_epoch), and the training ended with epoch 3'
        >>> record = {"from": [4, 901], "to": [5, 1500], "strength": 0.4}
        >>> describe_activity(loss, {RECORD: record}, last_epoch=5)
        'PCB acted from epoch 4 (iteration 901) to 5, strength 0.4'
    """
    record = meta.get(RECORD) or {}
    unknown = ""
    if "unknown_until" in record:
        until = record["unknown_until"]
        unknown = f"; the checkpoint that it resumed from has no record of iterations up to {until}"
    if "from" in record:
        (first, start), (last, _) = record["from"], record["to"]
        return (
            f"PCB acted from epoch {first} (iteration {start}) to {last}, "
            f"strength {record['strength']:g}{unknown}"
        )
    return f"PCB never acted: {_why_not(model, last_epoch)}{unknown}"


def _why_not(model: nn.Module, last_epoch: int) -> str:
    found = balances(model).values()
    if not found:
        return "the model has no loss with PCB"
    able = [balance for balance in found if balance.alpha > 0]
    if not able:
        return "its strength is 0 (alpha), so the plain baseline only observed its confusions"
    balance = min(able, key=lambda b: b.start_epoch)
    if balance.start_epoch > last_epoch:
        return (
            f"it starts in epoch {balance.start_epoch} (start_epoch), and the training ended with "
            f"epoch {last_epoch}"
        )
    if unseen := balance.unseen_classes():
        names = [str(balance.class_names[c] if balance.class_names else c) for c in unseen]
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        return (
            f"{len(unseen)} of {balance.num_classes} classes were never seen in training "
            f"({', '.join(names[:_MOST_NAMES])}{more}), and it waits for every required class "
            "(required_classes)"
        )
    return "no iteration followed the moment from which it could act"
