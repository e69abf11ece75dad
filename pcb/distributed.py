"""Training processes and sums over them; a single process needs none of it, and each is a no-op."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the processes that ``torchrun`` has started, for as long as the context lasts.

    It tells each process the address of the others through environment variables; without them
    nothing happens. After an error the group is not left: the process has to end, and torchrun
    then ends the others.

    Args:
        device: what this process computes on: ``nccl`` connects GPUs, ``gloo`` CPUs. Of several
            GPUs its own, with an index.

    Example:
        >>> with process_group(torch.device("cpu")):
        ...     world_size()
        1
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    if device.type == "cuda":  # named, or a barrier would have to guess which GPU is whose
        dist.init_process_group("nccl", device_id=device)
    else:
        dist.init_process_group("gloo")
    yield
    # In no `finally`: leaving nccl's group waits for the others, and after an error they wait for
    # this process, all without a word until the timeout of 10 minutes.
    dist.destroy_process_group()


def rank() -> int:
    """Number of this process, from 0; the first one writes the files."""
    return dist.get_rank() if _in_group() else 0


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if _in_group() else 1


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if world_size() > 1:
        dist.barrier()


def sum_over_processes(tensor: Tensor) -> Tensor:
    """Sum a tensor over all processes of the default group.

    Every process has to call this equally often and with equal shapes, whether or not it has
    anything to add: a process that stays away stalls all others.

    Args:
        tensor: any shape, on the device that the process group's backend works on. Not modified.

    Returns:
        The sum, on every process; without a process group the tensor itself.

    Example:
        >>> sum_over_processes(torch.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """
    if world_size() == 1:
        return tensor
    total = tensor.clone(memory_format=torch.contiguous_format)  # as nccl and gloo want it
    dist.all_reduce(total)
    return total


def _in_group() -> bool:
    return dist.is_available() and dist.is_initialized()
