"""Validate the model during training, without any effect on the training."""

import json
import logging
import math
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from mmcv.runner import Hook
from mmcv.utils import Config
from mmdet.datasets import build_dataset
from torch import nn

from pcb.detection.checkpoint import read_checkpoint, save_checkpoint
from pcb.detection.config.validation import VALIDATION_METRICS, Validation
from pcb.detection.engine.inference import write_predictions
from pcb.detection.engine.model import predicted_types
from pcb.detection.engine.settings import loader_settings
from pcb.distributed import rank, sum_over_processes, wait_for_all, world_size
from pcb.metrics.numbers import format_metric
from pcb.runs.folder import RunFolder
from pcb.storage.files import naming_when_full

Evaluate = Callable[[Mapping[str, Any], Mapping[str, Path]], Mapping[str, Mapping[str, float]]]
"""A function that evaluates results files.

The function gets the ``data`` entry of the merged config and a dictionary that maps ``"bbox"`` and
``"segm"`` to the results files. It returns ``{iou_type: {metric: value}}``, as fractions.
"""


NO_DETECTIONS = "no_detections.json"  # evaluated before training, to find undefined metrics


class ValidationHook(Hook):
    """Hook that validates the model after epochs, and adds the results to the training log.

    The model is validated after the checkpoint of the epoch is saved. If training is killed during
    a validation, resumed training repeats the validation first.

    Args:
        config: The merged config of the training run.
        validation: When to validate, and what to measure.
        folder: The output folder of the training run.
        model: The detector that is trained.
        evaluate: The function that evaluates the predictions. Only the first process calls it.

    Raises:
        ValueError: The detector does not predict what is measured, or the dataset ``data.val``
            cannot be used, or ``save_best`` is undefined for it.
    """

    def __init__(
        self,
        config: Config,
        validation: Validation,
        folder: RunFolder,
        model: nn.Module,
        evaluate: Evaluate,
    ) -> None:
        self.config = config
        self.validation = validation
        self.folder = folder
        self.dataset = _build_validation_set(config)
        self.iou_types = _measured(validation, model)
        if "segm" in self.iou_types and not self.dataset.annotations.has_mask.all():
            raise ValueError(
                f"{config.data.val.ann_file} has annotations without a mask, so masks cannot be"
                " validated: set evaluation.metric to 'bbox'"
            )
        self.evaluate = evaluate
        if rank() == 0 and validation.save_best:
            self._require_defined(validation.save_best)

    def _require_defined(self, metric: str) -> None:
        """Check that a metric is defined for the data: without any detection, it must be 0."""
        iou_type, name = metric.split("_")
        with TemporaryDirectory() as folder, _without_messages():
            (file := Path(folder, NO_DETECTIONS)).write_text("[]")
            found = self.evaluate(self.config.data, {iou_type: file})[iou_type]
        if math.isnan(found["AP"]):
            raise ValueError(
                f"{self.config.data.val.ann_file} has no object, so evaluation.save_best cannot"
                " choose an epoch: choose other validation data, or remove save_best"
            )
        if math.isnan(found[name]):
            raise ValueError(
                f"evaluation.save_best is {metric!r}, which is undefined for"
                f" {self.config.data.val.ann_file}: no object of these classes is annotated there,"
                " or the frequency groups are unknown. Set evaluation.save_best to"
                f" '{iou_type}_AP'"
            )

    def before_run(self, runner) -> None:
        """Validate the resumed checkpoint if this was due, but the log has no record of it."""
        epoch = runner.epoch
        if not epoch or runner.is_inside_epoch() or not self._is_due(runner, epoch):
            return
        # The first process decides for all processes, because only this process needs the log.
        is_recorded = rank() == 0 and any(r["epoch"] == epoch for r in self._records())
        if not sum_over_processes(torch.tensor(float(is_recorded), device=runner.device)):
            self._validate(runner, epoch)

    def after_train_epoch(self, runner) -> None:
        """Validate the model if this is due."""
        if self._is_due(runner, runner.epoch + 1):
            self._validate(runner, runner.epoch + 1)

    def _is_due(self, runner, epoch: int) -> bool:
        return self.validation.is_due(epoch, runner.max_epochs)

    def _records(self) -> list[dict[str, Any]]:
        """Return the validation records in the log."""
        log = self.folder.read_log() if self.folder.log_file.is_file() else []
        return [record for record in log if record.get("mode") == "val"]

    def _validate(self, runner, epoch: int) -> None:
        temporary = RunFolder(self.folder.validation_folder)
        loading = loader_settings(self.config, "val")
        with _undisturbed(runner.model, runner.device):
            write_predictions(runner.model, self.dataset, loading, runner.device, temporary)
        if rank() == 0:
            files = {name: temporary.results_file(name) for name in self.iou_types}
            metrics = self.evaluate(self.config.data, files)
            shutil.rmtree(temporary.path)
            self._record(runner, epoch, metrics)
        wait_for_all()

    def _record(self, runner, epoch: int, metrics: Mapping[str, Mapping[str, float]]) -> None:
        values = {
            f"{iou_type}_{name}": metrics[iou_type][name]
            for iou_type in self.iou_types
            for name in VALIDATION_METRICS
        }
        texts = [f"{name} {format_metric(value)}" for name, value in values.items()]
        note = ""
        best = self.validation.save_best
        if best and self._is_best(best, epoch, values[best]):
            state = read_checkpoint(self.folder.checkpoint)
            weights = {key: state[key] for key in ("meta", "state_dict")}
            save_checkpoint(self.folder.best_checkpoint, weights)
            note = f"; best {best} so far, saved as best.pth"
        record = {"mode": "val", "epoch": epoch, "iter": runner.iter}
        record |= {name: None if math.isnan(value) else value for name, value in values.items()}
        # Write the record last: without it, resumed training repeats the validation.
        with naming_when_full(self.folder.log_file), open(self.folder.log_file, "a") as file:
            file.write(json.dumps(record) + "\n")
        print(f"validation after epoch {epoch}: {', '.join(texts)}{note}", flush=True)

    def _is_best(self, name: str, epoch: int, value: float) -> bool:
        """Return whether a metric is higher than in all earlier epochs."""
        before = [record.get(name) for record in self._records() if record["epoch"] < epoch]
        return value > max((v for v in before if v is not None), default=-math.inf)


