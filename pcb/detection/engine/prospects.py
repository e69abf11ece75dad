"""Say before a training run what PCB and the learning rate will do, and how long it will take."""

import resource
import statistics
import time
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmcv.runner import build_optimizer, wrap_fp16_model
from mmdet.datasets import build_dataset
from torch import nn

from pcb.confusion import scaled_momentum
from pcb.detection.balances import balances, describe_training_set
from pcb.detection.box_head_loss import BoxHeadLoss
from pcb.detection.config.loading import naming_config
from pcb.detection.engine.device import to_device
from pcb.detection.engine.first_weights import load_fitting_weights, read_first_weights
from pcb.detection.engine.loaders import training_loader
from pcb.detection.engine.settings import TrainingSettings
from pcb.detection.engine.step import TrainStep
from pcb.detection.engine.training import build_model
from pcb.messages.checks import Check
from pcb.metrics.learned import LearnedConfusion

HINT = "correct the config or the data as described above"
_MOST_NAMES = 5
_LARGEST_WEIGHT = 0.1  # of the first update, as in `scaled_momentum`


def check_batch_size(settings: TrainingSettings) -> Check:
    """Compare the images of one step with the batch size for which the learning rate was chosen.

    A config states this batch size as ``auto_scale_lr.base_batch_size``. The check assumes one
    process. The learning rate is never changed.
    """
    own = settings.loader["samples_per_gpu"]
    base = (settings.config.get("auto_scale_lr") or {}).get("base_batch_size")
    rate = settings.optimizer.get("lr")
    if not base:
        text = f"{own} per step and process; the config does not state for how many images"
        return Check("batch size", f"{text} optimizer.lr was chosen (auto_scale_lr)")
    if own == base:
        return Check("batch size", f"{own} images per step, for which optimizer.lr was chosen")
    text = (
        f"optimizer.lr was chosen for {base} images per step, you have {own} with one process: "
        "change data.samples_per_gpu"
    )
    if base % own == 0:
        text += f", or train with {base // own} processes"
    if isinstance(rate, int | float):
        text += f", or set optimizer.lr to {rate * own / base:g}"
    return Check("batch size", text, ok=False, required=False)


def check_first_weights(
    settings: TrainingSettings, class_names: Sequence[str] | None, trust_checkpoint: bool
) -> list[Check]:
    """Check that the weights that training starts from can be read and fit the model.

    Args:
        settings: The settings of the training run.
        class_names: Names of the C classes in the training set; None if they are unknown.
        trust_checkpoint: Whether to read the file even if reading it may execute code.
    """
    if settings.first_weights is None:
        return []
    try:
        weights = read_first_weights(settings, trust_checkpoint)
        file = settings.first_weights_file()
        if class_names is None:
            return [Check("load_from", f"{file} can be read")]
        with naming_config("the config"):
            model = build_model(settings.config, pretrained=False)
        found = load_fitting_weights(model, weights, class_names, file)
    except (ValueError, OSError) as error:
        return [Check("load_from", str(error), ok=False, hint=HINT)]
    return [Check("load_from", found.describe().replace("\n  ", "; "))]


