"""Checkpoints: written whole or not at all, and read without executing anything in them."""

import io
import os
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pcb.detection.losses import NEW_BUFFERS
from pcb.runs import write_atomically


def save_checkpoint(path: str | Path, checkpoint: dict[str, Any]) -> None:
    """Write a dictionary of tensors and plain values in one step.

    Args:
        path: the file; an existing one is replaced only by a complete new one.
        checkpoint: usually ``state_dict``, ``optimizer`` and ``meta``.
    """
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    write_atomically(path, buffer.getvalue())


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; code that a pickle might hold is refused, not executed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint, damaged, or holding more than tensors and plain values.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no checkpoint {path}: train first, or give another path")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} was refused: it is damaged, or holds more than tensors and plain values. "
            "Give a checkpoint written by `pcb train`, such as a run's latest.pth"
        ) from error
    except (RuntimeError, EOFError) as error:
        raise ValueError(f"{path} is not a complete checkpoint ({error})") from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f"{path} holds a {type(checkpoint).__name__}, not a checkpoint")
    return checkpoint


def load_weights(model: nn.Module, checkpoint: dict[str, Any], source: str | Path) -> None:
    """Load a checkpoint's weights and buffers; every name and shape has to fit.

    Args:
        model: changed only when everything fits.
        checkpoint: from :func:`read_checkpoint`; its ``state_dict``, or the whole if it has none.
        source: named in errors.

    Raises:
        ValueError: names what is missing, unexpected, or of another shape.
    """
    state = dict(checkpoint.get("state_dict", checkpoint))
    expected = model.state_dict()
    missing = [k for k in expected if k not in state and not k.endswith(NEW_BUFFERS)]
    unexpected = [k for k in state if k not in expected]
    reshaped = [
        f"{k} {tuple(state[k].shape)} instead of {tuple(expected[k].shape)}"
        for k in expected
        if k in state and state[k].shape != expected[k].shape
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
