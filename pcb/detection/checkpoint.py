"""Write checkpoints atomically, and read them without executing code from the file."""

import io
import os
import pickle
import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import nn

from pcb.detection.box_head_loss import NEW_BUFFERS
from pcb.messages.printable import display_names, look
from pcb.storage.files import write_atomically

_WRAPPER = "module."
_USE = "Use a checkpoint written by `pcb train` or mmcv"


class _NumberType:
    """Replacement for ``numpy.dtype`` that accepts only number types, for safe unpickling.

    Args:
        code: NumPy's code for a number type, such as ``"f8"`` for a float of 8 bytes.
    """

    def __init__(self, code: str, *_flags: Any) -> None:
        if not re.fullmatch("b1|[iu][1248]|f[248]", code):
            raise pickle.UnpicklingError(f"NumPy values of type {code!r} are not supported")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


def _number(kind: _NumberType, content: bytes) -> bool | int | float:
    """Convert the bytes of a pickled NumPy number to a Python number."""
    return np.frombuffer(content, kind.dtype, count=1)[0].item()


# The meta of some mmcv checkpoints contains NumPy numbers. NumPy 2 moved the function
# that unpickles such numbers to a different module.
_HARMLESS = [
    (_NumberType, "numpy.dtype"),
    (_number, "numpy.core.multiarray.scalar"),
    (_number, "numpy._core.multiarray.scalar"),
]


def save_checkpoint(path: str | Path, checkpoint: dict[str, Any]) -> None:
    """Write a checkpoint atomically: if writing is interrupted, an existing file is not changed.

    Args:
        path: The checkpoint file.
        checkpoint: A dictionary of tensors and plain values (numbers, text, lists and
            dictionaries), usually with the keys ``state_dict``, ``optimizer`` and ``meta``.
    """
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    write_atomically(path, buffer.getvalue())


def check_exists(path: str | Path) -> None:
    """Check that a checkpoint file exists.

    Raises:
        FileNotFoundError: The file does not exist.
    """
    if os.path.isdir(path):
        raise FileNotFoundError(
            f"{path} is a folder: choose a checkpoint file, such as latest.pth in it"
        )
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"the checkpoint {path} does not exist: check the path, or train first"
        )


def read_checkpoint(path: str | Path, trust_checkpoint: bool = False) -> dict[str, Any]:
    """Read a checkpoint into CPU memory; by default, reject a file that could run code.

    This function accepts state dictionaries, and checkpoints written by ``pcb train`` or mmcv. The
    file may have PyTorch's current format or the format used before PyTorch 1.6. The prefix
    ``module.``, which wrappers for several GPUs add to the names of weights, is removed.

    Args:
        path: The checkpoint file.
        trust_checkpoint: Whether to unpickle everything in the file, even if this runs code. Pass
            True only if you trust the author of the file.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not a checkpoint or is damaged. If ``trust_checkpoint`` is False,
            this error is also raised for a file that could run code.
    """
    check_exists(path)
    with open(path, "rb") as file:
        if file.read(64).lstrip().startswith(b"<"):
            raise ValueError(
                f"{path} is a web page, not a checkpoint: download the checkpoint in a browser"
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
        raise ValueError(
            f"{path} is not a complete checkpoint ({reason}): copy or download it again"
        ) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f"{path} is not a checkpoint: it contains a value of type "
            f"{type(checkpoint).__name__} instead of a dictionary. {_USE}"
        )
    if "state_dict" in checkpoint:
        checkpoint["state_dict"] = _without_wrapper(checkpoint["state_dict"], path)
        return checkpoint
    return _without_wrapper(checkpoint, path)


def _without_wrapper(state: Any, source: str | Path) -> dict[str, Any]:
    """Remove the prefix that DistributedDataParallel adds to the names of weights."""
    if not (isinstance(state, Mapping) and all(isinstance(name, str) for name in state)):
        raise ValueError(f"{source} is not a checkpoint: it contains no named weights. {_USE}")
    wrapped = bool(state) and all(name.startswith(_WRAPPER) for name in state)
    return {name.removeprefix(_WRAPPER if wrapped else ""): v for name, v in state.items()}


