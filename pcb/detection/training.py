"""Training with mmcv's runner, in one process or in several that ``torchrun`` starts."""

import copy
import logging
import random
import shutil
import subprocess
import sys
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.runner import (
    EpochBasedRunner,
    Fp16OptimizerHook,
    Hook,
    build_optimizer,
    wrap_fp16_model,
)
from mmcv.utils import Config
from mmdet.datasets import build_dataloader, build_dataset
from mmdet.models import build_detector
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from pcb.detection.checkpoint import load_weights, read_checkpoint, save_checkpoint
from pcb.detection.config import default_work_dir, load_config, save_config
from pcb.detection.data import pick_device, to_device, uses_half_precision
from pcb.detection.hooks import RunLogHook, SaveStateHook, SeedEpochHook
from pcb.detection.losses import balances
from pcb.detection.operators import operators_in_use
from pcb.distributed import process_group, rank, wait_for_all, world_size
from pcb.runs import RunFolder, repository_root


class Runner(EpochBasedRunner):
    """mmcv's epoch runner with our checkpoints, batches moved to one device, and no pauses."""

    def __init__(self, *args: Any, device: torch.device, **kwargs: Any) -> None:
        super().__init__(*args, **{"meta": {}, **kwargs})  # hooks keep state in it
        self.device = device
        self.step = TrainStep(self.model)
        if world_size() > 1:
            self.step = DistributedDataParallel(
                self.step,
                device_ids=[device] if device.type == "cuda" else None,
                broadcast_buffers=False,  # the balance keeps its own alike; so does mmdet
            )

    def run_iter(self, data_batch: Any, train_mode: bool, **_kwargs: Any) -> None:
        """One step on a batch as the data loader gives it."""
        self.outputs = self.step(to_device(data_batch, self.device))
        self.log_buffer.update(self.outputs["log_vars"], self.outputs["num_samples"])

    def train(self, data_loader: Any, **kwargs: Any) -> None:
        """One epoch. mmcv's sleeps two seconds first; on small data that is a good part of it."""
        self.model.train()
        self.mode = "train"
        self.data_loader = data_loader
        self.log_buffer.clear()  # only the writing process empties it in between
        self.call_hook("before_train_epoch")
        for self._inner_iter, batch in enumerate(data_loader):
            self.call_hook("before_train_iter")
            self.run_iter(batch, train_mode=True, **kwargs)
            self.call_hook("after_train_iter")
            self._iter += 1
        self.call_hook("after_train_epoch")
        self._epoch += 1

    def run(self, data_loader: Any) -> None:
        """Train until the last epoch."""
        self._max_iters = self._max_epochs * len(data_loader)
        self.call_hook("before_run")
        while self.epoch < self._max_epochs:
            self.train(data_loader)
        self.call_hook("after_run")

    def save_checkpoint(self, out_dir: str | Path, **_kwargs: Any) -> None:
        """Write ``latest.pth``: weights, optimizer and position, tensors and plain values only."""
        checkpoint = {
            "meta": {**self.meta, "epoch": self.epoch + 1, "iter": self.iter},
            "state_dict": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        save_checkpoint(RunFolder(out_dir).checkpoint, checkpoint)

    def resume(self, checkpoint: str | Path, trust_checkpoint: bool = False) -> None:
        """Go on after a checkpoint; nothing in it is executed, its config text included.

        Args:
            checkpoint: the file.
            trust_checkpoint: see :func:`pcb.detection.checkpoint.read_checkpoint`.

        Raises:
            ValueError: it does not say where training stood, or does not fit model or optimizer.
        """
        state = read_checkpoint(checkpoint, trust_checkpoint)
        meta, way_out = state.get("meta"), "train anew, without --resume"
        if not isinstance(meta, Mapping):
            meta = {}
        for key in ("epoch", "iter"):
            if not isinstance(meta.get(key), int):
                raise ValueError(
                    f"{checkpoint} cannot be resumed: its meta has no number {key!r}; {way_out}"
                )
        load_weights(self.model, state, checkpoint)
        try:
            self.optimizer.load_state_dict(state["optimizer"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{checkpoint} cannot be resumed: its optimizer state is missing or does not fit "
                f"the config's ({error}); {way_out}"
            ) from error
        self._epoch, self._iter = meta["epoch"], meta["iter"]
        if "fp16" in meta:  # the loss scale, which the optimizer's hook looks for here
            self.meta["fp16"] = meta["fp16"]


class TrainStep(nn.Module):
    """A detector's training step as a forward pass, which is what DistributedDataParallel wraps.

    mmcv's own wrapper does not run under current PyTorch, nor on CPUs.
    """

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Loss, values to log, and the number of samples."""
        return self.detector.train_step(batch, None)


def build_model(cfg: Config) -> nn.Module:
    """Build a config's detector with ``init_cfg`` weights."""
    model = build_detector(copy.deepcopy(cfg.model))  # mmdet adds to the config that it builds
    model.init_weights()
    return model


def train(
    config: str | Path,
    work_dir: str | Path | None = None,
    seed: int = 0,
    cfg_options: Mapping[str, Any] | None = None,
    resume: bool = False,
    device: str | None = None,
    trust_checkpoint: bool = False,
) -> RunFolder:
    """Train a config's detector and leave everything about it in a run folder.

    Under ``torchrun`` the processes share out the images: ``samples_per_gpu`` is for each of them,
    the learning rate for all together.

    Args:
        config: config file.
        work_dir: the run folder; default ``runs/<dataset>/<config>/seed<seed>``. An earlier
            training in it is replaced, unless it is resumed.
        seed: every random source follows from it.
        cfg_options: overrides by dotted key, see :func:`pcb.detection.load_config`.
        resume: go on after the folder's ``latest.pth``, if there is one.
        device: ``"cpu"`` or ``"cuda"``; default the GPU if there is one.
        trust_checkpoint: resume after a checkpoint even if unpickling it may run code.

    Returns:
        The run folder, with ``config.py``, ``environment.json``, ``train.log.json``,
        ``latest.pth``, ``confusion.npz`` and ``confusion_history/``.

    Raises:
        FileNotFoundError: the config or data is missing.
        ValueError: an override, annotation file or checkpoint is wrong, or the folder holds
            something other than a run.
    """
    cfg = load_config(config, cfg_options)
    folder = RunFolder(work_dir or default_work_dir(config, seed))
    picked = pick_device(device)
    with process_group(picked):
        _train(cfg, folder, seed, resume, picked, trust_checkpoint)
    return folder


def _train(
    cfg: Config,
    folder: RunFolder,
    seed: int,
    resume: bool,
    device: torch.device,
    trust_checkpoint: bool,
) -> None:
    is_writer = rank() == 0
    if is_writer:
        _require_run_folder(folder)
    dataset = build_dataset(cfg.data.train)  # bad data is found before the folder is touched
    loader = _build_loader(cfg, dataset, seed)
    _seed_everything(seed)
    model = build_model(cfg)
    _describe_training_set(model, dataset)
    if is_writer:
        _warn_of_late_start(model, cfg.runner.max_epochs)
    model.CLASSES = dataset.CLASSES
    if uses_half_precision(cfg, device):
        wrap_fp16_model(model)
    model.to(device, memory_format=torch.channels_last)  # faster convolutions, same results

    runner = Runner(
        model,
        optimizer=build_optimizer(model, cfg.optimizer),
        work_dir=str(folder.path),
        logger=_quiet_logger(),
        max_epochs=cfg.runner.max_epochs,
        device=device,
    )
    resumed = resume and folder.checkpoint.exists()
    if resumed:
        runner.resume(folder.checkpoint, trust_checkpoint)
    runner.register_lr_hook(dict(cfg.lr_config))
    runner.register_optimizer_hook(optimizer_hook(cfg, device))
    runner.register_timer_hook({"type": "IterTimerHook"})
    runner.register_hook(SeedEpochHook(seed), priority="VERY_HIGH")
    for hook in cfg.get("custom_hooks", []):
        runner.register_hook_from_cfg(hook)
    if is_writer:
        runner.register_hook(SaveStateHook(folder), priority="LOW")
        runner.register_hook(RunLogHook(folder, cfg.log_config.interval), priority="VERY_LOW")

    # Nothing is touched before this point, so that a mistake in the config costs no earlier run.
    wait_for_all()
    if is_writer:
        if not resumed:
            _clear(folder)
        folder.create()
        save_config(cfg, folder.config_file)
        folder.write_environment(describe_environment(device, seed))
    runner.run(loader)
    wait_for_all()  # nobody leaves before the last checkpoint is written


def optimizer_hook(cfg: Config, device: torch.device) -> Hook | dict[str, Any]:
    """What steps the optimizer: mmcv's own hook as a dictionary, or the one for half precision.

    Example:
        >>> cfg = load_config("configs/lvis_v1/softmax.py")
        >>> optimizer_hook(cfg, torch.device("cpu"))
        {'grad_clip': None}
        >>> type(optimizer_hook(cfg, torch.device("cuda"))).__name__
        'Fp16OptimizerHook'
    """
    settings = dict(cfg.optimizer_config)
    if not uses_half_precision(cfg, device):
        return settings
    return Fp16OptimizerHook(**settings, **cfg.fp16, distributed=False)


def _build_loader(cfg: Config, dataset: Any, seed: int) -> DataLoader:
    """Loader of this process's share of the images, in another order every epoch."""
    several = world_size() > 1
    loader = build_dataloader(
        dataset,
        samples_per_gpu=cfg.data.samples_per_gpu,
        workers_per_gpu=cfg.data.workers_per_gpu,
        dist=several,
    )
    if several:
        # Not given to mmdet, which would also make every epoch repeat its augmentations.
        loader.sampler.seed = seed
    return loader


def describe_environment(device: torch.device, seed: int) -> dict[str, Any]:
    """What a run's numbers depend on besides its config: versions, commit, device, seed."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repository_root(), capture_output=True, text=True
    )
    packages = ("torch", "torchvision", "mmcv-full", "mmdet", "numpy", "lvis", "hotcoco")
    return {
        "python": sys.version.split()[0],
        **{package: version(package) for package in packages},
        "operators": operators_in_use(),
        "commit": commit.stdout.strip() or None,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "processes": world_size(),
        "seed": seed,
    }


def _require_run_folder(folder: RunFolder) -> None:
    """Refuse a folder of something else: a training clears what it finds."""
    logs_of_launch = {"train.out", "train.lock", folder.figures.name}
    is_run = folder.config_file.exists() or folder.checkpoint.exists()
    if is_run or not folder.path.exists():
        return
    foreign = {entry.name for entry in folder.path.iterdir()} - logs_of_launch
    foreign = {name for name in foreign if not name.endswith((".ipynb", ".html"))}
    if foreign:
        raise ValueError(
            f"{folder.path} is not a run folder (no config.py) and holds {min(foreign)!r}: "
            "give an empty or new folder as work_dir"
        )


def _clear(folder: RunFolder) -> None:
    """Remove what an earlier training left, and what was computed from it."""
    for file in (folder.checkpoint, folder.log_file, folder.confusion_file, folder.metrics_file):
        file.unlink(missing_ok=True)
    for table in folder.tables:
        table.unlink()
    for subfolder in (folder.figures, folder.predictions("bbox").parent):
        shutil.rmtree(subfolder, ignore_errors=True)


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _describe_training_set(model: nn.Module, dataset: Any) -> None:
    """Tell the loss which classes have instances, whatever the dataset is wrapped in."""
    loss = model.roi_head.bbox_head.loss_cls
    while hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    if hasattr(loss, "describe_training_set") and hasattr(dataset, "instance_count"):
        loss.describe_training_set(dataset.CLASSES, dataset.instance_count())


def _warn_of_late_start(model: nn.Module, max_epochs: int) -> None:
    """Say so where PCB would start after the last epoch."""
    for balance in balances(model).values():
        if balance.alpha > 0 and balance.start_epoch > max_epochs:
            warnings.warn(
                f"PCB acts from epoch {balance.start_epoch} on, and this training ends with epoch "
                f"{max_epochs}: it will only watch. Set start_epoch of the loss to 17/24 of the "
                "epochs, as published",
                stacklevel=2,
            )


def _quiet_logger() -> logging.Logger:
    """mmcv's runner wants a logger; progress is printed by RunLogHook instead."""
    logger = logging.getLogger("pcb.runner")
    logger.setLevel(logging.WARNING)
    return logger
