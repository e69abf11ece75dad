"""Training hooks for loss scaling, non-finite losses, the training log and checkpoints."""

import datetime
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmcv.runner import Fp16OptimizerHook, Hook
from mmcv.runner.hooks.logger import LoggerHook

from pcb.detection.balances import balances
from pcb.detection.engine.runner import NonFiniteError
from pcb.detection.engine.settings import TrainingSettings
from pcb.detection.learned import learned_by
from pcb.runs.folder import RunFolder
from pcb.storage.files import naming_when_full, write_atomically


class LossScalingHook(Fp16OptimizerHook):
    """Hook that updates the weights of a model that is trained in half precision.

    If a gradient overflows, the loss scaler skips the optimizer step and halves its scale.
    Training stops only if many steps in a row are skipped. The number of skipped steps is stored in
    the runner's ``meta``.

    Args:
        patience: Number of skipped steps in a row after which training stops.
        kwargs: Arguments of mmcv's Fp16OptimizerHook.
    """

    def __init__(self, patience: int = 30, **kwargs) -> None:
        super().__init__(**kwargs, distributed=False)
        self.patience = patience

    def after_train_iter(self, runner) -> None:
        """Update the weights, or skip this update if a gradient overflows.

        Raises:
            NonFiniteError: The loss scaler has skipped ``patience`` steps in a row.
        """
        super().after_train_iter(runner)
        gradients = [p.grad for p in runner.model.parameters() if p.grad is not None]
        skipped = not torch.nn.utils.get_total_norm(gradients).isfinite()
        counts = runner.meta["fp16"]
        counts["skipped_steps"] = counts.get("skipped_steps", 0) + skipped
        counts["skipped_in_a_row"] = counts.get("skipped_in_a_row", 0) + 1 if skipped else 0
        if counts["skipped_in_a_row"] >= self.patience:
            raise NonFiniteError(
                f"{runner.position()}: the loss scaler skipped {self.patience} optimizer steps in "
                f"a row, because gradients were not finite. Last step: {runner.describe_loss()}"
            )


def optimizer_hook(settings: TrainingSettings) -> Hook | dict[str, Any]:
    """Return the hook that updates the weights, or a dict from which mmcv builds this hook."""
    if settings.loss_scaling is None:
        return dict(settings.optimizer_step)
    return LossScalingHook(**settings.optimizer_step, **settings.loss_scaling)


class FiniteLossHook(Hook):
    """Hook that stops training if the loss is not finite.

    Training stops before the weights are updated. In half precision, use
    :class:`LossScalingHook` instead.
    """

    def after_train_iter(self, runner) -> None:
        """Check that the loss is finite.

        Raises:
            NonFiniteError: The loss is not finite. The message names the iteration, the terms of
                the loss and the images.
        """
        if not np.isfinite(runner.outputs["log_vars"].get("loss", 0.0)):
            raise NonFiniteError(
                f"{runner.position()}: the loss is not finite: {runner.describe_loss()}"
            )


class RunLogHook(LoggerHook):
    """Hook that adds records to the log of a training run, and prints progress lines.

    Args:
        folder: The output folder of the training run, which contains the log.
        interval: Number of iterations between two records.
    """

    def __init__(self, folder: RunFolder, interval: int = 10) -> None:
        super().__init__(interval=interval, ignore_last=False)
        self.folder = folder
        self.seconds_per_iteration: float | None = None

    def before_run(self, runner) -> None:
        """Start measuring time, and remove an incomplete last line from the log.

        The last line is incomplete if an earlier process was killed while writing to the log.
        """
        super().before_run(runner)
        if self.folder.log_file.exists():
            whole, newline, _torn = self.folder.log_file.read_text().rpartition("\n")
            write_atomically(self.folder.log_file, whole + newline)

    def log(self, runner) -> None:
        """Add a record to the log, and print a progress line.

        The losses and times in the record are averages over the last ``interval`` iterations.
        """
        values = runner.log_buffer.output
        record = {
            "mode": "train",
            "epoch": runner.epoch + 1,
            "iter": runner.iter + 1,
            "lr": runner.current_lr()[0],
            **{name: float(value) for name, value in values.items()},
        }
        for balance in balances(runner.model).values():
            record["pcb_gate"] = balance.gate_is_open()
            record["pcb_strength"] = balance.current_strength()
            record["pcb_classes_seen"] = int((balance.instance_count > 0).sum())
        if "fp16" in runner.meta:
            record["skipped_steps"] = runner.meta["fp16"].get("skipped_steps", 0)
        with naming_when_full(self.folder.log_file), open(self.folder.log_file, "a") as file:
            file.write(json.dumps(record) + "\n")

        latest = record["time"]
        smooth = self.seconds_per_iteration
        self.seconds_per_iteration = latest if smooth is None else 0.7 * smooth + 0.3 * latest
        left = (runner.max_iters - runner.iter - 1) * self.seconds_per_iteration
        print(
            f"epoch {runner.epoch + 1}/{runner.max_epochs}"
            f"  iteration {runner.iter + 1}/{runner.max_iters}"
            f"  loss {record['loss']:.3f}"
            f"  {latest:.2f} s/iteration"
            f"  {datetime.timedelta(seconds=round(left))} left",
            flush=True,
        )


class SaveStateHook(Hook):
    """Hook that saves checkpoints and the confusion matrix that Pairwise Class Balance learns.

    A checkpoint and the matrix are saved after every epoch, and also mid-epoch if the runner has a
    checkpoint interval. After each epoch, the matrix is also added to a history of matrices.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def before_run(self, runner) -> None:
        """Remove the stored confusion matrices of all epochs that follow the current epoch.

        An earlier training run in the same folder may have stored these matrices.
        """
        self.folder.drop_confusion_history(after=runner.epoch)

    def after_train_iter(self, runner) -> None:
        """Save the confusion matrix and a checkpoint if a mid-epoch checkpoint is due."""
        if runner.checkpoint_follows():
            self._write_matrices(runner)
            with _averages_swapped(runner):
                runner.save_checkpoint(self.folder.path, inside_epoch=True)

    def after_train_epoch(self, runner) -> None:
        """Save a checkpoint and the confusion matrix; add the matrix to the history of matrices."""
        # Hooks such as EMAHook have already swapped weights and averages: swap them back.
        with _averages_swapped(runner):
            for matrix in self._write_matrices(runner):
                self.folder.write_confusion_history(runner.epoch + 1, matrix)
        runner.save_checkpoint(self.folder.path)

    def _write_matrices(self, runner) -> list[np.ndarray]:
        """Write the learned confusion matrices to the output folder, and return them."""
        # Called before a checkpoint is saved: the matrices must not be older than the checkpoint.
        matrices = []
        for balance in balances(runner.model).values():
            learned = learned_by(balance)
            self.folder.write_confusion(**learned.to_arrays())
            matrices.append(learned.matrix)
        return matrices


@contextmanager
def _averages_swapped(runner) -> Iterator[None]:
    """Inside a ``with`` block, replace the model's weights with their running averages.

    Hooks such as mmcv's EMAHook compute the averages.
    """
    hooks = [hook for hook in runner.hooks if hasattr(hook, "_swap_ema_parameters")]
    for hook in hooks:
        hook._swap_ema_parameters()
    try:
        yield
    finally:
        for hook in reversed(hooks):
            hook._swap_ema_parameters()