def check_pcb(
    settings: TrainingSettings,
    class_names: Sequence[str],
    image_count: np.ndarray,
    instance_count: np.ndarray,
) -> list[Check]:
    """Say in which epoch PCB starts, and how old the rarest class's row of the matrix will be.

    Args:
        settings: The settings of the training run.
        class_names: Names of the C classes in the training set.
        image_count: (C,), number of training images of each class.
        instance_count: (C,), number of training instances of each class.
    """
    try:
        with naming_config("the config"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the checks say the same
            model = build_model(settings.config, pretrained=settings.first_weights is None)
            for loss in model.modules():
                if isinstance(loss, BoxHeadLoss):
                    loss.describe_training_set(class_names, instance_count)
    except (ValueError, OSError) as error:
        return [Check("model", str(error), ok=False, hint=HINT)]
    active = [balance for balance in balances(model).values() if balance.alpha > 0]
    if not active:
        return [Check("PCB", "no loss of the model uses PCB")]
    balance = active[0]
    start, last = balance.start_epoch, settings.max_epochs
    required = np.array(balance.required_classes())
    if absent := [class_names[c] for c in required if instance_count[c] == 0]:
        text = (
            f"PCB never starts, because {len(absent):,} of {len(class_names):,} classes have no"
            f" training instance ({_listed(absent)}): remove these classes, or set"
            " required_classes='present' in the loss"
        )
        return [Check("PCB", text, ok=False, hint=HINT)]
    if start > last:
        text = (
            f"PCB starts in epoch {start}, but training ends with epoch {last}: set start_epoch of"
            " the loss to 17/24 of the number of epochs, as in the paper"
        )
        return [Check("PCB", text, ok=False, hint=HINT)]
    begin = f"starts in epoch {start} of {last}"
    if start == 1:
        begin += ", as soon as every required class has occurred"
    checks = [Check("PCB", begin)]
    rarest = required[np.argmin(image_count[required])]
    calls = int(image_count[rarest]) * _iterations(model)
    updates = np.array([calls * (start - 1), calls * last])
    learned = LearnedConfusion(
        np.empty((0, 0)),
        update_count=updates,
        momentum=balance.momentum,
        normalize_rows=balance.normalize_rows,
    )
    before, after = learned.start_weights()
    text = (
        f"{class_names[rarest]} has {image_count[rarest]:,} training images, so its row gets about"
        f" {calls:,} updates per epoch{_repetitions(settings)}; its first update keeps the weight "
    )
    if start > 1:
        text += f"{before:.2g} when PCB starts, and "
    text += f"{after:.2g} after the last epoch (momentum {balance.momentum:g})"
    weight = before if start > 1 else after
    if weight > _LARGEST_WEIGHT:
        number = updates[0] if start > 1 else updates[1]
        if number > 1:
            text += f": set momentum of the loss to {scaled_momentum(number):.2g}"
        else:
            text += ": let PCB start in a later epoch"
    checks.append(
        Check("rarest class", text, ok=not weight > _LARGEST_WEIGHT, required=False, hint=HINT)
    )
    return checks


def check_speed(settings: TrainingSettings, steps: int) -> Check:
    """Estimate the time and memory of training from some training steps.

    One more step is run first to warm up. Nothing is written.

    Args:
        settings: The settings of the training run.
        steps: Number of measured steps, at least 1.
    """
    try:
        seconds, memory, length = _measured(settings, steps)
    except (ValueError, OSError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        return Check("speed", f"a training step fails: {reason}", ok=False, hint=HINT)
    epoch = seconds * length
    text = (
        f"estimate from {steps} step{'s' * (steps > 1)} on {settings.device.type}:"
        f" {seconds:.2g} s per step, {_duration(epoch)} per epoch,"
        f" {_duration(epoch * settings.max_epochs)} for {settings.max_epochs} epochs;"
        f" {memory / 2**30:.1f} GiB of memory"
    )
    return Check("speed", text)


def _measured(settings: TrainingSettings, steps: int) -> tuple[float, int, int]:
    """Return the seconds of one step, the most bytes in use, and the steps of an epoch."""
    with naming_config("the config"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = build_dataset(settings.config.data.train)
        loader = training_loader(settings.loader, dataset, settings.seed)
        model = build_model(settings.config, pretrained=False)  # as fast as with any weights
        describe_training_set(model, dataset)
        if settings.loss_scaling is not None:
            wrap_fp16_model(model)
        model.to(settings.device, memory_format=torch.channels_last)
        optimizer = build_optimizer(model, settings.optimizer)
    model.train()
    step, times = TrainStep(model), []
    is_cuda = settings.device.type == "cuda"
    begin = time.perf_counter()
    for batch in islice(_endless(loader), steps + 1):
        optimizer.zero_grad()
        step(to_device(batch, settings.device))["loss"].backward()
        optimizer.step()
        if is_cuda:
            torch.cuda.synchronize(settings.device)
        end = time.perf_counter()
        times.append(end - begin)
        begin = end
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux states KiB
    if is_cuda:
        memory = torch.cuda.max_memory_allocated(settings.device)
    return statistics.median(times[1:]), memory, len(loader)


def _endless(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader


def _iterations(model: nn.Module) -> int:
    return int(getattr(getattr(model, "roi_head", None), "n_iter", 1))


def _repetitions(settings: TrainingSettings) -> str:
    train = settings.config.data.train
    return f" (repetitions by {train.type} not counted)" if "dataset" in train else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")


def _duration(seconds: float) -> str:
    """Return a duration in the largest suitable unit, such as ``2.5 h``."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
