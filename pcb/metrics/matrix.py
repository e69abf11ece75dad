"""Compute statistics of confusion matrices (NumPy arrays).

Rows are true classes, and columns are predicted classes. Most functions accept two kinds of
confusion matrix:

- (C, C): learned during training, or computed at ground-truth boxes. If a class never occurred, its
  row is all zeros or NaN.
- (C + 1, C + 1): counts of detections. The last row counts detections on background, and the last
  column counts missed objects.
"""

from collections.abc import Sequence

import numpy as np

from pcb.metrics.groups import GROUP_NAMES, GROUPS, most_frequent_first

ORDERS = ("frequency", "cluster", "name")


def row_shares(matrix: np.ndarray) -> np.ndarray:
    """Divide each row of a matrix by its sum; a row that sums to 0 becomes NaN.

    Example:
        >>> row_shares(np.array([[3, 1], [0, 0]]))
        array([[0.75, 0.25],
               [ nan,  nan]])
    """
    matrix = np.asarray(matrix, dtype=float)
    total = matrix.sum(axis=1, keepdims=True)
    return np.divide(matrix, total, out=np.full_like(matrix, np.nan), where=total != 0)


def column_shares(matrix: np.ndarray) -> np.ndarray:
    """Divide each column of a confusion matrix by its sum.

    Entry [i, j] becomes the share of true class i among the predictions of class j. The sums ignore
    NaN. A column that sums to 0 becomes NaN.

    Example:
        >>> column_shares(np.array([[3, 0], [1, 0]]))
        array([[0.75,  nan],
               [0.25,  nan]])
    """
    matrix = np.asarray(matrix, dtype=float)
    total = np.nansum(matrix, axis=0, keepdims=True)
    return np.divide(matrix, total, out=np.full_like(matrix, np.nan), where=total != 0)


def class_order(
    matrix: np.ndarray,
    by: str = "frequency",
    image_count: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
    num_classes: int | None = None,
) -> np.ndarray:
    """Sort the classes so that a large confusion matrix becomes readable.

    Args:
        matrix: (C, C) or (C + 1, C + 1); background is not part of the order.
        by: ``"frequency"`` (most training images first), ``"name"`` (alphabetical) or
            ``"cluster"`` (average-linkage clustering, so that similar classes are adjacent).
        image_count: (C,) number of training images of each class, needed for ``"frequency"``.
        names: (C,) class names, needed for ``"name"``.
        num_classes: Number of classes, C; required for a (C + 1, C + 1) matrix if neither
            ``image_count`` nor ``names`` is passed.

    Returns:
        (C,) labels in the new order. Classes that tie are in the order of their labels.

    Raises:
        ValueError: ``by`` is unknown, or a required argument is missing.

    Example:
        >>> class_order(np.eye(3), "frequency", image_count=[5, 200, 40]).tolist()
        [1, 2, 0]
        >>> class_order(np.eye(3), "name", names=["yak", "ant", "cat"]).tolist()
        [1, 2, 0]
        >>> class_order(np.array([[6, 0, 4], [0, 9, 1], [5, 0, 5]]), "cluster").tolist()
        [1, 0, 2]
    """
    if by not in ORDERS:
        raise ValueError(f"order must be one of {', '.join(ORDERS)}, got {by!r}")
    if by == "frequency":
        if image_count is None:
            raise ValueError(
                "order 'frequency' needs the number of training images of each class: pass"
                " `image_count`"
            )
        return most_frequent_first(image_count)
    if by == "name":
        if names is None:
            raise ValueError("order 'name' needs the class names: pass `names`")
        return np.argsort(np.array([name.casefold() for name in names]), kind="stable")
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if num_classes is None:
        given = [values for values in (image_count, names) if values is not None]
        num_classes = len(given[0]) if given else len(matrix)
    if num_classes < 2:
        return np.arange(num_classes)
    shares = np.nan_to_num(row_shares(matrix)[:num_classes, :num_classes])
    distance = 1 - (shares + shares.T) / 2
    np.fill_diagonal(distance, 0)
    return leaves_list(linkage(squareform(distance, checks=False), "average"))


