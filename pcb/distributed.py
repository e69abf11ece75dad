"""Connect the processes of a training run, and sum tensors over these processes."""

import math
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

_VARIABLES = ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT")
_MINUTES = "PCB_WAIT_MINUTES"  # how long to wait for the other processes to start
_TORCHRUN = f"start the processes with torchrun, which sets {', '.join(_VARIABLES)}"


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Connect this process to the other training processes while a ``with`` block runs.

    ``torchrun`` describes the training processes in environment variables. If neither ``RANK`` nor
    ``WORLD_SIZE`` is set, this function does nothing. Otherwise, it waits up to 10 minutes for the
    other processes to start; the environment variable ``PCB_WAIT_MINUTES`` changes this limit.
    After an error in the block, this process must exit, so that ``torchrun`` stops the other
    processes.

    Args:
        device: Device of this process. GPUs are connected with ``nccl``, CPUs with ``gloo``. With
            several GPUs, the device must include the index of the GPU.

    Raises:
        ValueError: If some of the environment variables are missing or invalid, or the other
            processes cannot be reached.

    Example:
        >>> with process_group(torch.device("cpu")):
        ...     world_size()
        1
    """
    if dist.is_initialized() or _requested_processes() == 1:
        yield
        return
    _join(device)
    yield
    # Not in a `finally`: closing an nccl group waits for the other processes. After an error, they
    # in turn wait for this process, so all would hang silently until a timeout of 10 minutes.
    dist.destroy_process_group()


def _requested_processes() -> int:
    """Read the number of training processes from the environment variables of ``torchrun``.

    Raises:
        ValueError: If the environment variables are incomplete, invalid or contradictory.
    """
    given = {name: os.environ[name] for name in _VARIABLES if os.environ.get(name, "").strip()}
    if "WORLD_SIZE" not in given and "RANK" not in given:
        return 1
    numbers = {}
    for name in ("WORLD_SIZE", "RANK", "MASTER_PORT"):
        if name in given:
            if not given[name].strip().isdecimal():
                raise ValueError(
                    f"the environment variable {name} must be a whole number, "
                    f"got {given[name]!r}; {_TORCHRUN}"
                )
            numbers[name] = int(given[name])
    if numbers.get("WORLD_SIZE") == 1 and numbers.get("RANK", 0) == 0:
        return 1  # a single process needs no address
    if missing := [name for name in _VARIABLES if name not in given]:
        raise ValueError(
            f"the environment variable{'s' if len(given) > 1 else ''} {', '.join(given)} "
            f"{'is' if len(given) == 1 else 'are'} set, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not. To train in one process, unset "
            f"{', '.join(given)}. To train in several processes, {_TORCHRUN}"
        )
    processes = numbers["WORLD_SIZE"]
    if not numbers["RANK"] < processes:
        raise ValueError(
            f"the environment variable RANK must be less than WORLD_SIZE={processes}, "
            f"got {numbers['RANK']}; {_TORCHRUN}"
        )
    if not 0 < numbers["MASTER_PORT"] < 2**16:
        raise ValueError(
            "the environment variable MASTER_PORT must lie in [1, 65535], "
            f"got {numbers['MASTER_PORT']}"
        )
    return processes


def _join(device: torch.device) -> None:
    """Connect this process to the other processes of the training run.

    Raises:
        ValueError: If the other processes do not start in time, or cannot be reached.
    """
    minutes = _minutes_to_wait()
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    own, processes = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if "TORCHELASTIC_RUN_ID" not in os.environ:  # torchrun has started all processes
        print(
            f"The process with RANK={own} waits up to {minutes:g} min for the other processes to "
            f"connect to {address}. To change this limit, set the environment variable {_MINUTES}.",
            file=sys.stderr,
            flush=True,
        )
        _wait_for_first(own, minutes)  # PyTorch itself would print a page of stack traces
    try:
        # Use a separate rendezvous, so that its time limit does not also apply to later sums. It is
        # imported here because some builds of PyTorch lack it.
        from torch.distributed.rendezvous import rendezvous

        store, own, processes = next(rendezvous("env://", timeout=timedelta(minutes=minutes)))
        backend, own_device = ("nccl", device) if device.type == "cuda" else ("gloo", None)
        # Name the device; otherwise, a barrier would have to guess the GPU of this process.
        dist.init_process_group(
            backend, store=store, rank=own, world_size=processes, device_id=own_device
        )
    except (RuntimeError, ValueError) as error:  # the rendezvous raises these for any failure
        first_line = str(error).strip().splitlines()[0]
        hint = f"start all {processes} processes within {minutes:g} min"
        if "EADDRINUSE" in str(error) or "address already in use" in str(error):
            hint = "this port is in use: set a different MASTER_PORT for all processes"
        raise ValueError(
            f"the process with RANK={own} could not reach the other processes at {address} "
            f"({first_line[:200]}): {hint}"
        ) from error


def _wait_for_first(own: int, minutes: float) -> None:
    """Wait until process 0 can be reached.

    Raises:
        ValueError: If the host name is unknown, or process 0 does not answer in time.
    """
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:
        socket.getaddrinfo(host, port)
    except OSError as error:
        raise ValueError(
            f"the environment variable MASTER_ADDR is {host!r}, but no machine with this name was "
            f"found ({error.strerror}); {_TORCHRUN}"
        ) from None
    deadline = time.monotonic() + 60 * minutes
    while own > 0:  # process 0 itself accepts the connections
        with suppress(OSError), socket.create_connection((host, port), timeout=5):
            return
        if time.monotonic() > deadline:
            processes = os.environ["WORLD_SIZE"]
            raise ValueError(
                f"the process with RANK={own} could not reach the other processes at "
                f"{host}:{port}: start all {processes} processes within {minutes:g} min"
            )
        time.sleep(0.1)


def _minutes_to_wait() -> float:
    text = os.environ.get(_MINUTES) or "10"
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 < minutes <= 24 * 60:
        raise ValueError(f"the environment variable {_MINUTES} must lie in (0, 1440], got {text!r}")
    return minutes


def rank() -> int:
    """Return the rank of this process, counted from 0."""
    return dist.get_rank() if _in_group() else 0


def world_size() -> int:
    """Return the number of training processes."""
    return dist.get_world_size() if _in_group() else 1


def wait_for_all() -> None:
    """Wait until every process has called this function."""
    if world_size() > 1:
        dist.barrier()


def sum_over_processes(tensor: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes of the default process group.

    All processes must call this function equally often and with tensors of the same shape. A
    process that has nothing to add must pass zeros.

    Args:
        tensor: Tensor of any shape, on a device that the backend of the process group supports.
            The tensor is not modified.

    Returns:
        The sum, which is the same in every process. Without a process group, the result is the
        tensor itself.

    Example:
        >>> sum_over_processes(torch.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """
    if world_size() == 1:
        return tensor
    total = tensor.clone(memory_format=torch.contiguous_format)  # for nccl and gloo
    dist.all_reduce(total)
    return total


def _in_group() -> bool:
    return dist.is_available() and dist.is_initialized()
