"""Pairs of classes that are confused: the worst, those that changed, and a class's nearest.

Every function takes each of the kit's confusion matrices, see :mod:`pcb.metrics.matrix`.
"""

from collections.abc import Sequence

import numpy as np

from pcb.metrics.groups import GROUP_NAMES
from pcb.metrics.matrix import check_alike, row_shares


def largest_pairs(values: np.ndarray, count: int) -> list[tuple[int, int]]:
    """The pairs (true, predicted) off the diagonal with the largest values, the largest first.

    Args:
        values: (C, C); values of 0 and below, and nan, are no pairs. Ties keep their order.
        count: at most so many, at least 0.

    >>> largest_pairs(np.array([[5, 2, 0], [4, 1, 0], [0, 1, 9]]), count=2)
    [(1, 0), (0, 1)]
    """
    if count < 0:
        raise ValueError(f"count must be at least 0, got {count}")
    values = np.nan_to_num(np.array(values, dtype=float))
    np.fill_diagonal(values, 0)
    count = min(count, np.count_nonzero(values > 0))
    if not count:
        return []
    # All of LVIS's 1.4 million pairs sorted would take longer than all the rest.
    smallest = np.partition(values, values.size - count, axis=None)[-count]
    pairs = np.argwhere((values >= smallest) & (values > 0))
    ranked = np.argsort(-values[tuple(pairs.T)], kind="stable")[:count]
    return [(int(true), int(predicted)) for true, predicted in pairs[ranked]]


def pair_shares(matrix: np.ndarray, num_classes: int, min_objects: float = 0) -> np.ndarray:
    """Row shares between classes, without those of which there is too little to tell.

    Args:
        matrix: any of the three.
        num_classes: C.
        min_objects: rows that sum to less become nan. Of a class with a single object, one mistake
            is 100%.

    Returns:
        (C, C); of detections, shares of all objects, the missed ones included.

    >>> pair_shares(np.array([[5, 3, 2], [1, 0, 0], [7, 7, 0]]), num_classes=2, min_objects=5)
    array([[0.5, 0.3],
           [nan, nan]])
    """
    shares = row_shares(matrix)
    shares[np.sum(matrix, axis=1) < min_objects] = np.nan
    return shares[:num_classes, :num_classes]


def worst_pairs(
    matrix: np.ndarray,
    names: Sequence[str],
    frequency: Sequence[str],
    count: int = 20,
    min_objects: float = 0,
    by: str = "share",
) -> list[dict]:
    """The pairs of classes of which the first is most often taken for the second.

    Args:
        matrix: any of the three; rows are divided by their sums.
        names: (C,) class names.
        frequency: (C,) 'r', 'c' or 'f' per class.
        count: at most so many pairs; those with a share of 0 are none.
        min_objects: leave out true classes of fewer objects, for counts.
        by: ``"share"``, or ``"bias"`` for the most lopsided pairs.

    Returns:
        A row per pair, the largest first, ready for ``pandas.DataFrame``: ``true`` and
        ``predicted`` (names), ``true_group`` and ``predicted_group``, ``share`` of the true class
        that is taken for the predicted one, ``reverse_share``, ``bias`` (their difference), for
        detections ``count``, the objects, and ``true_label`` and ``predicted_label``, which tell
        classes apart where two have one name.

    >>> worst_pairs(np.array([[9, 1], [4, 6]]), ["cat", "yak"], ["f", "r"], count=1)
    [{'true': 'yak', 'true_group': 'rare', 'predicted': 'cat', 'predicted_group': 'frequent',
      'share': 0.4, 'reverse_share': 0.1, 'bias': 0.3, 'true_label': 1, 'predicted_label': 0}]
    """
    matrix = np.asarray(matrix)
    shares = pair_shares(matrix, len(names))
    rows = []
    enough = pair_shares(matrix, len(names), min_objects)
    if by not in ("share", "bias"):
        raise ValueError(f"by must be 'share' or 'bias', got {by!r}")
    ranked = enough if by == "share" else enough - shares.T
    for true, predicted in largest_pairs(ranked, count):
        share, reverse = shares[true, predicted], shares[predicted, true]
        row = _pair(names, frequency, true, predicted)
        row |= {"share": share, "reverse_share": reverse, "bias": share - reverse}
        if len(matrix) > len(names):
            row["count"] = int(matrix[true, predicted])
        row |= {"true_label": true, "predicted_label": predicted}
        rows.append({key: _plain(value) for key, value in row.items()})
    return rows


def changed_pairs(
    before: np.ndarray,
    after: np.ndarray,
    names: Sequence[str],
    frequency: Sequence[str],
    count: int = 20,
    min_objects: float = 0,
) -> list[dict]:
    """The pairs whose share changed most between two runs; the diagonal is no pair.

    Args:
        before, after: two matrices of one kind, of the same classes.
        names: (C,) class names.
        frequency: (C,) 'r', 'c' or 'f' per class.
        count: at most so many pairs; those that did not change are none.
        min_objects: leave out true classes of fewer objects, for counts.

    Returns:
        A row per pair, the largest change first: names, groups and labels as in
        :func:`worst_pairs`, ``before`` and ``after`` (shares of the true class) and ``change``.

    >>> changed_pairs(np.array([[5, 5], [0, 4]]), np.array([[9, 1], [0, 4]]), "ab", "fr")
    [{'true': 'a', 'true_group': 'frequent', 'predicted': 'b', 'predicted_group': 'rare',
      'before': 0.5, 'after': 0.1, 'change': -0.4, 'true_label': 0, 'predicted_label': 1}]
    """
    check_alike(before, after)
    old, new = (pair_shares(matrix, len(names), min_objects) for matrix in (before, after))
    difference = new - old
    rows = []
    for true, predicted in largest_pairs(np.abs(difference), count):
        row = _pair(names, frequency, true, predicted)
        row |= {"before": old[true, predicted], "after": new[true, predicted]}
        row["change"] = difference[true, predicted]
        row |= {"true_label": true, "predicted_label": predicted}
        rows.append({key: _plain(value) for key, value in row.items()})
    return rows


def nearest_classes(
    matrix: np.ndarray, label: int, count: int = 8, num_classes: int | None = None
) -> list[int]:
    """A class and those it is most confused with, both directions added.

    Args:
        matrix: any of the three; rows are divided by their sums.
        label: the class.
        count: how many other classes, at most; those never confused with it are left out.
        num_classes: C, needed where the matrix has a row and column of background.

    Returns:
        Labels, ``label`` first, then the most confused.

    >>> nearest_classes(np.array([[6, 0, 4], [0, 9, 1], [5, 0, 5]]), 2)
    [2, 0, 1]
    """
    num_classes = num_classes or len(matrix)
    shares = np.nan_to_num(row_shares(matrix)[:num_classes, :num_classes])
    together = shares[label] + shares[:, label]
    ranked = np.argsort(-together, kind="stable")
    others = [int(other) for other in ranked if other != label and together[other] > 0]
    return [int(label), *others[:count]]


def _pair(names: Sequence[str], frequency: Sequence[str], true: int, predicted: int) -> dict:
    return {
        "true": names[true],
        "true_group": GROUP_NAMES[frequency[true]],
        "predicted": names[predicted],
        "predicted_group": GROUP_NAMES[frequency[predicted]],
    }


def _plain(value):
    """A number without NumPy's type and the rounding errors of float64."""
    return round(float(value), 12) if isinstance(value, float) else value
