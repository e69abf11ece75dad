"""The matrix that a training has learned: its soft labels, and how much of its start is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class LearnedConfusion:
    """A learned confusion matrix and what is needed to read it.

    Files of other versions and of other programs may lack everything but the matrix; what they lack
    is None, or for numbers that are not whole NaN.

    Attributes:
        matrix: (C, C), the running mean of predictions: true class i, predicted as j.
        instance_count: (C,), how many instances of each class the training has seen.
        update_count: (C,), how often each row was updated. Official checkpoints do not have it.
        momentum: weight of the past in the running mean.
        alpha: full strength of PCB; 0 for a plain baseline, whose matrix was only observed.
        start_epoch: first epoch, counted from 1, in which PCB acts.
        normalize_rows: whether rows average probabilities that sum to 1 (softmax losses).
        normalize_columns: whether the loss divides columns by their sum to make soft labels.
        epoch: the epoch, counted from 1, that the matrix belongs to.

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
        """Read the arrays of ``confusion.npz``, of which those of other matrices are ignored.

        A file that does not tell how columns and rows are normalised is older than the losses
        without normalisation.

        Raises:
            KeyError: there is no learned matrix.
        """
        settings = {name: np.asarray(arrays[name]).item() for name in _SETTINGS if name in arrays}
        counts = {name: arrays[name] for name in _COUNTS if name in arrays}
        return cls(arrays["learned"], **counts, **settings)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The arrays for ``confusion.npz``, without those that are unknown."""
        named = {"learned": self.matrix}
        named |= {name: getattr(self, name) for name in (*_COUNTS, *_SETTINGS)}
        return {name: np.asarray(value) for name, value in named.items() if _is_known(value)}

    @property
    def has_seen_every_class(self) -> bool:
        """Whether each class is known to have had an instance."""
        return self.instance_count is not None and bool(self.instance_count.all())

    def soft_labels(self, matrix: np.ndarray | None = None) -> np.ndarray:
        """The soft label of every class, as the loss that learned the matrix makes them.

        They are the columns of the matrix. Softmax losses divide them by their sum, EQL v2 does
        not.

        Args:
            matrix: (C, C), an earlier matrix of the same training; by default the learned one.

        Returns:
            (C, C), row y is the soft label of class y.

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
        """The weight that the start of the training still has in each row.

        With a softmax loss, a class's first update becomes its whole row; after n updates it has
        weight ``m ** (n - 1)``. With EQL v2, rows start as zeros, which have weight ``m ** n``; the
        row is smaller than the mean of its updates by that share.

        Returns:
            (C,) in [0, 1]; NaN for classes that the training has not seen.

        Raises:
            ValueError: the update counts are unknown, as in official checkpoints.

        Example:
            >>> learned = LearnedConfusion(np.eye(2), update_count=np.array([3, 0]), momentum=0.5)
            >>> learned.start_weights()
            array([0.25,  nan])
        """
        count = self.update_count
        if count is None:
            raise ValueError("this matrix comes without the number of its updates")
        powers = count - 1 if self.normalize_rows else count
        weights = np.float64(self.momentum) ** np.maximum(powers, 0.0)
        return np.where(count > 0, weights, np.nan)


# In the order in which they are written.
_COUNTS = ("instance_count", "update_count")
_SETTINGS = ("momentum", "alpha", "start_epoch", "normalize_rows", "normalize_columns", "epoch")


def _is_known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and np.isnan(value))
