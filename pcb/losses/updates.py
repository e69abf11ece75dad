"""When a loss updates its state: once for every batch that is trained on.

A loss is also called for other reasons: for validation, or a second time during the backward pass
because of gradient checkpointing. There are four cases:

- **Training**: gradients are enabled, and the logits require them. The state is updated at once.
- **Validation**: gradients are disabled, as under ``torch.no_grad()``, or the logits do not require
  them. The state stays.
- **Recomputation** during the backward pass, after a forward pass that updated the state
  (``torch.utils.checkpoint`` with ``use_reentrant=False``). The state stays, and the gradient is
  that of the value returned in the forward pass. (The recomputed value itself uses the current
  state. This matters only if the checkpointed function transforms the loss further, for example
  squares it.)
- **First call with gradients** during the backward pass (``use_reentrant=True``): the forward pass
  ran without gradients and updated nothing, as in validation. The state is updated at the end of
  the backward pass, so that all its gradients belong to the value that was returned. (If the same
  loss was also called outside of such a checkpoint, and the graph of that call is alive, only that
  call updates the state.)
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
    """A call that updated the state; it lives as long as the graph of the returned loss.

    Args:
        task: the backward pass during which the call happened, see :func:`_backward_pass`.
    """

    def __init__(self, task: int) -> None:
        self.task = task


_NO_BACKWARD_PASS = -1

# Kept outside of the modules, so that modules can be copied and pickled.
_CALLS: WeakKeyDictionary[nn.Module, WeakSet[_Call]] = WeakKeyDictionary()


def is_trained_on(logits: Tensor) -> bool:
    """Return whether a backward pass through these logits may follow.

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
    """Update the state of a loss for the current batch: now, after the backward pass, or not again.

    Args:
        loss: a loss whose ``forward`` is decorated with :func:`updates_once`.
        update: function that updates the state of the loss.
        args: its arguments.
    """
    if torch.compiler.is_compiling() or (task := _backward_pass()) == _NO_BACKWARD_PASS:
        update(*args)
    elif all(earlier.task == task for earlier in _CALLS.get(loss, ())):
        # Private, but the only way to run code at the end of a backward pass; PyTorch's own
        # DistributedDataParallel and FSDP depend on it.
        Variable._execution_engine.queue_callback(partial(update, *args))


def updates_once(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate the ``forward`` of a loss that calls :func:`update_once`.

    The decorator hides the tensors that the loss saves for its backward pass from gradient
    checkpointing, which would recompute them from a state that has changed since. This costs a few
    times the memory of the logits.

    Args:
        forward: takes the logits as first argument; returns a tensor, or a dict of tensors.

    Returns:
        A function with the same arguments and results.
    """

    @wraps(forward)
    def wrapper(self: nn.Module, logits: Tensor, *args: Any, **kwargs: Any) -> Any:
        has_state = next(self.buffers(), None) is not None  # plain cross-entropy has none
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
    """Return the number of the backward pass that autograd is running, or _NO_BACKWARD_PASS."""
    # Private, but autograd has no public way to tell one backward pass from another; PyTorch's own
    # checkpointing uses this function, too.
    return torch._C._current_graph_task_id()


def _pack(tensor: Tensor) -> tuple[Tensor, int]:
    # Detached, because a node that holds its own output is never freed.
    return tensor.detach(), tensor._version


def _unpack(packed: tuple[Tensor, int]) -> Tensor:
    """Return the packed tensor; with hooks, autograd leaves the check of its version to us."""
    tensor, version = packed
    if tensor._version != version:
        raise RuntimeError(
            "a tensor that the loss needs for its gradient, such as the logits, was modified in "
            "place before the backward pass: modify a copy instead"
        )
    return tensor