def bias(matrix: np.ndarray, num_classes: int | None = None) -> np.ndarray:
    """For each pair of classes, compare how often each of the two is mistaken for the other.

    Entry [i, j] is the share of class i that is predicted as j, minus the share of class j that is
    predicted as i.

    Args:
        matrix: (C, C) or (C + 1, C + 1); each row is first divided by its sum.
        num_classes: Number of classes, C; required for a (C + 1, C + 1) matrix.

    Returns:
        (C, C), antisymmetric. Entry [i, j] is positive if i is mistaken for j more often than j is
        mistaken for i. The entry is NaN if i or j never occurred.

    Example:
        >>> bias(np.array([[9, 1], [4, 6]])).round(3)
        array([[ 0. , -0.3],
               [ 0.3,  0. ]])
    """
    num_classes = num_classes or len(matrix)
    shares = row_shares(matrix)[:num_classes, :num_classes]
    return shares - shares.T


def group_shares(matrix: np.ndarray, frequency: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Compute the shares of correct and of wrong predictions for each frequency group.

    The wrong predictions are split by the frequency group of the predicted class. The shares of a
    group are unweighted means over its classes; classes without instances are left out.

    Args:
        matrix: (C, C), or (C + 1, C + 1) for detections; each row is first divided by its sum.
        frequency: (C,) frequency group of each class: 'r', 'c' or 'f'.

    Returns:
        shares: (3, 4), or (3, 5) if the matrix counts detections. Rows are frequent, common and
            rare classes. If no class of a group has instances, the row of the group is NaN.
        columns: Names of the columns. "itself" is the correct class, and "other rare" is any wrong
            class that is rare. "missed" exists only if the matrix counts detections.

    Example:
        >>> shares, columns = group_shares(np.array([[8, 2], [1, 1]]), ["f", "r"])
        >>> columns
        ['itself', 'other frequent', 'other common', 'other rare']
        >>> shares
        array([[0.8, 0. , 0. , 0.2],
               [nan, nan, nan, nan],
               [0.5, 0.5, 0. , 0. ]])
    """
    groups = np.array(list(frequency))
    shares = row_shares(matrix)[: len(groups)]
    own = np.diagonal(shares)
    to_group = _summed_by_group(shares, groups)
    to_group[groups[:, None] == np.array(GROUPS)] -= own
    parts = [own[:, None], to_group, shares[:, len(groups) :]]
    names = ["itself", *(f"other {GROUP_NAMES[group]}" for group in GROUPS)]
    if shares.shape[1] > len(groups):
        names.append("missed")
    return _mean_by_group(np.concatenate(parts, axis=1), groups), names


def group_totals(matrix: np.ndarray, frequency: Sequence[str]) -> np.ndarray:
    """Compute the confusion matrix of the three frequency groups, with shares instead of counts.

    For each class, the function computes the shares of its instances that are predicted as each
    group. Entry [g, h] is the unweighted mean, over the classes of group g, of the share that is
    predicted as group h. Classes without instances are left out.

    Args:
        matrix: (C, C) or (C + 1, C + 1), as in :func:`group_shares`.
        frequency: (C,) frequency group of each class: 'r', 'c' or 'f'.

    Returns:
        (3, 3) shares. Rows are true groups, and columns are predicted groups, in the order
        frequent, common, rare. If no class of a group has instances, the row of the group is NaN.
        If the matrix counts detections, a row sums to 1 minus the share of missed objects.

    Example:
        >>> group_totals(np.array([[8, 2], [1, 1]]), ["f", "r"])
        array([[0.8, 0. , 0.2],
               [nan, nan, nan],
               [0.5, 0. , 0.5]])
    """
    groups = np.array(list(frequency))
    return _mean_by_group(_summed_by_group(row_shares(matrix)[: len(groups)], groups), groups)


def group_bias(matrix: np.ndarray, frequency: Sequence[str]) -> np.ndarray:
    """For each pair of frequency groups, compare how often each group is mistaken for the other.

    The result is the matrix of :func:`group_totals` minus its transpose.

    Args:
        matrix: (C, C) or (C + 1, C + 1), as in :func:`group_shares`.
        frequency: (C,) frequency group of each class: 'r', 'c' or 'f'.

    Returns:
        (3, 3), antisymmetric. An entry is positive if the row's group is mistaken for the column's
        group more often than vice versa. The row and the column of a group without instances are
        NaN.

    Example:
        >>> group_bias(np.array([[8, 2], [1, 1]]), ["f", "r"]).round(3)
        array([[ 0. ,  nan, -0.3],
               [ nan,  nan,  nan],
               [ 0.3,  nan,  0. ]])
    """
    totals = group_totals(matrix, frequency)
    return totals - totals.T


def share_difference(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Compare two confusion matrices: return ``row_shares(after) - row_shares(before)``.

    If a class has no instances in one of the matrices, the row of the class becomes NaN.

    Raises:
        ValueError: The matrices differ in shape.

    Example:
        >>> share_difference(np.array([[1, 1], [0, 2]]), np.array([[4, 0], [0, 2]]))
        array([[ 0.5, -0.5],
               [ 0. ,  0. ]])
    """
    check_alike(before, after)
    return row_shares(after) - row_shares(before)


def detection_totals(matrix: np.ndarray) -> dict[str, int]:
    """Count correct detections and three kinds of errors in a (C + 1, C + 1) confusion matrix.

    Example:
        >>> detection_totals(np.array([[5, 2, 1], [0, 3, 4], [6, 0, 0]]))
        {'right class': 8, 'other class': 2, 'missed': 5, 'on background': 6}
    """
    right = np.trace(matrix[:-1, :-1])
    return {
        "right class": int(right),
        "other class": int(matrix[:-1, :-1].sum() - right),
        "missed": int(matrix[:-1, -1].sum()),
        "on background": int(matrix[-1, :-1].sum()),
    }


def label_entropy(soft_labels: np.ndarray) -> np.ndarray:
    """Compute the entropy of each soft label: 0 if one-hot, log2(k) if uniform over k classes.

    Args:
        soft_labels: (C, C); row y is the soft label of class y. Each row is first divided by its
            sum.

    Returns:
        (C,) entropies in bits. If a row contains NaN or only zeros, its entropy is NaN.

    Example:
        >>> label_entropy(np.array([[1.0, 0.0], [0.2, 0.2]])).tolist()
        [0.0, 1.0]
    """
    shares = row_shares(soft_labels)
    bits = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.abs((shares * bits).sum(axis=1))  # abs: turns -0.0 into 0.0


def check_alike(before: np.ndarray, after: np.ndarray) -> None:
    """Check that two matrices have the same shape.

    Raises:
        ValueError: The matrices differ in shape.
    """
    if np.shape(before) != np.shape(after):
        raise ValueError(
            f"matrices of shape {np.shape(before)} and {np.shape(after)} cannot be compared: "
            "pass two matrices of the same kind and with the same classes"
        )


def _summed_by_group(shares: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Add up the columns that belong to the same group; return a (rows, 3) array."""
    foreground = shares[:, : len(groups)]
    return np.stack([foreground[:, groups == group].sum(axis=1) for group in GROUPS], axis=1)


def _mean_by_group(table: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Average the rows of each group, except rows with NaN; return a (3, columns) array."""
    known = ~np.isnan(table).any(axis=1)
    result = np.full((len(GROUPS), table.shape[1]), np.nan)
    for row, group in enumerate(GROUPS):
        chosen = known & (groups == group)
        if chosen.any():
            result[row] = table[chosen].mean(axis=0)
    return result
