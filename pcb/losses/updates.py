"""Update the state of a loss exactly once for each training batch.

With gradient checkpointing, both the forward pass and the backward pass call the loss:

- With ``use_reentrant=False``, only the call in the forward pass updates the state. The call in the
  backward pass can return a different loss, because the state has changed. The gradients are still
  correct, unless the checkpointed function transforms the loss further, for example by squaring it.
- With ``use_reentrant=True``, the state is updated at the end of the backward pass, because
  gradients are disabled in the forward pass.
"""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor, nn
from torch.autograd import Variable
from torch.autograd.graph import saved_tensors_hooks


class _Call:
    """A call of a loss during training.

    Args:
        task: PyTorch's id of the backward pass in which the loss was called; -1 if no backward pass
            was running.
    """

    def __init__(self, task: int) -> None:
        self.task = task


_NO_BACKWARD_PASS = -1

# Stored outside the modules so that modules can be copied and pickled. The autograd graph of a call
# keeps its record alive.
_CALLS: WeakKeyDictionary[nn.Module, WeakSet[_Call]] = WeakKeyDictionary()


def is_trained_on(logits: Tensor) -> bool:
    """Return whether gradients are enabled and the logits require gradients.

    Example:
        >>> logits = torch.zeros(2, requires_grad=True)
        >>> is_trained_on(logits), is_trained_on(logits.detach())
        (True, False)
        >>> with torch.no_grad():
        ...     is_trained_on(logits)
        False
    """
    return torch.is_grad_enabled() and logits.requires_grad


def update_once(loss: nn.Module, update: Callable[..., None], *args: Any) -> None:
    """Update the state of a loss once, even if gradient checkpointing computes the loss twice.

    If this function is called during a backward pass, the update happens when that pass ends.

    Args:
        loss: A loss whose ``forward`` is decorated with :func:`updates_once`.
        update: Function that updates the state of the loss.
        args: Arguments for ``update``.
    """
    if torch.compiler.is_compiling() or (task := _backward_pass()) == _NO_BACKWARD_PASS:
        update(*args)
    # Skip the update if an earlier call in the forward pass has already made it.
    elif all(earlier.task == task for earlier in _CALLS.get(loss, ())):
        # This method is private, but there is no other way to run code at the end of a backward
        # pass. PyTorch's own DistributedDataParallel and FSDP depend on it.
        Variable._execution_engine.queue_callback(partial(update, *args))


def updates_once(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a loss's ``forward`` method; the method may then call :func:`update_once`.

    The tensors that the loss saves for the backward pass stay in memory, even with gradient
    checkpointing. If the tensors were recomputed, they would be wrong, because the state of the
    loss has changed since the forward pass.

    Args:
        forward: Method that takes the logits as its first argument and returns a tensor or a dict
            of tensors.

    Returns:
        A method with the same arguments and results.
    """

    @wraps(forward)
    def wrapper(self: nn.Module, logits: Tensor, *args: Any, **kwargs: Any) -> Any:
        has_state = next(self.buffers(), None) is not None  # cross-entropy without PCB has no state
        updates = has_state and self.training and is_trained_on(logits)
        if not updates or torch.compiler.is_compiling():
            return forward(self, logits, *args, **kwargs)
        with saved_tensors_hooks(_pack, _unpack):
            losses = forward(self, logits, *args, **kwargs)
        this = _Call(_backward_pass())
        for value in losses.values() if isinstance(losses, dict) else (losses,):
            if value.grad_fn is not None:
                value.grad_fn.metadata["pcb"] = this
        _CALLS.setdefault(self, WeakSet()).add(this)
        return losses

    return wrapper


def _backward_pass() -> int:
    """Return PyTorch's id of the current backward pass; -1 if no backward pass is running."""
    # This function is private, but there is no public way to tell backward passes apart. PyTorch's
    # own checkpointing uses it, too.
    return torch._C._current_graph_task_id()


def _pack(tensor: Tensor) -> tuple[Tensor, int]:
    # Detach the tensor, because a graph node that refers to its own output is never freed.
    return tensor.detach(), tensor._version


def _unpack(packed: tuple[Tensor, int]) -> Tensor:
    """Return a tensor that was saved for the backward pass.

    Raises:
        RuntimeError: The tensor was changed in place after it was saved.
    """
    tensor, version = packed
    if tensor._version != version:
        raise RuntimeError(
            "a tensor that the loss needs for its gradient, such as the logits, was modified in "
            "place before the backward pass: modify a copy of the tensor instead"
        )
    return tensor
