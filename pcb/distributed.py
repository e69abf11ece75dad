"""Sums over training processes; without a process group each one is the identity."""

import torch.distributed as dist
from torch import Tensor


def sum_over_processes(tensor: Tensor) -> Tensor:
    """Sum a tensor over all processes of the default group.

    Every process has to call this equally often and with equal shapes, whether or not it has
    anything to add: a process that stays away stalls all others.

    Args:
        tensor: any shape, on the device that the process group's backend works on. Not modified.

    Returns:
        The sum, on every process; without a process group the tensor itself.

    Example:
        >>> import torch
        >>> sum_over_processes(torch.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total
