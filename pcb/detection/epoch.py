"""The hook that passes the epoch to the losses in mmdet's own training."""

from typing import Any

from mmcv.runner import HOOKS, Hook

from pcb.detection.balances import balances, describe_training_set


@HOOKS.register_module()
class LossEpochUpdateHook(Hook):
    """Passes the epoch and the classes of the training set to the losses, in mmdet's own training.

    ``pcb train`` does the same without a hook, so this one changes nothing there. The epoch,
    counted from 1, comes from the runner. Nothing increments it here, so resuming and validation
    cannot shift it. Both of mmcv's runners are supported, by epochs and by iterations.
    """

    def __init__(self) -> None:
        self._epoch: int | None = None
        self._data_loader: Any = None

    def before_train_epoch(self, runner) -> None:
        """Pass on the epoch, and the training set if it is new."""
        self._tell(runner)

    def before_train_iter(self, runner) -> None:
        """Do the same in a runner by iterations, which has no beginning of an epoch."""
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
    """The epoch, counted from 1. In a runner by iterations, the loader notices a new one first."""
    return getattr(runner.data_loader, "epoch", runner.epoch) + 1
