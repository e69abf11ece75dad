"""Base class for modules that accumulate statistics of their inputs in buffers."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


class StatefulModule(nn.Module):
    """Base class for modules whose buffers hold counts, sums and moving averages.

    Such buffers must keep their precision: in bfloat16, a count would stop at 256, and an average
    with momentum 0.99 would never change. Conversion to a narrower dtype (``model.half()``,
    ``model.to(torch.bfloat16)``) therefore leaves these buffers unchanged and converts only the
    other tensors of the model. ``module.to(device)`` and ``module.double()`` work as usual.

    Example:
        >>> class Counter(StatefulModule):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.register_buffer("count", torch.zeros(1))
        >>> nn.Sequential(Counter()).half()[0].count.dtype
        torch.float32
    """

    def reset_state(self) -> None:
        """Reset all buffers to their initial values."""
        for buffer in self.buffers(recurse=False):
            buffer.zero_()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        """Move the module to a device or convert its dtype, but never to a narrower dtype."""
        was_meta = self._is_meta()
        super()._apply(partial(_without_narrowing, fn), recurse)
        if was_meta and not self._is_meta():  # after `to_empty`, buffers hold arbitrary values
            self.reset_state()
        return self

    def _is_meta(self) -> bool:
        return any(buffer.is_meta for buffer in self.buffers(recurse=False))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load the buffers, and convert any half-precision buffer to the module's dtype.

        A half-precision buffer that contains infinity or NaN is reported as an error.
        """
        # Without the conversion, `load_state_dict(..., assign=True)` would change the dtype.
        for name, buffer in self.named_buffers(recurse=False):
            loaded = state_dict.get(prefix + name)
            if not isinstance(loaded, Tensor) or not _is_wider(buffer.dtype, loaded.dtype):
                continue
            state_dict[prefix + name] = loaded.to(buffer.dtype)
            if not loaded.is_meta and not loaded.isfinite().all():
                args[-1].append(
                    f"the buffer {prefix + name} overflowed when it was saved in {loaded.dtype}: "
                    f"load a checkpoint saved in {buffer.dtype}, or remove the buffer from the "
                    "checkpoint"
                )
        super()._load_from_state_dict(state_dict, prefix, *args)


def _is_wider(dtype: torch.dtype, other: torch.dtype) -> bool:
    both_float = dtype.is_floating_point and other.is_floating_point
    return both_float and torch.finfo(dtype).bits > torch.finfo(other).bits


def _without_narrowing(fn: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
    """Return ``fn(tensor)``, but keep the tensor's dtype if the new dtype would be narrower."""
    converted = fn(tensor)
    if converted.dtype == tensor.dtype or _is_wider(converted.dtype, tensor.dtype):
        return converted
    return tensor.to(converted.device)


def has_version(tensor: Tensor) -> bool:
    """Return whether PyTorch counts the changes of a tensor, as it does outside compiled code."""
    return not torch.compiler.is_compiling() and not tensor.is_inference()


class HostValue:
    """A Python value that is computed from a buffer, and again only after the buffer has changed.

    Reading a tensor waits for the GPU, so a value that every training step needs is remembered.

    Example:
        >>> epoch, value = torch.ones(1), HostValue()
        >>> value.read(epoch, int), value.read(epoch.fill_(2), int)
        (1, 2)
    """

    def __init__(self) -> None:
        self._buffer: Any = None
        self._version = 0
        self._value: Any = None

    def __reduce__(self) -> tuple:
        return HostValue, ()  # a copied module has other buffers

    def read(self, buffer: Tensor, compute: Callable[[Tensor], Any]) -> Any:
        """Return ``compute(buffer)``."""
        if not has_version(buffer):
            return compute(buffer)
        if not self._is_current(buffer):
            self.remember(buffer, compute(buffer))
        return self._value

    def remember(self, buffer: Tensor, value: Any) -> None:
        """Set the value that belongs to the present contents of a buffer."""
        if has_version(buffer):
            self._buffer, self._version, self._value = buffer, buffer._version, value

    def knows(self, buffer: Tensor, value: Any) -> bool:
        """Return whether ``value`` is known to belong to the present contents of a buffer."""
        return has_version(buffer) and self._is_current(buffer) and self._value == value

    def _is_current(self, buffer: Tensor) -> bool:
        return self._buffer is buffer and self._version == buffer._version
