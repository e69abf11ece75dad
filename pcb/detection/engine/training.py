"""Training with mmcv's runner, in one process or in several that ``torchrun`` starts."""

import copy
import hashlib
import logging
import os
import random
import shutil
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.runner import Hook, build_optimizer, wrap_fp16_model
from mmcv.utils import Config
from mmdet.datasets import build_dataloader, build_dataset
from mmdet.models import build_detector
from torch import nn
from torch.utils.data import DataLoader

from pcb.detection.checkpoint import load_weights, read_checkpoint
from pcb.detection.config import load_config
from pcb.detection.config.faults import missing, unread_variables
from pcb.detection.config.loading import naming_config, save_config
from pcb.detection.engine.activity import ActivityHook, describe_activity
from pcb.detection.engine.device import loader_settings, pick_device, uses_half_precision
from pcb.detection.engine.environment import describe_environment
from pcb.detection.engine.hooks import FiniteLossHook, LossScalingHook, RunLogHook, SaveStateHook
from pcb.detection.engine.runner import Runner
from pcb.detection.losses import balances, describe_training_set
from pcb.distributed import process_group, rank, sum_over_processes, wait_for_all, world_size
from pcb.grids.failures import NOTE
from pcb.messages.terminal import outliving_terminal
from pcb.runs.folder import RunFolder
from pcb.runs.names import default_work_dir
from pcb.runs.settings import differing_settings
from pcb.storage.files import check_folder, is_unfinished, remove_unfinished
from pcb.storage.locks import is_lock, writing_alone
from pcb.storage.repository import repository_path


def build_model(cfg: Config) -> nn.Module:
    """Build a config's detector with ``init_cfg`` weights."""
    model = build_detector(copy.deepcopy(cfg.model))  # mmdet adds to the config that it builds
    model.init_weights()
    return model


@outliving_terminal()
def train(
    config: str | Path,
    work_dir: str | Path | None = None,
    seed: int = 0,
    cfg_options: Mapping[str, Any] | None = None,
    resume: bool = False,
    device: str | None = None,
    trust_checkpoint: bool = False,
    replace: bool = False,
) -> RunFolder:
    """Train a config's detector and leave everything about it in a run folder.

    Under ``torchrun`` the processes share out the images: ``samples_per_gpu`` is for each of them,
    the learning rate for all together.

    Args:
        config: config file.
        work_dir: the run folder; default ``runs/<dataset>/<config>/seed<seed>``.
        seed: every random source follows from it.
        cfg_options: overrides by dotted key, see :func:`pcb.detection.load_config`.
        resume: go on after the folder's ``latest.pth``, if there is one; a config's ``load_from``
            has then been loaded before.
        device: ``"cpu"`` or ``"cuda"``; default the GPU if there is one.
        trust_checkpoint: resume after a checkpoint even if unpickling it may run code.
        replace: train anew where the folder holds a training, and remove what came of it.

    Returns:
        The run folder, with ``config.py``, ``environment.json``, ``train.log.json``,
        ``latest.pth``, ``confusion.npz`` and ``confusion_history/``.

    Raises:
        FileNotFoundError: the config or data is missing.
        ValueError: an override, annotation file or checkpoint is wrong; the folder holds something
            other than a run, or a training that is neither to be resumed nor to be replaced, or
            another process writes into it; or, as
            :class:`pcb.detection.engine.runner.NonFiniteError`, training came to such numbers.
        OSError: there is no space left; the last checkpoint is kept.
    """
    if not (isinstance(seed, int) and 0 <= seed < 2**32):  # NumPy takes no other
        raise ValueError(f"seed must be an integer from 0 to {2**32 - 1}, got {seed!r}")
    cfg = load_config(config, cfg_options)
    if lacking := missing(cfg._cfg_dict):
        raise ValueError(f"{config} cannot be trained: it does not set {', '.join(lacking)}")
    folder = RunFolder(work_dir or default_work_dir(config, seed))
    picked = pick_device(device)
    with process_group(picked):
        if rank() == 0:
            _require_run_folder(folder, config)
            if cfg.filename and (unread := unread_variables(cfg._cfg_dict, cfg.text)):
                warnings.warn(f"not read by the training: {', '.join(unread)}", stacklevel=2)
        # Bad data, and a model that does not fit it, are found before the folder is touched.
        with naming_config(config):
            dataset = build_dataset(cfg.data.train)
        if len(dataset) == 0:
            raise ValueError("the training set has no image with an object that can be learned")
        loader = _build_loader(cfg, dataset, seed)
        _seed_model(seed)
        with naming_config(config):
            model = build_model(cfg)
        if cfg.get("load_from") and not (resume and folder.checkpoint.exists()):
            start = _found(cfg.load_from)
            load_weights(model, read_checkpoint(start, trust_checkpoint), start)
        describe_training_set(model, dataset)
        model.CLASSES = dataset.CLASSES
        with writing_alone(folder.path, "training") if rank() == 0 else nullcontext():
            if rank() == 0 and folder.checkpoint.exists() and not (resume or replace):
                raise ValueError(
                    f"{folder.path} holds a training: go on with it (--resume), train anew and "
                    "lose it (--replace), or give another --work-dir"
                )
            _train(cfg, folder, seed, model, loader, picked, resume, trust_checkpoint)
    return folder


