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
