"""Checkpoints: written whole or not at all, and read without executing anything in them."""

import io
import os
import pickle
import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import nn

from pcb.detection.box_head_loss import NEW_BUFFERS
from pcb.storage.files import write_atomically

_WRAPPER = "module."


class _NumberType:
    """Replaces ``numpy.dtype`` while reading untrusted files; the real one accepts any state.

    Args:
        code: kind and size of a number, such as ``"f8"``.
    """

    def __init__(self, code: str, *_flags: Any) -> None:
        if not re.fullmatch("b1|[iu][1248]|f[248]", code):
            raise pickle.UnpicklingError(f"a NumPy value of type {code!r} is not a plain number")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


def _number(kind: _NumberType, content: bytes) -> bool | int | float:
    """Replaces NumPy's function that unpickles one number."""
    return np.frombuffer(content, kind.dtype, count=1)[0].item()


# Some of mmcv's checkpoints hold NumPy numbers in their meta; NumPy 2 has moved their module.
_HARMLESS = [
    (_NumberType, "numpy.dtype"),
    (_number, "numpy.core.multiarray.scalar"),
    (_number, "numpy._core.multiarray.scalar"),
]


def save_checkpoint(path: str | Path, checkpoint: dict[str, Any]) -> None:
    """Write a dictionary of tensors and plain values in one step.

    Args:
        path: the file; only a complete new file replaces an existing one.
        checkpoint: usually ``state_dict``, ``optimizer`` and ``meta``.
    """
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    write_atomically(path, buffer.getvalue())


def check_exists(path: str | Path) -> None:
    """Refuse a checkpoint that does not exist, before anything is created for it.

    Raises:
        FileNotFoundError: no such file.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no checkpoint {path}: train first, or give another path")


def read_checkpoint(path: str | Path, trust_checkpoint: bool = False) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; a file that could run code is refused, not executed.

    Checkpoints of ``pcb train``, those of mmcv (whose ``meta`` is text, numbers and tuples) and
    bare state dictionaries are accepted, in PyTorch's current file format and in the one before
    1.6. The prefix ``module.``, which wrappers for several GPUs add to the names of weights, is
    removed. NumPy numbers become Python numbers.

    Args:
        path: the file.
        trust_checkpoint: unpickle whatever the file holds, which may run any code that its author
            chose.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not a checkpoint, is damaged, or holds more than tensors and plain
            values (the message names what it holds).
    """
    check_exists(path)
    with open(path, "rb") as file:
        if file.read(64).lstrip().startswith(b"<"):
            raise ValueError(
                f"{path} is a web page, not a checkpoint: download the file in a browser (Google "
                "Drive shows such a page before it sends large files)"
            )
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            checkpoint = torch.load(path, map_location="cpu", weights_only=not trust_checkpoint)
    except OSError:
        raise
    except Exception as error:  # a damaged file may raise anything
        if isinstance(error, pickle.UnpicklingError) and not trust_checkpoint:
            raise ValueError(_refusal(path)) from error
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} is not a complete checkpoint ({reason})") from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f"{path} holds a {type(checkpoint).__name__}, not a checkpoint")
    if "state_dict" in checkpoint:
        checkpoint["state_dict"] = _without_wrapper(checkpoint["state_dict"], path)
        return checkpoint
    return _without_wrapper(checkpoint, path)


def _without_wrapper(state: Any, source: str | Path) -> dict[str, Any]:
    """Weights by name, without the prefix that DistributedDataParallel adds to the names."""
    if not (isinstance(state, Mapping) and all(isinstance(name, str) for name in state)):
        raise ValueError(f"{source} is not a checkpoint: its weights have no names")
    wrapped = bool(state) and all(name.startswith(_WRAPPER) for name in state)
    return {name.removeprefix(_WRAPPER if wrapped else ""): v for name, v in state.items()}


