"""From where to where PCB acted in a training, as it happened; recorded in checkpoints."""

from collections.abc import Mapping
from typing import Any

from mmcv.runner import Hook
from torch import nn

from pcb.detection.balances import balances

RECORD = "pcb_acted"  # in a runner's meta, and so in its checkpoints
_MOST_NAMES = 20


class ActivityHook(Hook):
    """Records the first and the last iteration in which PCB changed the loss.

    It looks right after the loss was computed, when the GPU has nothing to wait for; and once an
    epoch where PCB acts, which it then does to the end of the epoch.
    """

    def __init__(self) -> None:
        self._epoch = -1  # in which PCB was last seen to act

    def before_run(self, runner) -> None:
        """Find what may act; note where a checkpoint says nothing of the iterations before it."""
        self._balances = [b for b in balances(runner.model).values() if b.alpha > 0]
        if self._balances and not isinstance(runner.meta.get(RECORD), dict):
            runner.meta[RECORD] = {"unknown_until": runner.iter} if runner.iter else {}

    def after_train_iter(self, runner) -> None:
        """Look, and record."""
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
    """Say from where to where PCB acted, or that it did not, and why.

    Args:
        model: as it is after the training.
        meta: of the runner, with what :class:`ActivityHook` has recorded.
        last_epoch: the last one of the training, counted from 1.

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
        unknown = f"; of iterations up to {until} the checkpoint it went on from does not say"
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
        return "its strength is 0 (alpha), so that the plain baseline only observed its confusions"
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
            f"({', '.join(names[:_MOST_NAMES])}{more}), and it waits for all that it requires "
            "(required_classes)"
        )
    return "no iteration was trained since it could"
