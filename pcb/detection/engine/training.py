"""Train with mmcv's runner, in one process or in several processes started by ``torchrun``."""

import copy
import logging
import os
import random
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
from mmdet.datasets import build_dataset
from mmdet.models import build_detector
from torch import nn
from torch.utils.data import DataLoader

from pcb.detection.balances import describe_training_set
from pcb.detection.config.loading import naming_config, save_config
from pcb.detection.engine.environment import describe_environment
from pcb.detection.engine.first_weights import (
    FirstWeights,
    load_fitting_weights,
    read_first_weights,
)
from pcb.detection.engine.hooks import FiniteLossHook, RunLogHook, SaveStateHook, optimizer_hook
from pcb.detection.engine.loaders import training_loader
from pcb.detection.engine.pcb_activity import (
    ActivityHook,
    describe_activity,
    warn_of_late_start,
)
from pcb.detection.engine.runner import Runner
from pcb.detection.engine.settings import TrainingSettings, read_settings, recorded_settings
from pcb.detection.engine.validation import Evaluate, ValidationHook
from pcb.distributed import process_group, rank, sum_over_processes, wait_for_all
from pcb.messages.lines import say
from pcb.messages.terminal import outliving_terminal
from pcb.runs.folder import RunFolder
from pcb.runs.paths import default_work_dir
from pcb.runs.processes import TRAINING
from pcb.runs.settings import other_settings
from pcb.storage.files import check_folder, remove_unfinished
from pcb.storage.writing import writing_alone


def build_model(cfg: Config, pretrained: bool = True) -> nn.Module:
    """Build and initialise a detector, with pretrained weights of its backbone or without."""
    model_config = copy.deepcopy(cfg.model)  # mmdet modifies the config it is passed
    if not pretrained:
        model_config.backbone.init_cfg = model_config["pretrained"] = None
    model = build_detector(model_config)
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
    evaluate: Evaluate | None = None,
) -> RunFolder:
    """Train the detector of a config and write all results to an output folder.

    Under ``torchrun``, the images are divided among the processes. The config's ``samples_per_gpu``
    is the batch size of each process. The config's learning rate must suit the combined batch size
    of all processes.

    Args:
        config: The config file.
        work_dir: The output folder. The default is ``runs/<dataset>/<config>/seed<seed>``.
        seed: The seed of all random number generators.
        cfg_options: New values for settings in the config, such as ``{"runner.max_epochs": 1}``.
        resume: Whether to continue from ``latest.pth`` if the output folder contains this
            checkpoint. In this case, the config's ``load_from`` is ignored.
        device: ``"cpu"`` or ``"cuda"``. By default, the GPU is used if there is one.
        trust_checkpoint: Whether to read a checkpoint even if reading it may execute code.
        replace: Whether to delete the results of an earlier training run in the output folder.
        evaluate: The function that evaluates predictions if the config sets ``evaluation``, such as
            :func:`pcb.study.evaluate_validation`.

    Returns:
        The output folder, with ``config.py``, ``environment.json``, ``train.log.json``,
        ``latest.pth``, ``confusion.npz`` and ``confusion_history/``.

    Raises:
        FileNotFoundError: The config or the data is missing.
        ValueError: A setting, an annotation file or a checkpoint is wrong.
        ValueError: The config sets ``evaluation``, but ``evaluate`` is None.
        ValueError: Another process uses the folder, or the folder contains unrelated files.
        ValueError: The folder already contains a training run; set ``resume`` or ``replace``.
        pcb.detection.engine.runner.NonFiniteError: A loss or a weight is not finite.
        OSError: The disk is full. The last checkpoint is kept.
    """
    settings = read_settings(config, seed, cfg_options, device)
    if settings.validation and evaluate is None:
        raise ValueError(
            f"{config} sets evaluation, but no function evaluates the predictions: call train with "
            "evaluate=pcb.study.evaluate_validation, or set evaluation to None"
        )
    folder = RunFolder(work_dir or default_work_dir(config, seed))
    with process_group(settings.device):
        if rank() == 0:
            _check_run_folder(folder, config)
            if settings.unread:
                warnings.warn(
                    f"the config sets variables that nothing uses: {', '.join(settings.unread)}. "
                    "Correct misspelled names, and remove variables that are not needed",
                    stacklevel=2,
                )
        # Read and build everything before changing the folder, so a wrong config deletes nothing.
        weights = None
        if settings.first_weights and not (resume and folder.checkpoint.exists()):
            weights = read_first_weights(settings, trust_checkpoint)
        with naming_config(config):
            dataset = build_dataset(settings.config.data.train)
        if len(dataset) == 0:
            raise ValueError(
                f"{config}: no image of the training set has a usable annotation. Check the "
                "annotation file (data.train.ann_file)"
            )
        loader = training_loader(settings.loader, dataset, seed)
        _seed_initialisation(seed)
        with naming_config(config):
            model = build_model(settings.config, pretrained=settings.first_weights is None)
        first_weights = None
        if weights:
            file = settings.first_weights_file()
            first_weights = load_fitting_weights(model, weights, dataset.CLASSES, file)
        hook = None
        if settings.validation and evaluate:
            with naming_config(config):
                hook = ValidationHook(settings.config, settings.validation, folder, model, evaluate)
        describe_training_set(model, dataset)
        model.CLASSES = dataset.CLASSES
        with writing_alone(folder.path, TRAINING) if rank() == 0 else nullcontext():
            if rank() == 0 and not (resume or replace):
                folder.check_untrained()
            _train(settings, folder, model, loader, hook, first_weights, resume, trust_checkpoint)
    return folder


