"""Fightback soft labels and their strength: targets that reduce confusion of pairs of classes.

Source: He et al., "Relieving Long-tailed Instance Segmentation via Pairwise Class Balance",
CVPR 2022.
"""

import torch
from torch import Tensor


def fightback_soft_labels(
    confusion: Tensor, normalize_columns: bool = True, classes: Tensor | None = None
) -> Tensor:
    """Turn the columns of a confusion matrix into one soft label per class.

    The soft label of class ``y`` assigns probability to the classes that are mistaken *for* ``y``:
    ``q_y[j] = confusion[j, y] / sum_i confusion[i, y]``. Training with this label as the target
    reduces exactly these confusions.

    Args:
        confusion: (C, C) non-negative matrix; rows are true classes, columns are predictions.
        normalize_columns: Whether to divide each column by its sum, so that each label sums to 1.
            Pass False for sigmoid losses (EQL v2); then ``q_y[j] = confusion[j, y]``.
        classes: (U,) the classes whose soft labels are returned; default: all C classes.

    Returns:
        The soft labels (U, C), one row for each class. The soft label of class ``y`` is one-hot if
        all entries in column ``y`` of the matrix are zero or too small for an accurate division.

    Example:
        >>> confusion = torch.tensor([[0.5, 0.5], [0.0, 1.0]])  # half of class 0 is predicted as 1
        >>> fightback_soft_labels(confusion)  # the soft label of class 1: one third is class 0
        tensor([[1.0000, 0.0000],
                [0.3333, 0.6667]])
    """
    if classes is None:
        classes = torch.arange(len(confusion), device=confusion.device)
    mistaken_for = confusion.index_select(1, classes).t()
    totals = mistaken_for.sum(dim=1, keepdim=True)
    smallest = torch.finfo(confusion.dtype).tiny
    labels = mistaken_for / totals.clamp(min=smallest) if normalize_columns else mistaken_for
    one_hot = torch.zeros_like(labels).scatter_(1, classes.unsqueeze(1), 1.0)
    return torch.where(totals >= smallest, labels, one_hot)


def strength(alpha: float, iteration: int, num_iterations: int) -> float:
    """Return the strength of the soft labels in one refinement iteration: ``alpha * k / (K - 1)``.

    The strength grows linearly from 0 in the first iteration to ``alpha`` in the last iteration. If
    K = 1, the strength is ``alpha``.

    Args:
        alpha: Strength in the last iteration, in [0, 1].
        iteration: Refinement iteration k, in [0, num_iterations - 1].
        num_iterations: Number of refinement iterations K, at least 1.

    Raises:
        ValueError: If ``iteration`` is out of range.

    Example:
        >>> [strength(0.4, k, 3) for k in range(3)], strength(0.4, 0, 1)
        ([0.0, 0.2, 0.4], 0.4)
    """
    if not 0 <= iteration < num_iterations:
        raise ValueError(f"`iteration` must lie in [0, {num_iterations - 1}], got {iteration}")
    return alpha if num_iterations == 1 else alpha * iteration / (num_iterations - 1)
