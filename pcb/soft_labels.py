"""Fightback soft labels: the targets with which PCB counters confusion between pairs of classes.

Source: He et al., "Relieving Long-tailed Instance Segmentation via Pairwise Class Balance",
CVPR 2022.
"""

import torch
from torch import Tensor


def fightback_soft_labels(confusion: Tensor, normalize_columns: bool = True) -> Tensor:
    """Turn the columns of a confusion matrix into one soft label per class.

    The soft label of class ``y`` gives probability to the classes that are mistaken *for* ``y``:
    ``q_y[j] = confusion[j, y] / sum_i confusion[i, y]``. Training towards it weakens exactly those
    confusions.

    Args:
        confusion: (C, C), non-negative; ``confusion[i, j]``: true class i predicted as class j.
        normalize_columns: whether each label sums to 1; False for sigmoid losses (EQL v2), where
            ``q_y[j] = confusion[j, y]``.

    Returns:
        (C, C); row ``y`` is the soft label of class ``y``. If column ``y`` is zero, or so small
        that dividing by its sum would lose the proportions, the label stays one-hot.

    Example:
        >>> confusion = torch.tensor([[0.5, 0.5], [0.0, 1.0]])  # half of class 0 predicted as 1
        >>> fightback_soft_labels(confusion)  # so the label of class 1 gives a third to class 0
        tensor([[1.0000, 0.0000],
                [0.3333, 0.6667]])
    """
    mistaken_for = confusion.t()
    totals = mistaken_for.sum(dim=1, keepdim=True)
    smallest = torch.finfo(confusion.dtype).tiny
    labels = mistaken_for / totals.clamp(min=smallest) if normalize_columns else mistaken_for
    one_hot = torch.eye(len(confusion), dtype=confusion.dtype, device=confusion.device)
    return torch.where(totals >= smallest, labels, one_hot)