def _train(
    settings: TrainingSettings,
    folder: RunFolder,
    model: nn.Module,
    loader: DataLoader,
    validation: Hook | None,
    first_weights: FirstWeights | None,
    resume: bool,
    trust_checkpoint: bool,
) -> None:
    is_writer = rank() == 0
    device = settings.device
    if is_writer:
        warn_of_late_start(model, settings.max_epochs)
    if settings.loss_scaling is not None:
        wrap_fp16_model(model)
    if settings.cudnn_benchmark is not None:
        torch.backends.cudnn.benchmark = settings.cudnn_benchmark
    if settings.opencv_threads is not None:
        cv2.setNumThreads(settings.opencv_threads)
    model.to(device, memory_format=torch.channels_last)  # faster convolutions, same results

    with naming_config("the config's optimizer"):
        optimizer = build_optimizer(model, settings.optimizer)
    runner = Runner(
        model,
        optimizer=optimizer,
        work_dir=str(folder.path),
        logger=_quiet_logger(),
        max_epochs=settings.max_epochs,
        device=device,
        seed=settings.seed,
        interval=settings.checkpoint_interval,
        find_unused_parameters=settings.find_unused_parameters,
    )
    # The first process decides for all processes, because others may see no files in the folder.
    found = torch.tensor(float(is_writer and resume and folder.checkpoint.exists()), device=device)
    resumed = bool(sum_over_processes(found))
    if resumed:
        first_weights = None
        runner.resume(folder.checkpoint, loader, trust_checkpoint)
        if is_writer:
            _warn_of_other_settings(folder, settings)
    with naming_config("the config's hooks"):
        for register, key in (
            (runner.register_lr_hook, "lr_config"),
            (runner.register_momentum_hook, "momentum_config"),
        ):
            if (schedule := settings.schedules[key]) is not None:
                register(dict(schedule))
        runner.register_optimizer_hook(optimizer_hook(settings))
        runner.register_timer_hook({"type": "IterTimerHook"})
        if settings.loss_scaling is None:
            runner.register_hook(FiniteLossHook(), priority="HIGH")  # before the optimizer hook
        runner.register_hook(ActivityHook(), priority="HIGH")
        for hook in settings.custom_hooks:
            runner.register_hook_from_cfg(hook)
    runner.prepare(loader)

    # Files of an earlier run are deleted only from here on, after all settings have been checked.
    wait_for_all()
    if is_writer:
        start = _first_weights_record(settings, folder, first_weights)
        remove_unfinished(folder.path)
        if not resumed:
            folder.remove_results()
        folder.create()
        save_config(settings.config, folder.config_file)
        folder.write_environment({**describe_environment(device, settings.seed), **start})
        # Write the log before the checkpoint. A resumed run does not repeat the iteration of the
        # checkpoint, so it could not add a missing record of that iteration.
        runner.register_hook(RunLogHook(folder, settings.log_interval), priority="LOW")
        runner.register_hook(SaveStateHook(folder), priority="LOWEST")
    if validation:
        runner.register_hook(validation, priority="LOWEST")  # after the checkpoint is saved
    runner.run(loader)
    wait_for_all()  # no process exits before the last checkpoint is written
    if is_writer:
        print(f"Training finished: {folder.path}")
        print(describe_activity(model, runner.meta, settings.max_epochs), flush=True)


def _first_weights_record(
    settings: TrainingSettings, folder: RunFolder, first_weights: FirstWeights | None
) -> dict[str, Any]:
    """Return what ``environment.json`` records about ``load_from``, and print it if it is new."""
    if first_weights is not None:
        say(f"load_from: {first_weights.describe()}")
        return {"load_from": first_weights.record(settings.first_weights)}
    if settings.first_weights is None or not folder.environment_file.is_file():
        return {}
    before = folder.read_environment()  # of the run that is resumed
    return {"load_from": before["load_from"]} if "load_from" in before else {}


def _warn_of_other_settings(folder: RunFolder, settings: TrainingSettings) -> None:
    """Warn if settings other than the number of epochs have changed in a resumed training run."""
    if not (folder.config_file.is_file() and folder.environment_file.is_file()):
        return
    differing = other_settings(settings.comparable(), recorded_settings(folder))
    if names := [name for name in differing if name != "runner.max_epochs"]:
        warnings.warn(
            f"settings have changed since this training run began: {', '.join(names)}. Resume with "
            "the original settings to get the same result as without an interruption. For "
            "optimizer.lr and optimizer.weight_decay, the values in the checkpoint are used",
            stacklevel=2,
        )


def _check_run_folder(folder: RunFolder, config: str | os.PathLike[str]) -> None:
    """Check that training cannot delete or overwrite a user's own files in the output folder."""
    check_folder(folder.path)
    is_trained = folder.environment_file.exists() or folder.checkpoint.exists()
    if (
        not is_trained
        and folder.config_file.exists()
        and Path(config).is_file()
        and folder.config_file.samefile(config)
    ):
        raise ValueError(
            f"training would overwrite its own config {folder.config_file}: choose another "
            "work_dir, or move the config"
        )
    if not folder.holds_a_run and (foreign := folder.foreign_files()):
        raise ValueError(
            f"{folder.path} contains files that do not belong to a training run, for example "
            f"{foreign[0]!r}: choose an empty or new folder as work_dir"
        )


def _seed_initialisation(seed: int) -> None:
    """Seed all random number generators, so that the initial weights depend only on the seed."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _quiet_logger() -> logging.Logger:
    """Return a logger for mmcv's runner, with level WARNING."""
    logger = logging.getLogger("pcb.runner")
    logger.setLevel(logging.WARNING)
    return logger
