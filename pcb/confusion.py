"""A running confusion matrix of a classifier, updated with every training batch.

``confusion[i, j]`` is the mean probability that the classifier gives to class ``j`` for instances
of true class ``i``. The matrix covers the ``C`` foreground classes, without background.

Source: He et al., "Relieving Long-tailed Instance Segmentation via Pairwise Class Balance",
CVPR 2022.
"""

from typing import NamedTuple

import torch
from torch import Tensor

ACTIVATIONS = {"softmax": lambda logits: logits.softmax(dim=1), "sigmoid": torch.sigmoid}

PUBLISHED_MOMENTUM = 0.99


def at_least_float32(tensor: Tensor) -> Tensor:
    """Convert a half-precision tensor to float32; return any other tensor unchanged.

    Example:
        >>> at_least_float32(torch.zeros(1, dtype=torch.float16)).dtype
        torch.float32
        >>> at_least_float32(torch.zeros(1, dtype=torch.float64)).dtype
        torch.float64
    """
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


class Occurring(NamedTuple):
    """The classes that occur among the labels of a batch.

    Attributes:
        classes: (U,) the classes, each once, in ascending order.
        rows: (P,) for each of the P labels, the position of its class in ``classes``.
    """

    classes: Tensor
    rows: Tensor


def occurring_classes(labels: Tensor) -> Occurring:
    """Return the classes that occur among labels (P,).

    Example:
        >>> occurring_classes(torch.tensor([7, 3, 7]))
        Occurring(classes=tensor([3, 7]), rows=tensor([1, 0, 1]))
    """
    return Occurring(*labels.unique(return_inverse=True))


@torch.no_grad()
def batch_confusion(
    logits: Tensor, labels: Tensor, activation: str = "softmax", num_rows: int | None = None
) -> tuple[Tensor, Tensor]:
    """For each true class in a batch, sum the predicted probabilities and count the instances.

    The function returns sums instead of means, because sums can be added over several processes.

    Args:
        logits: (P, C) foreground logits of P instances; P may be 0. Instances whose logits contain
            NaN or infinity are left out, because a NaN would stay in a running matrix forever.
        labels: (P,) true classes in [0, C - 1], or positions in a list of R classes.
        activation: ``"softmax"`` over the classes, or ``"sigmoid"`` for each class separately.
        num_rows: R, the number of rows of the result; default: C.

    Returns:
        ``sums`` (R, C) and ``counts`` (R,). ``sums[i]`` is the sum of the probabilities of all
        instances of class ``i``. ``counts[i]`` is the number of these instances. The tensors have
        no gradient. Their dtype is that of the logits, but at least float32.

    Example:
        >>> sums, counts = batch_confusion(torch.zeros(3, 2), torch.tensor([0, 0, 1]))
        >>> sums.tolist(), counts.tolist()
        ([[1.0, 1.0], [0.5, 0.5]], [2.0, 1.0])
    """
    logits = at_least_float32(logits)
    num_classes = logits.shape[1]
    num_rows = num_classes if num_rows is None else num_rows
    finite = (logits - logits).sum(dim=1) == 0  # NaN otherwise; faster than `isfinite`
    rows = torch.where(finite, labels, num_rows)  # an additional row collects the others
    probabilities = ACTIVATIONS[activation](logits)
    sums = logits.new_zeros(num_rows + 1, num_classes).index_add_(0, rows, probabilities)
    counts = logits.new_zeros(num_rows + 1).index_add_(0, rows, torch.ones_like(logits[:, 0]))
    return sums[:-1], counts[:-1]


@torch.no_grad()
def update_confusion(
    confusion: Tensor,
    sums: Tensor,
    counts: Tensor,
    momentum: float = PUBLISHED_MOMENTUM,
    normalize_rows: bool = True,
) -> Tensor:
    """Move the running confusion matrix towards the mean predictions of a batch.

    For every class ``i`` that occurs in the batch (``counts[i] > 0``),
    ``confusion[i] <- m * confusion[i] + (1 - m) * sums[i] / counts[i]``. The other rows do not
    change.

    With ``normalize_rows``, each updated row is then scaled to sum to 1.

    Args:
        confusion: (R, C) running matrix, or some of its rows; not modified in place.
        sums: (R, C) sums from :func:`batch_confusion`, summed over all processes.
        counts: (R,) counts from :func:`batch_confusion`, summed over all processes.
        momentum: Weight m of the previous row, in [0, 1).
        normalize_rows: Whether updated rows are scaled to sum to 1. Pass True for softmax
            predictions and False for sigmoid predictions (EQL v2).

    Returns:
        The updated rows (R, C).

    Example:
        >>> sums, counts = batch_confusion(torch.zeros(1, 2), torch.tensor([1]))
        >>> update_confusion(torch.zeros(2, 2), sums, counts).tolist()
        [[0.0, 0.0], [0.5, 0.5]]
    """
    sums, counts = sums.to(confusion.dtype), counts.to(confusion.dtype)
    batch_mean = sums / counts.clamp(min=1).unsqueeze(1)
    updated = momentum * confusion + (1 - momentum) * batch_mean
    if normalize_rows:
        # The clamp only affects classes without instances, whose rows are discarded below.
        updated = updated / updated.sum(dim=1, keepdim=True).clamp(
            min=torch.finfo(updated.dtype).tiny
        )
    return torch.where(counts.unsqueeze(1) > 0, updated, confusion)


def scaled_momentum(calls: float, first_update_weight: float = 0.1) -> float:
    """Return the momentum of the running confusion matrix for a short training schedule.

    In a short schedule, the published momentum of 0.99 gives too much weight to the predictions of
    the untrained classifier. With momentum m, the first update of a row has the weight
    ``m ** (calls - 1)`` after ``calls`` updates. The returned momentum limits this weight to
    ``first_update_weight``.

    Args:
        calls: Expected number of updates of a row before PCB becomes active; more than 1.
        first_update_weight: Largest weight of the first update, in (0, 1).

    Returns:
        The momentum, at most 0.99.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> round(scaled_momentum(calls=24), 3), scaled_momentum(calls=10_000)
        (0.905, 0.99)
    """
    if calls <= 1:
        raise ValueError(
            "expected more than 1 update of each row of the confusion matrix before PCB starts, "
            f"got {calls}: let PCB start in a later epoch"
        )
    if not 0 < first_update_weight < 1:
        raise ValueError(f"first_update_weight must lie in (0, 1), got {first_update_weight}")
    return min(PUBLISHED_MOMENTUM, first_update_weight ** (1 / (calls - 1)))
