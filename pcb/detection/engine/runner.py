"""The training loop: mmcv's epoch runner for one or several processes, resumable anywhere."""

import math
import random
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.runner import EpochBasedRunner, Hook
from torch.nn.parallel import DistributedDataParallel

from pcb.detection.balances import balances
from pcb.detection.checkpoint import averages_in, load_weights, read_checkpoint, save_checkpoint
from pcb.detection.engine.device import to_device
from pcb.detection.engine.step import TrainStep
from pcb.distributed import rank, world_size
from pcb.runs.folder import RunFolder
from pcb.storage.literals import to_literal


class NonFiniteError(ValueError):
    """Training has produced numbers that are not finite; the message says where and what to do.

    Args:
        finding: what is not finite, and where.
    """

    def __init__(self, finding: str) -> None:
        super().__init__(
            f"{finding}. Look at these images and their annotations, lower the learning rate "
            "(optimizer.lr), or clip gradients (optimizer_config.grad_clip). Earlier checkpoints "
            "are kept"
        )


class Runner(EpochBasedRunner):
    """mmcv's epoch runner with the kit's checkpoints and seeds, on one device, without pauses.

    Each epoch begins by seeding every random source from (seed, epoch, process), so a run that
    resumes there draws the same numbers as one that was never interrupted. This covers data-loading
    workers, because torch seeds them, including NumPy, from its own generator. A run that resumes
    inside an epoch loads the epoch's earlier batches again, and the training process seeds itself
    from the iteration as well. So no generator's state has to be saved.

    Args:
        args: arguments of mmcv's runner.
        device: the device that batches are moved to.
        seed: the run's seed.
        interval: iterations between two checkpoints inside an epoch; 0 for none.
        find_unused_parameters: with several processes, whether a step may leave weights without a
            gradient.
        kwargs: keyword arguments of mmcv's runner.
    """

    def __init__(
        self,
        *args: Any,
        device: torch.device,
        seed: int = 0,
        interval: int = 0,
        find_unused_parameters: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **{"meta": {}, **kwargs})  # hooks keep state in it
        self.device = device
        self.seed = seed
        self.interval = interval
        self.image_names: list[str] = []
        self._done_in_epoch = 0  # iterations before the checkpoint that is resumed
        self._warned_of: set[str] = set()
        self._begun: list[Hook] = []
        self._names_of_model = set(self.model.state_dict())
        self._state_of_hooks: dict[str, torch.Tensor] | None = None  # from a checkpoint
        self.step = TrainStep(self.model)
        if world_size() > 1:
            self.step = DistributedDataParallel(
                self.step,
                device_ids=[device] if device.type == "cuda" else None,
                broadcast_buffers=False,  # the balance synchronises its own buffers
                find_unused_parameters=find_unused_parameters,
            )

    def run_iter(self, data_batch: Any, train_mode: bool, **_kwargs: Any) -> None:
        """Take one step on a batch from the data loader."""
        batch = to_device(data_batch, self.device)
        if isinstance(batch, Mapping):
            self.image_names = [meta["filename"] for meta in batch.get("img_metas", [])]
        self.outputs = self.step(batch)
        self.log_buffer.update(self.outputs["log_vars"], self.outputs["num_samples"])

    def train(self, data_loader: Any, **kwargs: Any) -> None:
        """Train one epoch, or the rest of one.

        mmcv's own method first sleeps for two seconds, which on small data is a large part of it.
        """
        self.model.train()
        self.mode = "train"
        self.data_loader = data_loader
        self.log_buffer.clear()  # during the epoch, only the writing process clears it
        self.call_hook("before_train_epoch")
        for balance in balances(self.model).values():
            balance.set_epoch(self.epoch + 1)  # after the hooks that average buffers
        self._seed_sources()
        batches = iter(data_loader)
        for _ in range(self._done_in_epoch):
            next(batches)
        if self._done_in_epoch:
            self._seed_sources(self._done_in_epoch)
        for iteration, batch in enumerate(batches, start=self._done_in_epoch):
            self._inner_iter = iteration
            self.call_hook("before_train_iter")
            self.run_iter(batch, train_mode=True, **kwargs)
            self.call_hook("after_train_iter")
            self._iter += 1
            if self.checkpoint_follows():
                self._seed_sources(self._inner_iter + 1)
        self.call_hook("after_train_epoch")
        self._epoch += 1
        self._done_in_epoch = 0

    def checkpoint_follows(self) -> bool:
        """Whether a checkpoint inside the epoch follows the current iteration."""
        done = self._inner_iter + 1
        return bool(self.interval) and done % self.interval == 0 and done < len(self.data_loader)

    def _seed_sources(self, iteration: int = 0) -> None:
        """Seed every generator of this process for what follows an iteration of the epoch."""
        set_epoch = getattr(getattr(self.data_loader, "sampler", None), "set_epoch", None)
        if set_epoch is not None:
            set_epoch(self.epoch)  # the same on every process: they share the images
        entropy = [self.seed, self.epoch, rank(), iteration]
        seeds = np.random.SeedSequence(entropy).generate_state(3)
        random.seed(int(seeds[0]))
        np.random.seed(int(seeds[1]))
        torch.manual_seed(int(seeds[2]))

    def prepare(self, data_loader: Any) -> None:
        """Start the hooks registered so far; :meth:`run` starts those registered later.

        Raises:
            ValueError: the hooks differ from those that wrote the resumed checkpoint.
        """
        self._max_iters = self._max_epochs * len(data_loader)
        for hook in list(self.hooks):
            if hook not in self._begun:
                hook.before_run(self)
                self._begun.append(hook)
        self._restore_hooks()

    def run(self, data_loader: Any) -> None:
        """Train until the last epoch."""
        self.prepare(data_loader)
        while self.epoch < self._max_epochs:
            self.train(data_loader)
        self.call_hook("after_run")

    def save_checkpoint(
        self, out_dir: str | Path, inside_epoch: bool = False, **_kwargs: Any
    ) -> None:
        """Write ``latest.pth``: weights, optimizer and position, as tensors and plain values.

        Args:
            out_dir: the run folder.
            inside_epoch: whether further iterations of the epoch follow.

        Raises:
            NonFiniteError: a weight is not finite; the earlier checkpoint is kept.
        """
        state = self.model.state_dict()
        wrong = [name for name, value in state.items() if not value.isfinite().all()]
        if wrong:
            raise NonFiniteError(
                f"{self.position()}: {len(wrong)} weights are not finite, among them {wrong[0]}"
            )
        # As in mmcv, both numbers count what is complete.
        meta = {**self._readable_meta(), "epoch": self.epoch + 1, "iter": self.iter}
        if inside_epoch:
            meta |= {"epoch": self.epoch, "iter": self.iter + 1}
            meta |= {"iter_in_epoch": self.inner_iter + 1, **self._course(self.data_loader)}
        checkpoint = {
            "meta": meta,
            "state_dict": {k: v for k, v in state.items() if k in self._names_of_model},
            "optimizer": self.optimizer.state_dict(),
        }
        # Running averages of weights, for example. The model has no such buffers when it is tested.
        if of_hooks := {k: v for k, v in state.items() if k not in self._names_of_model}:
            checkpoint["state_of_hooks"] = of_hooks
        save_checkpoint(RunFolder(out_dir).checkpoint, checkpoint)

    def resume(
        self, checkpoint: str | Path, data_loader: Any, trust_checkpoint: bool = False
    ) -> None:
        """Continue from a checkpoint; nothing in it is executed, including its config text.

        Args:
            checkpoint: the file.
            data_loader: the data loader of the training.
            trust_checkpoint: see :func:`pcb.detection.checkpoint.read_checkpoint`.

        Raises:
            ValueError: the checkpoint has no position, or does not fit the model or the optimizer;
                or it was written inside an epoch that would now run differently.
        """
        state = read_checkpoint(checkpoint, trust_checkpoint)
        meta, hint = state.get("meta"), "train from scratch, without --resume"
        if not isinstance(meta, Mapping):
            meta = {}
        meta = {"iter_in_epoch": 0, **meta}
        for key in ("epoch", "iter", "iter_in_epoch"):
            if not isinstance(meta.get(key), int):
                raise ValueError(
                    f"{checkpoint} cannot be resumed: its meta has no number {key!r}; {hint}"
                )
        course = self._course(data_loader)
        other = [key for key in course if meta["iter_in_epoch"] and meta.get(key) != course[key]]
        if other:
            before = ", ".join(f"{key} {meta.get(key)} (now {course[key]})" for key in other)
            raise ValueError(
                f"{checkpoint} was written inside an epoch, after {meta['iter_in_epoch']} of its "
                f"iterations, with {before}: resume with the same data, seed, samples_per_gpu, "
                f"number of processes and checkpoint_config, or {hint}"
            )
        load_weights(self.model, state, checkpoint)
        try:
            self.optimizer.load_state_dict(state["optimizer"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{checkpoint} cannot be resumed: its optimizer state is missing or does not fit "
                f"the config's ({error}); {hint}"
            ) from error
        self._epoch, self._iter = meta["epoch"], meta["iter"]
        self._done_in_epoch = meta["iter_in_epoch"]
        # Keep what hooks store in the meta, such as the loss scale.
        position = {"epoch", "iter", "iter_in_epoch", *course}
        self.meta |= {key: value for key, value in meta.items() if key not in position}
        self._state_of_hooks = dict(state.get("state_of_hooks") or averages_in(self.model, state))

    def _restore_hooks(self) -> None:
        """Restore the buffers that hooks add to the model from the checkpoint.

        Raises:
            ValueError: the hooks differ from those that wrote the checkpoint.
        """
        saved, self._state_of_hooks = self._state_of_hooks, None
        if saved is None:
            return  # no checkpoint, or already restored
        state = self.model.state_dict()
        own = {name: value for name, value in state.items() if name not in self._names_of_model}
        differing = sorted(own.keys() ^ saved.keys())
        if differing:
            where = "the checkpoint" if differing[0] in saved else "the model"
            raise ValueError(
                f"the checkpoint cannot be resumed: {len(differing)} buffers that a hook adds, "
                f"such as {differing[0]}, are in {where} alone: resume with the custom_hooks of "
                "the checkpoint's training, or train from scratch, without --resume"
            )
        for name, value in saved.items():
            own[name].copy_(value)

    def _readable_meta(self) -> dict[str, Any]:
        """What hooks store in the meta, without values that would make a checkpoint unreadable."""
        readable = {}
        for key, value in self.meta.items():
            left_out: list[str] = []
            readable[key] = to_literal(value, f"meta.{key}", left_out, allow_nan=True)
            for fault in left_out:
                if fault not in self._warned_of:
                    warnings.warn(f"not saved in checkpoints: {fault}", stacklevel=2)
                    self._warned_of.add(fault)
        return readable

    def _course(self, data_loader: Any) -> dict[str, int]:
        """Everything that an epoch depends on, apart from the data and the number of workers."""
        return {
            "seed": self.seed,
            "processes": world_size(),
            "iterations": len(data_loader),
            "interval": self.interval,
        }

    def position(self) -> str:
        """The current epoch and iteration, counted from 1."""
        return f"epoch {self.epoch + 1}, iteration {self.iter + 1}"

    def describe_loss(self) -> str:
        """The terms of the last loss that are not finite, and the images of its batch."""
        terms = {name: value for name, value in self.outputs["log_vars"].items() if "loss" in name}
        wrong = [f"{name} = {value}" for name, value in terms.items() if not math.isfinite(value)]
        images = ", ".join(self.image_names) or "unknown"
        if not wrong:
            return f"all terms are finite; images: {images}"
        if self.outputs["loss"].isfinite():
            images = "those of another process, which reports them"
        return f"{', '.join(wrong)}; images: {images}"
