"""A hook that passes the current epoch to the losses when mmdet's own tools train a detector."""

from typing import Any

from mmcv.runner import HOOKS, Hook

from pcb.detection.balances import balances, describe_training_set


@HOOKS.register_module()
class LossEpochUpdateHook(Hook):
    """Hook that passes the current epoch and the training set's classes to the losses.

    Training with mmdet's own tools needs this hook; ``pcb train`` does not. The hook supports
    mmcv's EpochBasedRunner and IterBasedRunner. Epochs are counted from 1.
    """

    def __init__(self) -> None:
        self._epoch: int | None = None
        self._data_loader: Any = None

    def before_train_epoch(self, runner) -> None:
        """Pass the epoch to the losses.

        If the data loader has changed, also pass the training set's classes to the losses.
        """
        self._tell(runner)

    def before_train_iter(self, runner) -> None:
        """Do the same as :meth:`before_train_epoch` if the epoch or the data loader has changed.

        IterBasedRunner calls only this method, not :meth:`before_train_epoch`.
        """
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
    """Return the current epoch, counted from 1.

    The data loader's epoch is preferred, because IterBasedRunner updates its own epoch too late.
    """
    return getattr(runner.data_loader, "epoch", runner.epoch) + 1
