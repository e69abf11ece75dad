"""Find the most confused pairs of classes, and the pairs whose confusion changed most.

Most functions accept both kinds of confusion matrix described in :mod:`pcb.metrics.matrix`.
"""

from collections.abc import Sequence

import numpy as np

from pcb.metrics.groups import GROUP_NAMES
from pcb.metrics.matrix import check_alike, row_shares


def largest_pairs(values: np.ndarray, count: int) -> list[tuple[int, int]]:
    """Find the pairs of different classes with the largest values in a matrix.

    Args:
        values: (C, C); rows are true classes, columns are predicted classes. Only pairs with a
            positive value are returned.
        count: Maximum number of pairs, at least 0.

    Returns:
        Pairs (true label, predicted label), largest value first. Pairs with equal values are in
        row-major order.

    Raises:
        ValueError: ``count`` is negative.

    Example:
        >>> largest_pairs(np.array([[5, 2, 0], [4, 1, 0], [0, 1, 9]]), count=2)
        [(1, 0), (0, 1)]
    """
    if count < 0:
        raise ValueError(f"the argument 'count' must be at least 0, got {count}")
    values = np.nan_to_num(np.array(values, dtype=float))
    np.fill_diagonal(values, 0)
    count = min(count, np.count_nonzero(values > 0))
    if not count:
        return []
    # Sorting all 1.4 million pairs of LVIS classes would take longer than everything else.
    smallest = np.partition(values, values.size - count, axis=None)[-count]
    pairs = np.argwhere((values >= smallest) & (values > 0))
    ranked = np.argsort(-values[tuple(pairs.T)], kind="stable")[:count]
    return [(int(true), int(predicted)) for true, predicted in pairs[ranked]]


def pair_shares(matrix: np.ndarray, num_classes: int, min_objects: float = 0) -> np.ndarray:
    """Return the share of each true class (row) that is predicted as each class (column).

    Args:
        matrix: A confusion matrix, (C, C) or (C + 1, C + 1).
        num_classes: Number of classes, C.
        min_objects: Minimum number of objects of a true class. Rows of classes with fewer objects
            become NaN. Use 0 if the matrix does not contain counts.

    Returns:
        (C, C) shares. If the matrix counts detections, each share is relative to all objects of
        the true class, including missed objects.

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
    """Find the pairs of classes that are confused most often.

    Args:
        matrix: A confusion matrix. This function divides each row by its sum.
        names: (C,) class names.
        frequency: (C,) frequency group of each class: 'r', 'c' or 'f'.
        count: Maximum number of pairs; pairs that are never confused are left out.
        min_objects: Minimum number of objects of the true class. Pairs whose true class has fewer
            objects are left out. Use 0 if the matrix does not contain counts.
        by: The value by which the pairs are ranked: ``"share"`` or ``"bias"``.

    Returns:
        One dict per pair, ready for ``pandas.DataFrame``. The pair with the largest share or bias
        comes first. Each dict contains:

        - ``true`` and ``predicted``: the names of the true class and the predicted class.
        - ``true_group`` and ``predicted_group``: the frequency groups of the two classes.
        - ``share``: the share of class ``true`` that is predicted as class ``predicted``.
        - ``reverse_share``: the share of class ``predicted`` that is predicted as class ``true``.
        - ``bias``: ``share`` minus ``reverse_share``.
        - ``count``, if the matrix counts detections: the number of objects of class ``true`` that
          are detected as class ``predicted``.
        - ``true_label`` and ``predicted_label``: the labels of the two classes.

    Raises:
        ValueError: ``by`` is neither ``"share"`` nor ``"bias"``.

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
        raise ValueError(f"the argument 'by' must be 'share' or 'bias', got {by!r}")
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
    """Find the pairs of classes whose confusion differs most between two training runs.

    Args:
        before: The confusion matrix of the first training run.
        after: The confusion matrix of the second training run, of the same shape.
        names: (C,) class names.
        frequency: (C,) frequency group of each class: 'r', 'c' or 'f'.
        count: Maximum number of pairs; pairs without a change are left out.
        min_objects: Minimum number of objects of the true class. Pairs whose true class has fewer
            objects in either matrix are left out. Use 0 if the matrices do not contain counts.

    Returns:
        One dict per pair, largest change first. Each dict contains:

        - ``true``, ``predicted``, ``true_group``, ``predicted_group``, ``true_label`` and
          ``predicted_label``, as in :func:`worst_pairs`.
        - ``before``: the share of class ``true`` that is predicted as class ``predicted`` in the
          first run.
        - ``after``: the same share in the second run.
        - ``change``: ``after`` minus ``before``.

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
    """Find the classes that are most often confused with a given class.

    The confusion of two classes is the share of the first class that is predicted as the second
    class, plus the share of the second class that is predicted as the first class.

    Args:
        matrix: A confusion matrix. This function divides each row by its sum.
        label: Label of the given class.
        count: Maximum number of other classes. Classes that are never confused with the given
            class are left out.
        num_classes: Number of classes, C; required for a (C + 1, C + 1) matrix.

    Returns:
        ``label``, followed by the labels of the other classes, most confused first.

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
    """Convert a NumPy float to a Python float, and round it to 12 decimals."""
    return round(float(value), 12) if isinstance(value, float) else value
