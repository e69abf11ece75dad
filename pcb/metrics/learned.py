"""What a learned matrix says: soft labels, and how much of its start is left."""

from collections.abc import Mapping

import numpy as np


def soft_labels(learned: Mapping[str, np.ndarray]) -> np.ndarray:
    """The soft label of every class, as the loss that learned the matrix makes them.

    Columns of the matrix, for softmax losses divided by their sum; EQL v2 takes them as they are.

    Args:
        learned: from :meth:`RunView.learned_confusion`; a run saved before it said whether columns
            are normalised is one with softmax.

    Returns:
        (C, C), row y is the soft label of class y.

    >>> soft_labels({"learned": np.array([[0.25, 0.25], [0.0, 0.5]]), "normalize_columns": False})
    array([[0.25, 0.  ],
           [0.25, 0.5 ]])
    """
    import torch

    from pcb import fightback_soft_labels

    normalize_columns = bool(learned.get("normalize_columns", True))
    return fightback_soft_labels(torch.from_numpy(learned["learned"]), normalize_columns).numpy()


def start_weights(learned: Mapping[str, np.ndarray]) -> np.ndarray:
    """How much of each row of a learned matrix is still what it started with.

    Where rows are normalised that is the class's first update, which became the whole row; its
    weight is ``m ** (n - 1)`` after n updates. Else (EQL v2) it is the zeros before any update,
    with ``m ** n``: the row is smaller by that share than what it averages.

    Args:
        learned: from :meth:`RunView.learned_confusion`, with ``update_count``.

    Returns:
        (C,) in [0, 1]; nan for classes that were never seen.

    >>> learned = {"update_count": np.array([3, 0]), "momentum": np.array(0.5)}
    >>> start_weights(learned), start_weights({**learned, "normalize_rows": False})
    (array([0.25,  nan]), array([0.125,   nan]))
    """
    count = learned["update_count"]
    powers = count - 1 if learned.get("normalize_rows", True) else count
    return np.where(count > 0, learned["momentum"] ** np.maximum(powers, 0.0), np.nan)
