"""Confused pairs of classes: the worst, those that changed most, and the nearest of a class.

Every function accepts all confusion matrices of the kit; see :mod:`pcb.metrics.matrix`.
"""

from collections.abc import Sequence

import numpy as np

from pcb.metrics.groups import GROUP_NAMES
from pcb.metrics.matrix import check_alike, row_shares


def largest_pairs(values: np.ndarray, count: int) -> list[tuple[int, int]]:
    """Find the pairs (true, predicted) off the diagonal with the largest values.

    Args:
        values: (C, C); only positive values count.
        count: Largest number of pairs, at least 0.

    Returns:
        The pairs, largest value first. Ties keep the order of the matrix.

    Raises:
        ValueError: ``count`` is negative.

    Example:
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
    # Sorting all 1.4 million pairs of LVIS would take longer than everything else.
    smallest = np.partition(values, values.size - count, axis=None)[-count]
    pairs = np.argwhere((values >= smallest) & (values > 0))
    ranked = np.argsort(-values[tuple(pairs.T)], kind="stable")[:count]
    return [(int(true), int(predicted)) for true, predicted in pairs[ranked]]


def pair_shares(matrix: np.ndarray, num_classes: int, min_objects: float = 0) -> np.ndarray:
    """Return the row shares between classes; rows with too few objects become NaN.

    Args:
        matrix: A confusion matrix.
        num_classes: C.
        min_objects: Smallest row sum, for counts: in a class with a single object, one mistake is
            100%.

    Returns:
        (C, C). For detections, the shares refer to all objects, including missed ones.

    Example:
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
    """Find the pairs of classes with the largest confusion.

    Args:
        matrix: A confusion matrix; rows are divided by their sums.
        names: (C,) class names.
        frequency: (C,) 'r', 'c' or 'f' per class.
        count: Largest number of pairs; pairs that are never confused are left out.
        min_objects: Leave out true classes with fewer objects, for counts.
        by: ``"share"`` for the largest shares, ``"bias"`` for the most one-sided pairs.

    Returns:
        One row per pair, largest first, ready for ``pandas.DataFrame``: ``true`` and ``predicted``
        (names), ``true_group`` and ``predicted_group``, ``share`` of the true class that is
        predicted as the other class, ``reverse_share``, ``bias`` (their difference), ``count`` of
        the objects (only for detections), and ``true_label`` and ``predicted_label``, which
        distinguish classes with the same name.

    Raises:
        ValueError: Unknown ``by``.

    Example:
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
    """Find the pairs of different classes whose share changed most between two runs.

    Args:
        before: The matrix of one run.
        after: The matrix of the other run, of the same kind and the same classes.
        names: (C,) class names.
        frequency: (C,) 'r', 'c' or 'f' per class.
        count: Largest number of pairs; pairs without a change are left out.
        min_objects: Leave out true classes with fewer objects, for counts.

    Returns:
        One row per pair, largest change first: names, groups and labels as in :func:`worst_pairs`,
        ``before`` and ``after`` (shares of the true class) and ``change``.

    Raises:
        ValueError: The matrices differ in shape.

    Example:
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
    """Find the classes that a class is most confused with, both directions added.

    Args:
        matrix: A confusion matrix; rows are divided by their sums.
        label: The class.
        count: Largest number of other classes; classes that are never confused are left out.
        num_classes: C; required if the matrix has a row and a column of background.

    Returns:
        Labels: ``label`` first, then the others, most confused first.

    Example:
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
    """Return a float as Python's type, rounded to remove the errors of float64."""
    return round(float(value), 12) if isinstance(value, float) else value
