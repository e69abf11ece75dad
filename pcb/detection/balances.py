"""Find PCB's state in a model, and tell the losses which classes the training set contains."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import nn

from pcb.balance import PairwiseClassBalance
from pcb.detection.box_head_loss import BoxHeadLoss


def balances(model: nn.Module) -> Mapping[str, PairwiseClassBalance]:
    """Return a dict with every PairwiseClassBalance in a model; the keys are module names.

    A PairwiseClassBalance is the part of a loss that contains the state and settings of PCB.

    Example:
        >>> from pcb.detection.losses import CrossEntropyPCBLoss
        >>> list(balances(nn.ModuleDict({"loss": CrossEntropyPCBLoss(num_classes=3)})))
        ['loss.balance']
    """
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, PairwiseClassBalance)
    }


def describe_training_set(model: nn.Module, dataset: Any) -> None:
    """Tell every loss in a model which classes have instances in the training set.

    Counting the instances is slow if the dataset has no method ``instance_count``. The instances
    are then counted only if a loss has ``required_classes="present"``.

    Args:
        model: The detector.
        dataset: An mmdet dataset, with or without wrappers such as ``RepeatDataset``.

    Raises:
        ValueError: A loss and the training set have different numbers of classes.
    """
    losses = [module for module in model.modules() if isinstance(module, BoxHeadLoss)]
    needs_counts = any(loss.requires_present_classes for loss in losses)
    parts = list(_innermost(dataset))
    if not losses or not (needs_counts or all(hasattr(part, "instance_count") for part in parts)):
        return
    counts = sum(_instance_count(part) for part in parts)
    for loss in losses:
        loss.describe_training_set(parts[0].CLASSES, counts)


def _innermost(dataset: Any) -> Iterator[Any]:
    """Yield the datasets themselves, without wrappers such as ``RepeatDataset``."""
    inside = getattr(dataset, "datasets", None) or [getattr(dataset, "dataset", None)]
    if inside == [None]:
        yield dataset
        return
    for one in inside:
        yield from _innermost(one)


def _instance_count(dataset: Any) -> np.ndarray:
    if hasattr(dataset, "instance_count"):
        return np.asarray(dataset.instance_count())
    labels = [dataset.get_ann_info(index)["labels"] for index in range(len(dataset))]
    return np.bincount(np.concatenate(labels), minlength=len(dataset.CLASSES))