def _measured(validation: Validation, model: nn.Module) -> tuple[str, ...]:
    """Return the IoU types to measure: those that are asked for and that the detector predicts."""
    predicted = predicted_types(model)
    iou_types = tuple(name for name in validation.iou_types if name in predicted)
    best = validation.save_best or ""
    if not iou_types or (best and not best.startswith(iou_types)):
        asked = best or ", ".join(validation.iou_types)
        raise ValueError(
            f"evaluation asks for {asked}, but {type(model).__name__} predicts only"
            f" {', '.join(predicted)}: change evaluation.metric and evaluation.save_best"
        )
    return iou_types


def _build_validation_set(cfg: Config) -> Any:
    """Build the dataset ``data.val``."""
    dataset = build_dataset(cfg.data.val, {"test_mode": True})
    if not hasattr(dataset, "category_ids"):
        raise ValueError(
            f"evaluation cannot use {cfg.data.val.type}: set data.val.type to the type that "
            "the configs in configs/ use, or set evaluation to None"
        )
    return dataset


@contextmanager
def _without_messages() -> Iterator[None]:
    """Keep messages about data from the log; the validations after epochs log them again."""
    logger = logging.getLogger("pcb")
    disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = disabled


@contextmanager
def _undisturbed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Set a model to evaluation mode for a ``with`` block; restore its state and random numbers.

    In several processes, all models get the buffers of the first process during the block, because
    checkpoints contain these buffers.
    """
    modes = {module: module.training for module in model.modules()}
    buffers = {}
    if world_size() > 1:
        buffers = {buffer: buffer.clone() for buffer in model.buffers()}
        for buffer in buffers:
            buffer.copy_(sum_over_processes(buffer if rank() == 0 else torch.zeros_like(buffer)))
    python, numpy = random.getstate(), np.random.get_state()
    model.eval()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
    random.setstate(python)
    np.random.set_state(numpy)
    for module, mode in modes.items():
        module.training = mode
    for buffer, own in buffers.items():
        buffer.copy_(own)