def _train(
    cfg: Config,
    folder: RunFolder,
    seed: int,
    model: nn.Module,
    loader: DataLoader,
    device: torch.device,
    resume: bool,
    trust_checkpoint: bool,
) -> None:
    is_writer = rank() == 0
    if is_writer:
        _warn_of_late_start(model, cfg.runner.max_epochs)
    if uses_half_precision(cfg, device):
        wrap_fp16_model(model)
    if cfg.get("cudnn_benchmark") is not None:
        torch.backends.cudnn.benchmark = cfg.cudnn_benchmark
    if cfg.get("opencv_num_threads") is not None:
        cv2.setNumThreads(cfg.opencv_num_threads)
    model.to(device, memory_format=torch.channels_last)  # faster convolutions, same results

    with naming_config("the config's optimizer"):
        optimizer = build_optimizer(model, cfg.optimizer)
    runner = Runner(
        model,
        optimizer=optimizer,
        work_dir=str(folder.path),
        logger=_quiet_logger(),
        max_epochs=cfg.runner.max_epochs,
        device=device,
        seed=seed,
        interval=checkpoint_interval(cfg),
        find_unused_parameters=bool(cfg.get("find_unused_parameters")),
    )
    found = torch.tensor(float(is_writer and resume and folder.checkpoint.exists()), device=device)
    resumed = bool(sum_over_processes(found))  # alike on all, also where the folder is not shared
    if resumed:
        runner.resume(folder.checkpoint, loader, trust_checkpoint)
        if is_writer:
            _warn_of_other_settings(folder, cfg, seed)
    with naming_config("the config's hooks"):
        for register, key in (
            (runner.register_lr_hook, "lr_config"),
            (runner.register_momentum_hook, "momentum_config"),
        ):
            if cfg.get(key) is not None:
                register(dict(cfg[key]))
        runner.register_optimizer_hook(optimizer_hook(cfg, device))
        runner.register_timer_hook({"type": "IterTimerHook"})
        if not uses_half_precision(cfg, device):
            runner.register_hook(FiniteLossHook(), priority="HIGH")  # before the optimizer's
        runner.register_hook(ActivityHook(), priority="HIGH")
        for hook in cfg.get("custom_hooks") or []:
            runner.register_hook_from_cfg(hook)
    runner.prepare(loader)

    # No file of an earlier run is touched before this point, so that a mistake costs none of it.
    wait_for_all()
    if is_writer:
        start = _start_of(cfg, folder, resumed)
        remove_unfinished(folder.path)
        if not resumed:
            _clear(folder)
        folder.create()
        save_config(cfg, folder.config_file)
        folder.write_environment({**describe_environment(device, seed), **start})
        # The log first: what is resumed after a checkpoint does not come to its iteration again.
        runner.register_hook(RunLogHook(folder, cfg.log_config.interval), priority="LOW")
        runner.register_hook(SaveStateHook(folder), priority="LOWEST")
    runner.run(loader)
    wait_for_all()  # nobody leaves before the last checkpoint is written
    if is_writer:
        print(f"Trained: {folder.path}")
        print(describe_activity(model, runner.meta, cfg.runner.max_epochs), flush=True)


def _found(checkpoint: str) -> Path:
    """A config's checkpoint, whose path starts where those of configs do."""
    if "://" in checkpoint:
        raise ValueError(f"load_from is {checkpoint!r}: download it, and give the file")
    path = Path(checkpoint).expanduser()
    return path if path.exists() else repository_path(path)


