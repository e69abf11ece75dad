"""Choose the device that a model runs on, and move batches to this device."""

import os
from typing import Any

import torch
from mmcv.parallel import DataContainer
from torch import Tensor


def to_device(batch: Any, device: torch.device) -> Any:
    """Move the tensors of a collated batch to a device, and unwrap mmcv's DataContainers.

    Args:
        batch: A batch from the data loader. Each DataContainer in the batch contains data for
            one device.
        device: The device. The content of a DataContainer marked ``cpu_only`` stays on the CPU.

    Returns:
        The same structure, with each DataContainer replaced by its content.

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


def pick_device(device: str | None) -> torch.device:
    """Return the device for the model. Under ``torchrun``, each process uses a different GPU.

    Args:
        device: A name such as ``"cpu"`` or ``"cuda"``. None chooses a GPU if there is one,
            otherwise the CPU.

    Raises:
        ValueError: The name is unknown, or a GPU is requested but not available.

    Example:
        >>> pick_device("cpu")
        device(type='cpu')
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        picked = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"unknown device {device!r}: use 'cpu' or 'cuda'") from error
    if picked.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {device!r}, but PyTorch cannot find a GPU: use 'cpu'")
    if picked.type == "cuda" and picked.index is None and "LOCAL_RANK" in os.environ:
        picked = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(picked)
    return picked
