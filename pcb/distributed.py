"""Training processes and sums over them; a single process needs none of it, and each is a no-op."""

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

_NEEDED = ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT")
_MINUTES = "PCB_WAIT_MINUTES"  # how long to wait for processes that have not come yet
_TORCHRUN = "start the processes with torchrun, which sets them all"


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the processes that ``torchrun`` has started, for as long as the context lasts.

    It tells each process the address of the others through environment variables; without them
    nothing happens. Whoever sets these by hand has the others waited for up to 10 minutes, or
    ``PCB_WAIT_MINUTES``. After an error the group is not left: the process has to end, and torchrun
    then ends the others.

    Args:
        device: what this process computes on: ``nccl`` connects GPUs, ``gloo`` CPUs. Of several
            GPUs its own, with an index.

    Raises:
        ValueError: some of the variables are missing or wrong, or the others have not come.

    Example:
        >>> with process_group(torch.device("cpu")):
        ...     world_size()
        1
    """
    if dist.is_initialized() or _processes_asked_for() == 1:
        yield
        return
    _join(device)
    yield
    # In no `finally`: leaving nccl's group waits for the others, and after an error they wait for
    # this process, all without a word until the timeout of 10 minutes.
    dist.destroy_process_group()


def _processes_asked_for() -> int:
    """How many processes the environment says there are.

    Raises:
        ValueError: it says so by halves, or what cannot be.
    """
    given = {name: os.environ[name] for name in _NEEDED if os.environ.get(name, "").strip()}
    if "WORLD_SIZE" not in given and "RANK" not in given:
        return 1
    numbers = {}
    for name in ("WORLD_SIZE", "RANK", "MASTER_PORT"):
        if name in given:
            if not given[name].strip().isdecimal():
                raise ValueError(f"{name} must be a whole number, got {given[name]!r}; {_TORCHRUN}")
            numbers[name] = int(given[name])
    processes = numbers.get("WORLD_SIZE", 0)
    if processes == 1 and numbers.get("RANK", 0) == 0:
        return 1  # alone, nobody has to be found
    if lacking := [name for name in _NEEDED if name not in given]:
        raise ValueError(
            f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} set, as for one of several "
            f"processes, but not {', '.join(lacking)}: unset {'it' if len(given) == 1 else 'them'} "
            f"to train in one process, or {_TORCHRUN}"
        )
    if not numbers["RANK"] < processes:
        raise ValueError(
            f"RANK is {numbers['RANK']}, but of WORLD_SIZE={processes} processes it must be a "
            f"number below {processes}, another one for each; {_TORCHRUN}"
        )
    if not 0 < numbers["MASTER_PORT"] < 2**16:
        raise ValueError(f"MASTER_PORT must lie in [1, 65535], got {numbers['MASTER_PORT']}")
    return processes


def _join(device: torch.device) -> None:
    """Meet the other processes.

    Raises:
        ValueError: they have not come in time, or cannot be reached.
    """
    minutes = _minutes_to_wait()
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    own, processes = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if "TORCHELASTIC_RUN_ID" not in os.environ:  # torchrun has seen to it that all are there
        print(
            f"Process {own} of {processes}: waiting up to {minutes:g} minutes for the others at "
            f"{address} ({_MINUTES} sets the time).",
            file=sys.stderr,
            flush=True,
        )
        _find(own, minutes)
    try:
        # Met here, so that the limit is that of the meeting alone and not of every later sum.
        from torch.distributed.rendezvous import rendezvous  # which not every build has

        store, own, processes = next(rendezvous("env://", timeout=timedelta(minutes=minutes)))
        backend, own_device = ("nccl", device) if device.type == "cuda" else ("gloo", None)
        # A named device, or a barrier would have to guess which GPU is whose.
        dist.init_process_group(
            backend, store=store, rank=own, world_size=processes, device_id=own_device
        )
    except (RuntimeError, ValueError) as error:  # of torch's store, whatever is the matter
        first_line = str(error).strip().splitlines()[0]
        hint = f"are all {processes} started, within {minutes:g} minutes?"
        if "EADDRINUSE" in str(error) or "address already in use" in str(error):
            hint = "that port is taken: choose another MASTER_PORT for all of them"
        raise ValueError(
            f"process {own} of {processes} could not meet the others at {address}; {hint} "
            f"({first_line[:200]})"
        ) from error


def _find(own: int, minutes: float) -> None:
    """Wait until the first process can be reached; torch itself would print a page of its stack.

    Raises:
        ValueError: its machine is unknown, or nobody answers in time.
    """
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:
        socket.getaddrinfo(host, port)
    except OSError as error:
        raise ValueError(
            f"MASTER_ADDR is {host!r}, which is no machine that this one knows "
            f"({error.strerror}); {_TORCHRUN}"
        ) from None
    deadline = time.monotonic() + 60 * minutes
    while own > 0:  # the first one is who answers
        with suppress(OSError), socket.create_connection((host, port), timeout=5):
            return
        if time.monotonic() > deadline:
            processes = os.environ["WORLD_SIZE"]
            raise ValueError(
                f"process {own} of {processes} could not meet the others at {host}:{port}; are all "
                f"{processes} started, within {minutes:g} minutes?"
            )
        time.sleep(0.1)


def _minutes_to_wait() -> float:
    text = os.environ.get(_MINUTES) or "10"
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 < minutes <= 24 * 60:
        raise ValueError(f"{_MINUTES} must be a number of minutes, up to a day, got {text!r}")
    return minutes


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
