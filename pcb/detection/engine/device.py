"""The device, and batches on their way to it."""

import os
from typing import Any

import torch
from mmcv.parallel import DataContainer
from mmcv.utils import Config
from torch import Tensor


def to_device(batch: Any, device: torch.device) -> Any:
    """Unwrap mmcv's DataContainers of one collated batch and move its tensors.

    Args:
        batch: what a data loader of one process gives; containers hold one chunk.
        device: where tensors go, except those marked ``cpu_only``.

    Returns:
        The same structure with plain tensors.

    Example:
        >>> to_device({"x": DataContainer([torch.ones(1)])}, torch.device("cpu"))
        {'x': tensor([1.])}
    """
    if isinstance(batch, DataContainer):
        chunk = batch.data[0]
        return chunk if batch.cpu_only else to_device(chunk, device)
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return type(batch)(to_device(value, device) for value in batch)
    return batch


def loader_settings(cfg: Config, split: str) -> dict[str, int]:
    """Images of a batch and loading processes of a split, as mmdet reads them.

    What ``data.<split>_dataloader`` has goes before ``data``; testing takes images one by one
    unless it is told otherwise there.

    Example:
        >>> cfg = Config(dict(data=dict(samples_per_gpu=4, workers_per_gpu=2)))
        >>> loader_settings(cfg, "train")
        {'samples_per_gpu': 4, 'workers_per_gpu': 2}
        >>> loader_settings(cfg, "val")
        {'samples_per_gpu': 1, 'workers_per_gpu': 2}
    """
    own = cfg.data.get(f"{split}_dataloader") or {}
    common = {"samples_per_gpu": 1} if split != "train" else {}
    names = ("samples_per_gpu", "workers_per_gpu")
    merged = {**cfg.data, **common, **own}
    return {name: merged[name] for name in names if name in merged}


def uses_half_precision(cfg: Config, device: torch.device) -> bool:
    """Whether a config runs in half precision: it is for GPUs, a CPU computes the same in float32.

    Example:
        >>> cfg = Config(dict(fp16=dict(loss_scale="dynamic")))
        >>> [uses_half_precision(cfg, torch.device(name)) for name in ("cpu", "cuda")]
        [False, True]
    """
    return bool(cfg.get("fp16")) and device.type == "cuda"


def pick_device(device: str | None) -> torch.device:
    """The device asked for; by default a GPU if there is one, of several processes to each its own.

    Raises:
        ValueError: a GPU is asked for and there is none, or the name is unknown.

    Example:
        >>> pick_device("cpu")
        device(type='cpu')
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        picked = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"unknown device {device!r}; use 'cpu' or 'cuda'") from error
    if picked.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} was asked for, but PyTorch sees no GPU; use 'cpu'")
    if picked.type == "cuda" and picked.index is None and "LOCAL_RANK" in os.environ:
        picked = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(picked)
    return picked
