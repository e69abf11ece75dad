"""Fightback soft labels: targets that reduce the confusion between pairs of classes.

Source: He et al., "Relieving Long-tailed Instance Segmentation via Pairwise Class Balance",
CVPR 2022.
"""

import torch
from torch import Tensor


def fightback_soft_labels(confusion: Tensor, normalize_columns: bool = True) -> Tensor:
    """Turn the columns of a confusion matrix into one soft label per class.

    The soft label of class ``y`` assigns probability to the classes that are mistaken *for* ``y``:
    ``q_y[j] = confusion[j, y] / sum_i confusion[i, y]``. Training with this label as the target
    reduces exactly these confusions.

    Args:
        confusion: (C, C) non-negative matrix; rows are true classes, columns are predictions.
        normalize_columns: Whether to divide each column by its sum, so that each label sums to 1.
            Pass False for sigmoid losses (EQL v2); then ``q_y[j] = confusion[j, y]``.

    Returns:
        The soft labels (C, C); row ``y`` is the soft label of class ``y``. This row is one-hot if
        all entries in column ``y`` of the matrix are zero or too small for an accurate division.

    Example:
        >>> confusion = torch.tensor([[0.5, 0.5], [0.0, 1.0]])  # half of class 0 is predicted as 1
        >>> fightback_soft_labels(confusion)  # the soft label of class 1: one third is class 0
        tensor([[1.0000, 0.0000],
                [0.3333, 0.6667]])
    """
    mistaken_for = confusion.t()
    totals = mistaken_for.sum(dim=1, keepdim=True)
    smallest = torch.finfo(confusion.dtype).tiny
    labels = mistaken_for / totals.clamp(min=smallest) if normalize_columns else mistaken_for
    one_hot = torch.eye(len(confusion), dtype=confusion.dtype, device=confusion.device)
    return torch.where(totals >= smallest, labels, one_hot)
