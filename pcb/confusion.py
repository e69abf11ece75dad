"""The running confusion matrix of PCB as pure functions.

Everywhere ``confusion[i, j]`` says how strongly instances of true class ``i`` are predicted as
class ``j``. Background takes no part: the matrix is ``(C, C)`` for ``C`` foreground classes.

Source: He et al., "Relieving Long-tailed Instance Segmentation via Pairwise Class Balance",
CVPR 2022.
"""

import torch
from torch import Tensor

ACTIVATIONS = {"softmax": lambda logits: logits.softmax(dim=1), "sigmoid": torch.sigmoid}


def at_least_float32(tensor: Tensor) -> Tensor:
    """Half precision becomes float32, wider types stay as they are.

    Example:
        >>> at_least_float32(torch.zeros(1, dtype=torch.float16)).dtype
        torch.float32
        >>> at_least_float32(torch.zeros(1, dtype=torch.float64)).dtype
        torch.float64
    """
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


@torch.no_grad()
def batch_confusion(
    logits: Tensor, labels: Tensor, activation: str = "softmax"
) -> tuple[Tensor, Tensor]:
    """Predicted probabilities summed by true class, and the number of instances of each class.

    Sums, not means, so that they can be added over processes before they are divided.

    Args:
        logits: (P, C) foreground logits of P instances; P may be 0.
        labels: (P,) true classes in [0, C - 1].
        activation: ``"softmax"`` over the classes, or ``"sigmoid"`` per class.

    Returns:
        ``sums`` (C, C) with ``sums[i]`` the summed prediction of class ``i``'s instances, and
        ``counts`` (C,), both in the precision of the logits (at least float32), without gradient.

    Example:
        >>> sums, counts = batch_confusion(torch.zeros(3, 2), torch.tensor([0, 0, 1]))
        >>> sums.tolist(), counts.tolist()
        ([[1.0, 1.0], [0.5, 0.5]], [2.0, 1.0])
    """
    probabilities = ACTIVATIONS[activation](at_least_float32(logits))
    num_classes = logits.shape[1]
    sums = probabilities.new_zeros(num_classes, num_classes).index_add_(0, labels, probabilities)
    counts = torch.bincount(labels, minlength=num_classes).to(probabilities.dtype)
    return sums, counts


@torch.no_grad()
def update_confusion(
    confusion: Tensor,
    sums: Tensor,
    counts: Tensor,
    momentum: float = 0.99,
    normalize_rows: bool = True,
) -> Tensor:
    """Exponential moving average of the rows of the classes that occurred; others stay.

    ``confusion[i] <- m * confusion[i] + (1 - m) * sums[i] / counts[i]`` where ``counts[i] > 0``.

    With ``normalize_rows`` these rows are then scaled to sum to 1. A row starts at zero, so its
    first update becomes the whole row, and still weighs ``m ** (updates - 1)`` later on.

    Args:
        confusion: (C, C) running matrix. Not modified.
        sums: (C, C) from :func:`batch_confusion`, summed over processes.
        counts: (C,) from :func:`batch_confusion`, summed over processes.
        momentum: weight m of the past, in [0, 1).
        normalize_rows: True for softmax predictions, False for sigmoid ones (EQL v2).

    Returns:
        The updated (C, C) matrix.

    Example:
        >>> sums, counts = batch_confusion(torch.zeros(1, 2), torch.tensor([1]))
        >>> update_confusion(torch.zeros(2, 2), sums, counts).tolist()
        [[0.0, 0.0], [0.5, 0.5]]
    """
    sums, counts = sums.to(confusion.dtype), counts.to(confusion.dtype)
    batch_mean = sums / counts.clamp(min=1).unsqueeze(1)
    updated = momentum * confusion + (1 - momentum) * batch_mean
    if normalize_rows:
        # A class that occurred has a positive row sum: each prediction of it sums to 1.
        updated = updated / updated.sum(dim=1, keepdim=True).clamp(
            min=torch.finfo(updated.dtype).tiny
        )
    return torch.where(counts.unsqueeze(1) > 0, updated, confusion)