def _start_of(cfg: Config, folder: RunFolder, resumed: bool) -> dict[str, Any]:
    """The file that a training has started from, as ``environment.json`` has it."""
    if not cfg.get("load_from"):
        return {}
    if resumed:
        before = folder.read_environment() if folder.environment_file.is_file() else {}
        return {"load_from": before["load_from"]} if "load_from" in before else {}
    with open(_found(cfg.load_from), "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"load_from": {"file": cfg.load_from, "sha256": digest}}


def optimizer_hook(cfg: Config, device: torch.device) -> Hook | dict[str, Any]:
    """What steps the optimizer: mmcv's own hook as a dictionary, or the one for half precision.

    Example:
        >>> cfg = load_config("configs/lvis_v1/softmax.py")
        >>> optimizer_hook(cfg, torch.device("cpu"))
        {'grad_clip': None}
        >>> type(optimizer_hook(cfg, torch.device("cuda"))).__name__
        'LossScalingHook'
    """
    settings = dict(cfg.get("optimizer_config") or {})
    if not uses_half_precision(cfg, device):
        return settings
    return LossScalingHook(**settings, **cfg.fp16)


def checkpoint_interval(cfg: Config) -> int:
    """Iterations between checkpoints inside an epoch; 0 where its end is enough.

    Example:
        >>> cfg = load_config("configs/openmoji/softmax.py")
        >>> checkpoint_interval(cfg)
        0
        >>> cfg.checkpoint_config = dict(interval=500, by_epoch=False)
        >>> checkpoint_interval(cfg)
        500
    """
    settings = cfg.get("checkpoint_config") or {}
    return 0 if settings.get("by_epoch", True) else settings.get("interval", 1)


def _build_loader(cfg: Config, dataset: Any, seed: int) -> DataLoader:
    """Loader of this process's share of the images, in another order every epoch."""
    several = world_size() > 1
    loader = build_dataloader(
        dataset,
        **loader_settings(cfg, "train"),
        dist=several,
    )
    if several:
        # Not given to mmdet, which would also make every epoch repeat its augmentations.
        loader.sampler.seed = seed
    return loader


def _warn_of_other_settings(folder: RunFolder, cfg: Config, seed: int) -> None:
    """Say so where a training goes on otherwise than it began; longer is no such difference."""
    if not (folder.config_file.is_file() and folder.environment_file.is_file()):
        return
    before, environment = load_config(folder.path, for_training=False), folder.read_environment()
    differing = differing_settings(cfg._cfg_dict.to_dict(), before._cfg_dict.to_dict())
    here = {"seed": seed, "processes": world_size()}
    if environment.get("device") == "cpu":  # where it would end with the same bits
        here["threads"] = torch.get_num_threads()
        here["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
    # What an earlier version did not record is no difference.
    before_here = {key: environment.get(key, value) for key, value in here.items()}
    differing |= differing_settings(here, before_here)
    differing.pop("runner.max_epochs", None)
    if differing:
        warnings.warn(
            f"This training goes on with other settings than it began with "
            f"({', '.join(sorted(differing))}), so that it will not end as it would have. "
            "The optimizer's own (learning rate, weight decay) stay those of the checkpoint",
            stacklevel=2,
        )


def _require_run_folder(folder: RunFolder, config: str | os.PathLike[str]) -> None:
    """Refuse a folder of something else: a training clears what it finds."""
    check_folder(folder.path)
    is_run = folder.environment_file.exists() or folder.checkpoint.exists()
    if not is_run and folder.config_file.exists():
        if Path(config).is_file() and folder.config_file.samefile(config):
            raise ValueError(
                f"{folder.config_file} would be written over by the config that is made of it: "
                "give another folder as work_dir"
            )
        # Merged configs are whole; somebody's own is likely to inherit, or to hold more than
        # literals, which is a ValueError.
        keys = folder.read_config().keys()
        is_run = "_base_" not in keys and {"model", "data"} <= keys
    if is_run or not folder.path.exists():
        return
    allowed = (".ipynb", ".html", NOTE)
    foreign = {
        name
        for name in os.listdir(folder.path)
        if not (name.endswith(allowed) or is_unfinished(name) or is_lock(name))
    }
    foreign -= {"train.out", folder.figures.name}
    if foreign:
        raise ValueError(
            f"{folder.path} is not a run folder (no config.py of one) and holds {min(foreign)!r}: "
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


def _seed_model(seed: int) -> None:
    """Of its first weights; what follows is seeded by the runner, epoch by epoch."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


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
