"""Fightback soft labels: what PCB trains an instance towards instead of its one-hot label."""

import torch
from torch import Tensor


def fightback_soft_labels(confusion: Tensor, normalize_columns: bool = True) -> Tensor:
    """The soft label of every class: the columns of the confusion matrix.

    The classes that get mistaken *for* ``y`` receive probability in the label of ``y``, so that
    training fights back exactly the pairs that are confused:
    ``q_y[j] = confusion[j, y] / sum_i confusion[i, y]`` (He et al., CVPR 2022).

    Args:
        confusion: (C, C) non-negative, ``confusion[i, j]``: true i, predicted j.
        normalize_columns: make every label sum to 1; False for sigmoid losses (EQL v2).

    Returns:
        (C, C), row ``y`` is the soft label of class ``y``. A class that nothing was ever taken
        for (a column of zeros, or of what rounding left) keeps its one-hot label.

    Example:
        >>> confusion = torch.tensor([[0.5, 0.5], [0.0, 1.0]])  # half of class 0 taken for 1
        >>> fightback_soft_labels(confusion)  # so class 1's label gives a third to class 0
        tensor([[1.0000, 0.0000],
                [0.3333, 0.6667]])
    """
    mistaken_for = confusion.t()
    totals = mistaken_for.sum(dim=1, keepdim=True)
    smallest = torch.finfo(confusion.dtype).tiny  # below it, division loses the proportions
    labels = mistaken_for / totals.clamp(min=smallest)
    if not normalize_columns:
        labels = mistaken_for
    one_hot = torch.eye(len(confusion), dtype=confusion.dtype, device=confusion.device)
    return torch.where(totals >= smallest, labels, one_hot)