def load_weights(model: nn.Module, checkpoint: dict[str, Any], source: str | Path) -> None:
    """Load the weights and buffers of a checkpoint into a model.

    Args:
        model: The model. If an error is raised, the model is not changed.
        checkpoint: The result of :func:`read_checkpoint`. If it has no key ``state_dict``, the
            weights must be at the top level.
        source: The path of the checkpoint, for error messages.

    Raises:
        ValueError: A weight or buffer is missing, is unexpected, or has the wrong shape.
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
        f"{len(names)} {kind.format('weights or buffers' if names[1:] else 'weight or buffer')}"
        f" ({', '.join(names[:3])}{', ...' * (len(names) > 3)})"
        for kind, names in (
            ("missing {}", missing),
            ("unexpected {}", unexpected),
            ("{} with the wrong shape", reshaped),
        )
        if names
    ]
    if problems:
        raise ValueError(
            f"{source} does not fit the config: {'; '.join(problems)}. Use the config that the "
            "checkpoint was trained with (config.py in the run folder)"
        )
    model.load_state_dict(state, strict=False)


def averages_in(model: nn.Module, checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the ``ema_...`` buffers that mmcv's EMAHook added to a checkpoint.

    These buffers are needed only to resume training.
    """
    state = checkpoint.get("state_dict", checkpoint)
    names = {f"ema_{name.replace('.', '_')}" for name in model.state_dict()}
    return {name: value for name, value in state.items() if name in names}


def class_names_in(checkpoint: Mapping[str, Any]) -> list[str] | None:
    """Return the class names in a checkpoint's ``meta["CLASSES"]``, or None if there are none.

    Example:
        >>> class_names_in({"meta": {"CLASSES": ("cat", "dog")}}), class_names_in({})
        (['cat', 'dog'], None)
    """
    meta = checkpoint.get("meta")
    names = meta.get("CLASSES") if isinstance(meta, Mapping) else None
    if not names or not isinstance(names, list | tuple):
        return None
    return display_names(names) if all(isinstance(name, str) for name in names) else None


def describe_other_classes(checkpoint: Mapping[str, Any], names: Sequence[str]) -> str:
    """Describe how the classes in a checkpoint differ from the given classes.

    The result is empty if the names are the same in the same order, or if the checkpoint contains
    no class names.

    Args:
        checkpoint: The result of :func:`read_checkpoint`.
        names: (C,) class names, in label order.

    Example:
        >>> describe_other_classes({"meta": {"CLASSES": ("cat", "dog")}}, ["cat", "owl"])
        "1 of 2 class names differs, for example 'dog' in the checkpoint, 'owl' here"
    """
    theirs, ours = class_names_in(checkpoint), display_names(names)
    if theirs is None:
        return ""
    if len(theirs) != len(ours):
        return f"{len(theirs)} classes in the checkpoint, {len(ours)} here"
    differing = [pair for pair in zip(theirs, ours, strict=True) if look(pair[0]) != look(pair[1])]
    if not differing:
        return ""
    return (
        f"{len(differing)} of {len(ours)} class names differ{'s' * (len(differing) == 1)}, for "
        f"example {differing[0][0]!r} in the checkpoint, {differing[0][1]!r} here"
    )


def _shape(value: Any) -> tuple[int, ...] | str:
    return tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__


def _refusal(path: str | Path) -> str:
    """Return an error message that says why a file was rejected, and what to do."""
    # PyTorch itself can list the unsafe names, but only for files in its current format.
    allowed = {*torch._weights_only_unpickler._get_allowed_globals(), *(n for _, n in _HARMLESS)}
    held = sorted(set(_names_in(path)) - allowed)
    if held:
        names = ", ".join(ascii(name)[1:-1] for name in held[:5]) + ", ..." * (len(held) > 5)
        reason = f"besides tensors and plain values, it contains {names}, which could run any code"
    else:
        reason = "it is damaged, or contains objects other than tensors and plain values"
    return (
        f"{path} was rejected, and no code in it was run: {reason}. {_USE}. If you trust the "
        "author of this checkpoint, pass --trust-checkpoint (in Python: trust_checkpoint=True)"
    )


def _names_in(path: str | Path) -> Iterator[str]:
    """Yield the names of the Python classes and functions that a checkpoint refers to."""
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                for name in archive.namelist():
                    if name.endswith("data.pkl"):
                        yield from _names_in_pickle(io.BytesIO(archive.read(name)))
        except Exception:  # not a zip file, or a damaged one
            file.seek(0)
            for _ in range(4):  # the old format has three small pickles before the checkpoint
                yield from _names_in_pickle(file)


def _names_in_pickle(file: BinaryIO) -> Iterator[str]:
    """Yield the names of the Python classes and functions that a pickled object refers to.

    The function stops at the first damaged byte.
    """
    memo: list[Any] = []
    pushed: list[Any] = []
    try:
        argument: Any  # its type depends on the operation
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
    except Exception:  # the file has ended or is damaged
        return
