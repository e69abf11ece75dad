"""The hook that tells the losses the epoch in mmdet's own training."""

from typing import Any

from mmcv.runner import HOOKS, Hook

from pcb.detection.balances import balances, describe_training_set


@HOOKS.register_module()
class LossEpochUpdateHook(Hook):
    """Tells the losses in mmdet's own training what this kit's training tells them by itself.

    That is the epoch (counted from 1), and which classes the training set has. The epoch is set,
    never counted, so that resuming and validation cannot shift it. It serves mmcv's runners by
    epochs and by iterations; in ``pcb train`` it changes nothing.
    """

    def __init__(self) -> None:
        self._epoch: int | None = None
        self._data_loader: Any = None

    def before_train_epoch(self, runner) -> None:
        """Pass on the epoch, and the training set where it is new."""
        self._tell(runner)

    def before_train_iter(self, runner) -> None:
        """Likewise, for a runner by iterations, in which no epoch begins."""
        if self._epoch != _epoch_of(runner) or self._data_loader is not runner.data_loader:
            self._tell(runner)

    def _tell(self, runner) -> None:
        if self._data_loader is not runner.data_loader:
            self._data_loader = runner.data_loader
            loader = getattr(runner.data_loader, "_dataloader", runner.data_loader)
            describe_training_set(runner.model, loader.dataset)
        self._epoch = _epoch_of(runner)
        for balance in balances(runner.model).values():
            balance.set_epoch(self._epoch)


def _epoch_of(runner) -> int:
    """Counted from 1; where a runner goes by iterations, its loader knows of a new one first."""
    return getattr(runner.data_loader, "epoch", runner.epoch) + 1
