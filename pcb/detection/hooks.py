"""Hooks of the training loop, each with one job."""

import datetime
import json
import random

import numpy as np
import torch
from mmcv.runner import HOOKS, Hook
from mmcv.runner.hooks.logger import LoggerHook

from pcb.detection.learned import learned_arrays
from pcb.detection.losses import balances
from pcb.distributed import rank
from pcb.runs import RunFolder, write_atomically


@HOOKS.register_module()
class LossEpochUpdateHook(Hook):
    """Tells every PairwiseClassBalance which epoch (counted from 1) is running.

    The epoch is set, never counted, so that resuming and validation cannot shift it.
    """

    def before_train_epoch(self, runner) -> None:
        """Pass on the epoch."""
        for balance in balances(runner.model).values():
            balance.set_epoch(runner.epoch + 1)


class SeedEpochHook(Hook):
    """Derives every random source from (seed, epoch, rank), so that a resumed run draws the same.

    Data-loading workers are covered: torch seeds them, NumPy included, from its own generator.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def before_train_epoch(self, runner) -> None:
        """Seed for this epoch."""
        if hasattr(runner.data_loader.sampler, "set_epoch"):
            # Alike on every process, so that they share out the images.
            runner.data_loader.sampler.set_epoch(runner.epoch)
        entropy = [self.seed, runner.epoch] + [rank()] * (rank() > 0)
        seeds = np.random.SeedSequence(entropy).generate_state(3)
        random.seed(int(seeds[0]))
        np.random.seed(int(seeds[1]))
        torch.manual_seed(int(seeds[2]))


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
        with open(self.folder.log_file, "a") as file:
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
    """Saves PCB's matrix, the newest one and its history, and a checkpoint after every epoch."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def before_run(self, runner) -> None:
        """Drop the history of epochs that are yet to come: a new training's begins empty."""
        self.folder.drop_confusion_history(after=runner.epoch)

    def after_train_epoch(self, runner) -> None:
        """Write all; the checkpoint last, so that a training resumed after it lacks no matrix."""
        for balance in balances(runner.model).values():
            arrays = learned_arrays(balance)
            self.folder.write_confusion(**arrays)
            self.folder.write_confusion_history(runner.epoch + 1, arrays["learned"])
        runner.save_checkpoint(self.folder.path)
