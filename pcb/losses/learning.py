"""When a loss with a memory learns from a batch: once for every batch that is trained on.

A loss is called for other reasons, too: to validate, or again in the backward pass, by gradient
checkpointing. Four cases:

- **Training**: gradients are enabled, and the logits require them. State changes at once.
- **Validation**: one of the two is missing, as under ``torch.no_grad()``. State stays.
- **Recomputation** in the backward pass of a loss that has learned (``torch.utils.checkpoint`` with
  ``use_reentrant=False``). State stays, and the gradient is that of the value returned at first.
  (The recomputed value itself is of the present state. It matters only to a checkpointed function
  that goes on to square the loss or the like.)
- **First gradients** in a backward pass (``use_reentrant=True``): the loss was computed without
  gradients before, as in validation, and learned nothing. State changes at the end of the backward
  pass, so that every gradient of the pass belongs to the value that was returned. (Where the same
  loss was also called outside of such a checkpoint, and that graph still lives, it has learned
  from that call alone.)
"""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor, nn
from torch.autograd import Variable
from torch.autograd.graph import saved_tensors_hooks


class _Pass:
    """A call in which a loss has learned; lives as long as the graph of what it returned.

    Args:
        task: the backward pass that it belongs to, see :func:`_backward_pass`.
    """

    def __init__(self, task: int) -> None:
        self.task = task


_NONE = -1  # no backward pass

# Outside of the modules, which stay copyable and picklable.
_PASSES: WeakKeyDictionary[nn.Module, WeakSet[_Pass]] = WeakKeyDictionary()


def is_trained_on(logits: Tensor) -> bool:
    """Whether a backward pass through these logits may follow.

    Example:
        >>> logits = torch.zeros(2, requires_grad=True)
        >>> is_trained_on(logits), is_trained_on(logits.detach())
        (True, False)
        >>> with torch.no_grad():
        ...     is_trained_on(logits)
        False
    """
    return torch.is_grad_enabled() and logits.requires_grad


def learn(loss: nn.Module, change: Callable[..., None], *args: Any) -> None:
    """Let a loss that is trained on change its state, now, later, or not again.

    Args:
        loss: its ``forward`` is decorated with :func:`learns_once`.
        change: changes the state of the loss.
        args: its arguments.
    """
    if torch.compiler.is_compiling() or (task := _backward_pass()) == _NONE:
        change(*args)
    elif all(earlier.task == task for earlier in _PASSES.get(loss, ())):
        Variable._execution_engine.queue_callback(partial(change, *args))


def learns_once(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate the ``forward`` of a loss that calls :func:`learn`.

    What the loss saves for its backward pass is kept from gradient checkpointing, which would
    recompute it from a state that has moved on. That costs the memory of a few times the logits.

    Args:
        forward: takes the logits first; returns a tensor, or several by name.
    """

    @wraps(forward)
    def wrapper(self: nn.Module, logits: Tensor, *args: Any, **kwargs: Any) -> Any:
        has_memory = next(self.buffers(), None) is not None  # plain cross-entropy has none
        learns = has_memory and self.training and is_trained_on(logits)
        if not learns or torch.compiler.is_compiling():
            return forward(self, logits, *args, **kwargs)
        with saved_tensors_hooks(_pack, _unpack):
            losses = forward(self, logits, *args, **kwargs)
        this = _Pass(_backward_pass())
        for value in losses.values() if isinstance(losses, dict) else (losses,):
            if value.grad_fn is not None:
                value.grad_fn.metadata["pcb"] = this
        _PASSES.setdefault(self, WeakSet()).add(this)
        return losses

    return wrapper


def _backward_pass() -> int:
    """Number of the backward pass that autograd is in, or _NONE; PyTorch's own wrappers ask so."""
    return torch._C._current_graph_task_id()


def _pack(tensor: Tensor) -> tuple[Tensor, int]:
    # Detached: a node that held its own output would never be freed.
    return tensor.detach(), tensor._version


def _unpack(packed: tuple[Tensor, int]) -> Tensor:
    """What was packed; autograd itself cannot check it where there are hooks."""
    tensor, version = packed
    if tensor._version != version:
        raise RuntimeError(
            "a tensor that the loss needs for its gradient, such as the logits, was modified in "
            "place before the backward pass: modify a copy"
        )
    return tensor
