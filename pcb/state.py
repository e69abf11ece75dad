"""Modules that remember what they have seen, in buffers of a precision of their own."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


class Remembering(nn.Module):
    """Base of modules whose buffers are a memory: counts, sums and running means.

    Such buffers need their precision: in bfloat16 a count stops at 256, and a mean of momentum 0.99
    does not move at all. ``module.to(device)`` and ``module.double()`` act as everywhere. A
    narrower dtype (``model.half()``, ``model.to(torch.bfloat16)``) changes the weights of a model,
    but not the memory in it.

    Example:
        >>> class Counter(Remembering):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.register_buffer("count", torch.zeros(1))
        >>> nn.Sequential(Counter()).half()[0].count.dtype
        torch.float32
    """

    def reset_state(self) -> None:
        """Forget everything: the state of a new module."""
        for buffer in self.buffers(recurse=False):
            buffer.zero_()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        """Every conversion of a module comes through here."""
        was_meta = self._is_meta()
        super()._apply(partial(_without_narrowing, fn), recurse)
        if was_meta and not self._is_meta():  # to_empty: buffers of arbitrary content
            self.reset_state()
        return self

    def _is_meta(self) -> bool:
        return any(buffer.is_meta for buffer in self.buffers(recurse=False))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Widen what a checkpoint holds in half precision; it would stay so with ``assign=True``.

        The last of the arguments is the list of errors.
        """
        for name, buffer in self.named_buffers(recurse=False):
            loaded = state_dict.get(prefix + name)
            if not isinstance(loaded, Tensor) or not _is_wider(buffer.dtype, loaded.dtype):
                continue
            state_dict[prefix + name] = loaded.to(buffer.dtype)
            if not loaded.is_meta and not loaded.isfinite().all():
                args[-1].append(
                    f"{prefix + name} has overflowed in {loaded.dtype}: load a checkpoint that was "
                    f"saved in {buffer.dtype}, or leave this buffer out"
                )
        super()._load_from_state_dict(state_dict, prefix, *args)


def _is_wider(dtype: torch.dtype, other: torch.dtype) -> bool:
    both_float = dtype.is_floating_point and other.is_floating_point
    return both_float and torch.finfo(dtype).bits > torch.finfo(other).bits


def _without_narrowing(fn: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
    """``fn(tensor)`` with its device, and with its dtype if that is wider."""
    moved = fn(tensor)
    if moved.dtype == tensor.dtype or _is_wider(moved.dtype, tensor.dtype):
        return moved
    return tensor.to(moved.device)
