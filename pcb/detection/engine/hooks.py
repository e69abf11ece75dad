"""Hooks of the training loop, each with one job."""

import datetime
import json
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmcv.runner import Fp16OptimizerHook, Hook
from mmcv.runner.hooks.logger import LoggerHook

from pcb.detection.balances import balances
from pcb.detection.engine.runner import NonFiniteError
from pcb.detection.learned import learned_by
from pcb.runs.folder import RunFolder
from pcb.storage.files import naming_when_full, write_atomically


class LossScalingHook(Fp16OptimizerHook):
    """Steps the optimizer in half precision; stops if too many steps in a row are skipped.

    In half precision an overflowing gradient is normal: the scaler skips the step and halves its
    scale. Only a long run of skipped steps is an error. The counts are kept in the runner's meta
    beside the scaler's state, so checkpoints contain them.

    Args:
        patience: number of steps skipped in a row at which training stops. 30 of them reduce a
            scale of 65536 to 6e-5.
        kwargs: arguments of mmcv's hook.
    """

    def __init__(self, patience: int = 30, **kwargs) -> None:
        super().__init__(**kwargs, distributed=False)
        self.patience = patience

    def after_train_iter(self, runner) -> None:
        """Step, or skip the step.

        Raises:
            NonFiniteError: the scaler has skipped too many steps in a row.
        """
        super().after_train_iter(runner)
        gradients = [p.grad for p in runner.model.parameters() if p.grad is not None]
        skipped = not torch.nn.utils.get_total_norm(gradients).isfinite()
        counts = runner.meta["fp16"]
        counts["skipped_steps"] = counts.get("skipped_steps", 0) + skipped
        counts["skipped_in_a_row"] = counts.get("skipped_in_a_row", 0) + 1 if skipped else 0
        if counts["skipped_in_a_row"] >= self.patience:
            raise NonFiniteError(
                f"{runner.position()}: the loss scaler skipped {self.patience} steps in a row, the "
                f"last with {runner.describe_loss()}"
            )


class FiniteLossHook(Hook):
    """Stops training before a loss that is not finite reaches the weights.

    In half precision, :class:`LossScalingHook` takes its place and skips such a step.
    """

    def after_train_iter(self, runner) -> None:
        """Check the loss.

        Raises:
            NonFiniteError: names the iteration, the terms and the images.
        """
        if not np.isfinite(runner.outputs["log_vars"].get("loss", 0.0)):
            raise NonFiniteError(
                f"{runner.position()}: the loss is not finite: {runner.describe_loss()}"
            )


class RunLogHook(LoggerHook):
    """Appends a record to the run folder's log every few iterations, and prints a progress line."""

    def __init__(self, folder: RunFolder, interval: int = 10) -> None:
        super().__init__(interval=interval, ignore_last=False)
        self.folder = folder
        self.seconds_per_iteration: float | None = None

    def before_run(self, runner) -> None:
        """Start the clock; remove a line that a killed training left half written."""
        super().before_run(runner)
        if self.folder.log_file.exists():
            whole, newline, _torn = self.folder.log_file.read_text().rpartition("\n")
            write_atomically(self.folder.log_file, whole + newline)

    def log(self, runner) -> None:
        """Write the averages since the last record, and print a progress line."""
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
    """Saves PCB's matrix and a checkpoint after every epoch and wherever the runner asks for one.

    After every epoch, the matrix is also added to its history.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def before_run(self, runner) -> None:
        """Remove the history of epochs that are still to come; a new training starts with none."""
        self.folder.drop_confusion_history(after=runner.epoch)

    def after_train_iter(self, runner) -> None:
        """Save inside an epoch."""
        if runner.checkpoint_follows():
            self._write_matrices(runner)
            with _averages_swapped(runner):
                runner.save_checkpoint(self.folder.path, inside_epoch=True)

    def after_train_epoch(self, runner) -> None:
        """Save after the epoch."""
        with _averages_swapped(runner):
            for matrix in self._write_matrices(runner):
                self.folder.write_confusion_history(runner.epoch + 1, matrix)
        runner.save_checkpoint(self.folder.path)

    def _write_matrices(self, runner) -> list[np.ndarray]:
        """Write and return the matrices.

        This comes before the checkpoint, so that a run resumed from it has the matrix that belongs
        to it.
        """
        matrices = []
        for balance in balances(runner.model).values():
            learned = learned_by(balance)
            self.folder.write_confusion(**learned.to_arrays())
            matrices.append(learned.matrix)
        return matrices


@contextmanager
def _averages_swapped(runner) -> Iterator[None]:
    """Swap the weights with their running averages inside the context.

    During an epoch, mmcv's EMAHook and its relatives in mmdet keep the averages in buffers. After
    the epoch they swap them with the weights until the next epoch begins, so that checkpoints are
    tested with the averages. Some of these hooks also average buffers, including PCB's.
    """
    hooks = [hook for hook in runner.hooks if hasattr(hook, "_swap_ema_parameters")]
    for hook in hooks:
        hook._swap_ema_parameters()
    try:
        yield
    finally:
        for hook in reversed(hooks):
            hook._swap_ema_parameters()
