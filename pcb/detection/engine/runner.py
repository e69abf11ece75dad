"""The training loop for one or several processes, with exact resumption from checkpoints."""

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
    """Error for a loss or a weight that is not finite. The message suggests remedies.

    Args:
        finding: First sentence of the message. It says what is not finite.
    """

    def __init__(self, finding: str) -> None:
        super().__init__(
            f"{finding}. Check the images and their annotations, lower the learning rate "
            "(optimizer.lr), or clip gradients (optimizer_config.grad_clip). Any earlier "
            "checkpoint is kept"
        )


class Runner(EpochBasedRunner):
    """mmcv's epoch runner, changed so that training resumes exactly from a checkpoint.

    All random number generators are seeded at the start of each epoch and after each checkpoint.
    Therefore, resumed training draws the same random numbers as uninterrupted training. After a
    mid-epoch checkpoint, resumed training skips the batches that have already been used.

    Args:
        args: Positional arguments of mmcv's runner.
        device: The device that batches are moved to.
        seed: The seed for all random number generators.
        interval: Number of iterations between two mid-epoch checkpoints; 0 for none.
        find_unused_parameters: The argument of PyTorch's ``DistributedDataParallel``.
        kwargs: Keyword arguments of mmcv's runner.
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
        super().__init__(*args, **{"meta": {}, **kwargs})  # hooks store state in meta
        self.device = device
        self.seed = seed
        self.interval = interval
        self.image_names: list[str] = []
        self._done_in_epoch = 0  # completed iterations of a resumed epoch
        self._warned_of: set[str] = set()
        self._begun: list[Hook] = []
        self._names_of_model = set(self.model.state_dict())
        self._state_of_hooks: dict[str, torch.Tensor] | None = None  # from a checkpoint
        self.step = TrainStep(self.model)
        if world_size() > 1:
            self.step = DistributedDataParallel(
                self.step,
                device_ids=[device] if device.type == "cuda" else None,
                broadcast_buffers=False,  # PCB synchronises its own buffers
                find_unused_parameters=find_unused_parameters,
            )

    def run_iter(self, data_batch: Any, train_mode: bool, **_kwargs: Any) -> None:
        """Run one training step on a batch from the data loader."""
        batch = to_device(data_batch, self.device)
        if isinstance(batch, Mapping):
            self.image_names = [meta["filename"] for meta in batch.get("img_metas", [])]
        self.outputs = self.step(batch)
        self.log_buffer.update(self.outputs["log_vars"], self.outputs["num_samples"])

    def train(self, data_loader: Any, **kwargs: Any) -> None:
        """Train for one epoch, or for the rest of a resumed epoch.

        This method replaces mmcv's method, which sleeps for two seconds before each epoch.
        """
        self.model.train()
        self.mode = "train"
        self.data_loader = data_loader
        self.log_buffer.clear()  # during an epoch, only the first process clears its buffer
        self.call_hook("before_train_epoch")
        for balance in balances(self.model).values():
            balance.set_epoch(self.epoch + 1)  # after the hooks: some average buffers
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

    def is_inside_epoch(self) -> bool:
        """Return whether training resumes from a mid-epoch checkpoint."""
        return self._done_in_epoch > 0

    def checkpoint_follows(self) -> bool:
        """Return whether a mid-epoch checkpoint is saved after the current iteration."""
        done = self._inner_iter + 1
        return bool(self.interval) and done % self.interval == 0 and done < len(self.data_loader)

    def _seed_sources(self, iteration: int = 0) -> None:
        """Seed all random number generators from the seed, epoch, process rank and iteration."""
        set_epoch = getattr(getattr(self.data_loader, "sampler", None), "set_epoch", None)
        if set_epoch is not None:
            set_epoch(self.epoch)  # all processes need the same order to divide the images
        entropy = [self.seed, self.epoch, rank(), iteration]
        seeds = np.random.SeedSequence(entropy).generate_state(3)
        random.seed(int(seeds[0]))
        np.random.seed(int(seeds[1]))
        torch.manual_seed(int(seeds[2]))

    def prepare(self, data_loader: Any) -> None:
        """Call ``before_run`` of each hook once.

        Hooks may add buffers to the model, for example for running averages of weights. If training
        resumes, these buffers are restored from the checkpoint.

        Raises:
            ValueError: The hooks' buffers do not match the checkpoint.
        """
        self._max_iters = self._max_epochs * len(data_loader)
        for hook in list(self.hooks):
            if hook not in self._begun:
                hook.before_run(self)
                self._begun.append(hook)
        self._restore_hooks()

    def run(self, data_loader: Any) -> None:
        """Train for all remaining epochs."""
        self.prepare(data_loader)
        while self.epoch < self._max_epochs:
            self.train(data_loader)
        self.call_hook("after_run")

    def save_checkpoint(
        self, out_dir: str | Path, inside_epoch: bool = False, **_kwargs: Any
    ) -> None:
        """Write the weights, the optimizer state and the current epoch to ``latest.pth``.

        Args:
            out_dir: The run folder.
            inside_epoch: Whether this is a mid-epoch checkpoint.

        Raises:
            NonFiniteError: A weight is not finite. The earlier checkpoint is kept.
        """
        state = self.model.state_dict()
        wrong = [name for name, value in state.items() if not value.isfinite().all()]
        if wrong:
            raise NonFiniteError(
                f"{self.position()}: {len(wrong)} of the model's {len(state)} tensors are not "
                f"finite, for example {wrong[0]}"
            )
        # As in mmcv, these are the numbers of completed epochs and iterations.
        meta = {**self._readable_meta(), "epoch": self.epoch + 1, "iter": self.iter}
        if class_names := getattr(self.model, "CLASSES", None):
            meta["CLASSES"] = tuple(class_names)  # read by mmdet's init_detector
        if inside_epoch:
            meta |= {"epoch": self.epoch, "iter": self.iter + 1}
            meta |= {"iter_in_epoch": self.inner_iter + 1, **self._course(self.data_loader)}
        checkpoint = {
            "meta": meta,
            "state_dict": {k: v for k, v in state.items() if k in self._names_of_model},
            "optimizer": self.optimizer.state_dict(),
        }
        # Hooks add buffers, such as running averages of weights, which testing does not need.
        if of_hooks := {k: v for k, v in state.items() if k not in self._names_of_model}:
            checkpoint["state_of_hooks"] = of_hooks
        save_checkpoint(RunFolder(out_dir).checkpoint, checkpoint)

    def resume(
        self, checkpoint: str | Path, data_loader: Any, trust_checkpoint: bool = False
    ) -> None:
        """Restore the weights, the optimizer state and the position in training from a checkpoint.

        Args:
            checkpoint: The checkpoint file.
            data_loader: The data loader for training.
            trust_checkpoint: Whether to read the file even if reading it may execute code.

        Raises:
            ValueError: The checkpoint is incomplete, or does not fit the model or the optimizer.
            ValueError: A mid-epoch checkpoint was saved by a run with different settings.
        """
        state = read_checkpoint(checkpoint, trust_checkpoint)
        meta, hint = state.get("meta"), "train from scratch, without --resume"
        if not isinstance(meta, Mapping):
            meta = {}
        meta = {"iter_in_epoch": 0, **meta}
        for key in ("epoch", "iter", "iter_in_epoch"):
            if not isinstance(meta.get(key), int):
                raise ValueError(
                    f"{checkpoint} cannot be resumed: its 'meta' has no integer {key!r}; {hint}"
                )
        course = self._course(data_loader)
        other = [key for key in course if meta["iter_in_epoch"] and meta.get(key) != course[key]]
        if other:
            before = ", ".join(f"{key} {meta.get(key)} (now {course[key]})" for key in other)
            raise ValueError(
                f"{checkpoint} is a mid-epoch checkpoint of a run with different settings: "
                f"{before}. Resume with the same data, seed, samples_per_gpu, number of processes "
                f"and checkpoint_config, or {hint}"
            )
        load_weights(self.model, state, checkpoint)
        try:
            self.optimizer.load_state_dict(state["optimizer"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{checkpoint} cannot be resumed: its optimizer state is missing or does not fit "
                f"the optimizer in the config ({error}); {hint}"
            ) from error
        self._epoch, self._iter = meta["epoch"], meta["iter"]
        self._done_in_epoch = meta["iter_in_epoch"]
        # Restore the values that hooks store in the meta, such as the loss scale.
        position = {"epoch", "iter", "iter_in_epoch", "CLASSES", *course}
        self.meta |= {key: value for key, value in meta.items() if key not in position}
        self._state_of_hooks = dict(state.get("state_of_hooks") or averages_in(self.model, state))

    def _restore_hooks(self) -> None:
        """Copy the checkpoint's values to the buffers that hooks have added to the model."""
        saved, self._state_of_hooks = self._state_of_hooks, None
        if saved is None:
            return  # no checkpoint was read, or the buffers are already restored
        state = self.model.state_dict()
        own = {name: value for name, value in state.items() if name not in self._names_of_model}
        differing = sorted(own.keys() ^ saved.keys())
        if differing:
            where = "the checkpoint" if differing[0] in saved else "this run"
            raise ValueError(
                f"cannot resume with different hooks: only {where} contains the buffer "
                f"{differing[0]}. Resume with the custom_hooks of the run that saved the "
                "checkpoint, or train from scratch, without --resume"
            )
        for name, value in saved.items():
            own[name].copy_(value)

    def _readable_meta(self) -> dict[str, Any]:
        """Return the runner's ``meta``; each value that cannot be saved is replaced by None."""
        readable = {}
        for key, value in self.meta.items():
            left_out: list[str] = []
            readable[key] = to_literal(value, f"meta.{key}", left_out, allow_nan=True)
            for fault in left_out:
                if fault not in self._warned_of:
                    warnings.warn(f"a value is not saved in checkpoints: {fault}", stacklevel=2)
                    self._warned_of.add(fault)
        return readable

    def _course(self, data_loader: Any) -> dict[str, int]:
        """Return the settings that must not change after a mid-epoch checkpoint."""
        return {
            "seed": self.seed,
            "processes": world_size(),
            "iterations": len(data_loader),
            "interval": self.interval,
        }

    def position(self) -> str:
        """Return the current epoch and iteration as text, both counted from 1."""
        return f"epoch {self.epoch + 1}, iteration {self.iter + 1}"

    def describe_loss(self) -> str:
        """Describe the loss terms that are not finite, and name the images of the batch."""
        terms = {name: value for name, value in self.outputs["log_vars"].items() if "loss" in name}
        wrong = [f"{name} = {value}" for name, value in terms.items() if not math.isfinite(value)]
        images = ", ".join(self.image_names) or "unknown"
        if not wrong:
            return f"all terms of the loss are finite; images: {images}"
        if self.outputs["loss"].isfinite():
            images = "see the error message of a different process"
        return f"{', '.join(wrong)}; images: {images}"
