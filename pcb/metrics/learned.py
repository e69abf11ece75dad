"""A confusion matrix learned during training, and the soft labels computed from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class LearnedConfusion:
    """A confusion matrix learned during training, and the settings needed to interpret it.

    Unknown counts and epochs are None, and unknown floats are NaN.

    Attributes:
        matrix: (C, C), running means of predicted probabilities. Row i belongs to true class i, and
            column j to predicted class j.
        instance_count: (C,), number of instances of each class in all training batches so far.
        update_count: (C,), number of updates of each row; unknown for published checkpoints.
        momentum: Weight of the previous mean in each update of the running mean.
        alpha: Strength of PCB; 0 if training recorded the matrix but did not use PCB.
        start_epoch: First epoch, counted from 1, in which PCB changes the loss.
        normalize_rows: Whether each row is a mean of probabilities that sum to 1 (softmax losses).
        normalize_columns: Whether the loss divides columns by their sums to get soft labels.
        epoch: Epoch, counted from 1, after which the matrix was recorded.

    Example:
        >>> learned = LearnedConfusion(np.array([[0.25, 0.25], [0.0, 0.5]]), alpha=0.4, epoch=24)
        >>> sorted(learned.to_arrays())
        ['alpha', 'epoch', 'learned', 'normalize_columns', 'normalize_rows']
        >>> LearnedConfusion.from_arrays(learned.to_arrays()).alpha
        0.4
    """

    matrix: np.ndarray
    instance_count: np.ndarray | None = None
    update_count: np.ndarray | None = None
    momentum: float = np.nan
    alpha: float = np.nan
    start_epoch: int | None = None
    normalize_rows: bool = True
    normalize_columns: bool = True
    epoch: int | None = None

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> LearnedConfusion:
        """Create an instance from the arrays in the ``confusion.npz`` of a training run.

        Unknown arrays are ignored. Files from older versions of PCB-kit do not contain
        ``normalize_rows`` and ``normalize_columns``; both settings are then True.

        Raises:
            KeyError: The file does not contain a learned matrix.
        """
        settings = {name: np.asarray(arrays[name]).item() for name in _SETTINGS if name in arrays}
        counts = {name: arrays[name] for name in _COUNTS if name in arrays}
        return cls(arrays["learned"], **counts, **settings)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays to save in ``confusion.npz``; unknown values are left out."""
        named = {"learned": self.matrix}
        named |= {name: getattr(self, name) for name in (*_COUNTS, *_SETTINGS)}
        return {name: np.asarray(value) for name, value in named.items() if _is_known(value)}

    def soft_labels(self, matrix: np.ndarray | None = None) -> np.ndarray:
        """Compute the soft label of each class with the formula of the loss used in training.

        The soft label of a class is computed from the column of the class in the matrix. For
        softmax losses, the column is divided by its sum; for EQL v2, it is not.

        Args:
            matrix: (C, C), another matrix of the same training run, for example from an earlier
                epoch; None to use ``self.matrix``.

        Returns:
            (C, C) array; each row is the soft label of a class.

        Example:
            >>> matrix = np.array([[0.25, 0.25], [0.0, 0.5]])
            >>> LearnedConfusion(matrix, normalize_columns=False).soft_labels()
            array([[0.25, 0.  ],
                   [0.25, 0.5 ]])
        """
        import torch

        from pcb import fightback_soft_labels

        columns = torch.from_numpy(self.matrix if matrix is None else matrix)
        return fightback_soft_labels(columns, self.normalize_columns).numpy()

    def start_weights(self) -> np.ndarray:
        """Return the weight of the initial value in the running mean of each row.

        After n updates with momentum m, the weight is ``m ** (n - 1)`` for softmax losses and
        ``m ** n`` for EQL v2.

        Returns:
            (C,) weights in [0, 1]; NaN for classes that did not occur in training.

        Raises:
            ValueError: The number of updates is unknown.

        Example:
            >>> learned = LearnedConfusion(np.eye(2), update_count=np.array([3, 0]), momentum=0.5)
            >>> learned.start_weights()
            array([0.25,  nan])
        """
        count = self.update_count
        if count is None:
            raise ValueError(
                "this confusion matrix was saved without the number of updates of each row: train"
                " the model again with PCB-kit"
            )
        powers = count - 1 if self.normalize_rows else count
        weights = np.float64(self.momentum) ** np.maximum(powers, 0.0)
        return np.where(count > 0, weights, np.nan)


# Names of the values, in the order in which they are written.
_COUNTS = ("instance_count", "update_count")
_SETTINGS = ("momentum", "alpha", "start_epoch", "normalize_rows", "normalize_columns", "epoch")


def _is_known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and np.isnan(value))