def load_weights(model: nn.Module, checkpoint: dict[str, Any], source: str | Path) -> None:
    """Load a checkpoint's weights and buffers; every name and shape must fit.

    Args:
        model: the model, which changes only if everything fits.
        checkpoint: from :func:`read_checkpoint`; its ``state_dict`` is loaded, or the whole if it
            has none.
        source: the checkpoint's name in errors.

    Raises:
        ValueError: names what is missing, unexpected, or has another shape.
    """
    state = checkpoint.get("state_dict", checkpoint)
    expected = model.state_dict()
    missing = [k for k in expected if k not in state and not k.endswith(NEW_BUFFERS)]
    averages = averages_in(model, checkpoint)
    unexpected = [k for k in state if k not in expected and k not in averages]
    reshaped = [
        f"{k} {_shape(state[k])} instead of {_shape(expected[k])}"
        for k in expected
        if k in state and _shape(state[k]) != _shape(expected[k])
    ]
    problems = [
        f"{len(names)} {kind} ({', '.join(names[:3])}{', ...' * (len(names) > 3)})"
        for kind, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", reshaped),
        )
        if names
    ]
    if problems:
        raise ValueError(
            f"{source} does not fit the config: {'; '.join(problems)}. "
            "Use the config that it was trained with (config.py in its run folder)."
        )
    model.load_state_dict(state, strict=False)


def averages_in(model: nn.Module, checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The buffers that mmcv's EMAHook adds, one for each weight; testing does not need them.

    After an epoch the hook has swapped averages and weights, so these buffers hold the weights.
    """
    state = checkpoint.get("state_dict", checkpoint)
    names = {f"ema_{name.replace('.', '_')}" for name in model.state_dict()}
    return {name: value for name, value in state.items() if name in names}


def _shape(value: Any) -> tuple[int, ...] | str:
    return tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__


def _refusal(path: str | Path) -> str:
    """Why a file is refused, and what to do."""
    # PyTorch itself can list the unsafe names, but only in files of its current format.
    allowed = {*torch._weights_only_unpickler._get_allowed_globals(), *(n for _, n in _HARMLESS)}
    held = sorted(set(_names_in(path)) - allowed)
    if held:
        names = ", ".join(ascii(name)[1:-1] for name in held[:5]) + ", ..." * (len(held) > 5)
        reason = f"besides tensors and plain values it holds {names}, which may run any code"
    else:
        reason = "it is damaged, or holds more than tensors and plain values"
    return (
        f"{path} was refused and not executed: {reason}. Give a checkpoint written by `pcb train` "
        "or mmcv; or, if you trust whoever made this one, pass --trust-checkpoint "
        "(in Python: trust_checkpoint=True)"
    )


def _names_in(path: str | Path) -> Iterator[str]:
    """Names of classes and functions in a checkpoint's pickles, read without executing them."""
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                for name in archive.namelist():
                    if name.endswith("data.pkl"):
                        yield from _names_in_pickle(io.BytesIO(archive.read(name)))
        except Exception:  # not a zip file, or a damaged one
            file.seek(0)
            for _ in range(4):  # the old format: three small pickles, then the checkpoint
                yield from _names_in_pickle(file)


def _names_in_pickle(file: BinaryIO) -> Iterator[str]:
    """The names in one pickle, up to where it is damaged."""
    memo: list[Any] = []
    pushed: list[Any] = []
    try:
        argument: Any  # of what type depends on the operation
        for operation, argument, _position in pickletools.genops(file):
            match operation.name:
                case "GLOBAL" | "INST":
                    yield str(argument).replace(" ", ".")
                case "STACK_GLOBAL":
                    yield ".".join(map(str, pushed[-2:]))
                case "MEMOIZE":
                    memo.append(pushed[-1])
                case "BINGET" | "LONG_BINGET" if isinstance(argument, int):
                    pushed.append(memo[argument] if argument < len(memo) else None)
                case _:
                    pushed.append(argument)
    except Exception:  # the end of the file, or damage
        return
