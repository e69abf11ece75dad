"""Soft labels of a learned matrix, and how much of its initial rows is left."""

from collections.abc import Mapping

import numpy as np


def soft_labels(learned: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the soft label of every class, as the loss that learned the matrix computes it.

    Soft labels are the columns of the matrix. Softmax losses divide them by their sum; EQL v2 does
    not.

    Args:
        learned: The result of :meth:`RunView.learned_confusion`. Without ``normalize_columns``, as
            saved by older versions, the loss is a softmax loss.

    Returns:
        (C, C); row y is the soft label of class y.

    Example:
        >>> matrix = np.array([[0.25, 0.25], [0.0, 0.5]])
        >>> soft_labels({"learned": matrix, "normalize_columns": False})
        array([[0.25, 0.  ],
               [0.25, 0.5 ]])
    """
    import torch

    from pcb import fightback_soft_labels

    normalize_columns = bool(learned.get("normalize_columns", True))
    return fightback_soft_labels(torch.from_numpy(learned["learned"]), normalize_columns).numpy()


def start_weights(learned: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the weight of each row's initial value in a learned matrix, with momentum m.

    If rows are normalised, the first update of a class becomes its whole row. Its weight is
    ``m ** (n - 1)`` after n updates. Otherwise (EQL v2) a row starts as zeros, whose weight is
    ``m ** n``: the row is smaller than the average of its updates by that fraction.

    Args:
        learned: The result of :meth:`RunView.learned_confusion`, with ``update_count``.

    Returns:
        (C,) in [0, 1]; NaN for classes that were never seen.

    Example:
        >>> learned = {"update_count": np.array([3, 0]), "momentum": np.array(0.5)}
        >>> start_weights(learned), start_weights({**learned, "normalize_rows": False})
        (array([0.25,  nan]), array([0.125,   nan]))
    """
    count = learned["update_count"]
    powers = count - 1 if learned.get("normalize_rows", True) else count
    return np.where(count > 0, learned["momentum"] ** np.maximum(powers, 0.0), np.nan)
