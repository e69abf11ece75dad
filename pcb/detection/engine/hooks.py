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
from pcb.detection.learned import learned_arrays
from pcb.runs.folder import RunFolder
from pcb.storage.files import naming_when_full, write_atomically


class LossScalingHook(Fp16OptimizerHook):
    """Steps in half precision; counts those that the loss scaler skips, and ends a run of them.

    A gradient that overflows is no accident there: the scaler skips the step and halves its scale.
    Only where that goes on something is wrong. The counts lie in the runner's meta beside the
    scaler's state, and so in checkpoints.

    Args:
        patience: skipped steps in a row with which training stops. After 30 a scale of 65536
            would be down at 6e-5.
        kwargs: of mmcv's hook.
    """

    def __init__(self, patience: int = 30, **kwargs) -> None:
        super().__init__(**kwargs, distributed=False)
        self.patience = patience

    def after_train_iter(self, runner) -> None:
        """Step, or skip.

        Raises:
            NonFiniteError: too many steps in a row were skipped.
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
    """Stops training before a loss that is not finite gets into the weights.

    In half precision :class:`LossScalingHook` decides, which skips such a step.
    """

    def after_train_iter(self, runner) -> None:
        """Look at the loss.

        Raises:
            NonFiniteError: names iteration, terms and images.
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
        """Start the clock; drop a line that a killed training left half written."""
        super().before_run(runner)
        if self.folder.log_file.exists():
            whole, newline, _torn = self.folder.log_file.read_text().rpartition("\n")
            write_atomically(self.folder.log_file, whole + newline)

    def log(self, runner) -> None:
        """Write and print the averages since the last record."""
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
    """Saves PCB's matrix and a checkpoint where the runner wants one, and after every epoch.

    The history of the matrix has its state after every epoch.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def before_run(self, runner) -> None:
        """Drop the history of epochs that are yet to come: a new training's begins empty."""
        self.folder.drop_confusion_history(after=runner.epoch)

    def after_train_iter(self, runner) -> None:
        """Save inside an epoch."""
        if runner.checkpoint_follows():
            self._write_matrices(runner)
            with _averages_swapped(runner):
                runner.save_checkpoint(self.folder.path, inside_epoch=True)

    def after_train_epoch(self, runner) -> None:
        """Save."""
        with _averages_swapped(runner):
            for matrix in self._write_matrices(runner):
                self.folder.write_confusion_history(runner.epoch + 1, matrix)
        runner.save_checkpoint(self.folder.path)

    def _write_matrices(self, runner) -> list[np.ndarray]:
        """Before the checkpoint, so that a training that is resumed after it lacks none."""
        matrices = []
        for balance in balances(runner.model).values():
            arrays = learned_arrays(balance)
            self.folder.write_confusion(**arrays)
            matrices.append(arrays["learned"])
        return matrices


@contextmanager
def _averages_swapped(runner) -> Iterator[None]:
    """Let weights and their running averages change places for a while.

    During an epoch the averages of mmcv's EMAHook and its like in mmdet are buffers. At its end
    they take the place of the weights, until the next one begins: so they stand in checkpoints,
    which are tested with them. Some average buffers, too, also those of PCB.
    """
    hooks = [hook for hook in runner.hooks if hasattr(hook, "_swap_ema_parameters")]
    for hook in hooks:
        hook._swap_ema_parameters()
    try:
        yield
    finally:
        for hook in reversed(hooks):
            hook._swap_ema_parameters()
