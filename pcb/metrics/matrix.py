"""Numbers from a confusion matrix: NumPy arrays in, NumPy arrays out.

Every function accepts all matrices of the kit. In each, ``matrix[i, j]`` is for true class i and
predicted class j:

- (C, C), learned in training or measured at ground-truth boxes. A class that never occurred has a
  row of zeros or NaN.
- (C + 1, C + 1), counted on detections. The last row holds detections on background, the last
  column missed objects.
"""

from collections.abc import Sequence

import numpy as np

GROUPS = ("f", "c", "r")  # order of rows and columns in tables by group
GROUP_NAMES = {"r": "rare", "c": "common", "f": "frequent"}
ORDERS = ("frequency", "cluster", "name")


def row_shares(matrix: np.ndarray) -> np.ndarray:
    """Divide each row by its sum; a row that sums to 0 becomes NaN (the class has no instance).

    Example:
        >>> row_shares(np.array([[3, 1], [0, 0]]))
        array([[0.75, 0.25],
               [ nan,  nan]])
    """
    matrix = np.asarray(matrix, dtype=float)
    total = matrix.sum(axis=1, keepdims=True)
    return np.divide(matrix, total, out=np.full_like(matrix, np.nan), where=total != 0)


def column_shares(matrix: np.ndarray) -> np.ndarray:
    """Divide each column by its sum: the fraction of predictions of class j that truly are class i.

    Rows of NaN (classes that never occurred) stay NaN and count as 0. A column that sums to 0
    becomes NaN (the class was never predicted).

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
    """Order the classes so that a large matrix is readable.

    Args:
        matrix: (C, C) or (C + 1, C + 1); the order leaves out background.
        by: ``"frequency"``, most training images first; ``"name"``, alphabetical; ``"cluster"``,
            confused classes side by side (average linkage of the mean of both directions' row
            shares).
        image_count: (C,) training images of each class, for ``"frequency"``.
        names: (C,) class names, for ``"name"``.
        num_classes: C; by default the length of ``image_count`` or ``names`` if given, otherwise of
            the matrix.

    Returns:
        (C,) labels in order. Ties keep the order of the labels.

    Raises:
        ValueError: Unknown order, or an order without the counts or names that it needs.

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
            raise ValueError("order 'frequency' needs image_count, the training images per class")
        return np.argsort(-np.asarray(image_count, dtype=float), kind="stable")
    if by == "name":
        if names is None:
            raise ValueError("order 'name' needs the names of the classes")
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
    """Subtract the share of j that is predicted as i from the share of i that is predicted as j.

    Args:
        matrix: (C, C) or (C + 1, C + 1); rows are divided by their sums first.
        num_classes: C; required if the matrix has a row and a column of background.

    Returns:
        (C, C), antisymmetric: positive if i is mistaken for j more often than j for i; NaN if one
        of the two never occurred.

    Example:
        >>> bias(np.array([[9, 1], [4, 6]])).round(3)
        array([[ 0. , -0.3],
               [ 0.3,  0. ]])
    """
    num_classes = num_classes or len(matrix)
    shares = row_shares(matrix)[:num_classes, :num_classes]
    return shares - shares.T


def group_shares(matrix: np.ndarray, frequency: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Average, over the classes of each group, how their instances are predicted.

    Every class has the same weight. Classes without instances are left out.

    Args:
        matrix: (C, C) or (C + 1, C + 1), on any scale: each row is divided by its sum.
        frequency: (C,) 'r', 'c' or 'f' per class.

    Returns:
        shares: (3, 4), or (3, 5) for detections. Rows are frequent, common and rare; NaN for a
            group without classes.
        columns: Names of the columns: the class itself; another frequent, common or rare class;
            and, for detections, missed.

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
    """Average, over the classes of each group, the shares that are predicted as each group.

    Every class has the same weight. Classes without instances are left out.

    Args:
        matrix: See :func:`group_shares`.
        frequency: (C,) 'r', 'c' or 'f' per class.

    Returns:
        (3, 3) mean shares, true by predicted group, in the order frequent, common, rare; NaN for a
        group without classes that occur. For detections a row sums to 1 minus the missed share.

    Example:
        >>> group_totals(np.array([[8, 2], [1, 1]]), ["f", "r"])
        array([[0.8, 0. , 0.2],
               [nan, nan, nan],
               [0.5, 0. , 0.5]])
    """
    groups = np.array(list(frequency))
    return _mean_by_group(_summed_by_group(row_shares(matrix)[: len(groups)], groups), groups)


def group_bias(matrix: np.ndarray, frequency: Sequence[str]) -> np.ndarray:
    """Subtract the transpose of :func:`group_totals` from it.

    Args:
        matrix: See :func:`group_shares`.
        frequency: (C,) 'r', 'c' or 'f' per class.

    Returns:
        (3, 3), antisymmetric: positive if the row's group is mistaken for the column's group more
        often than vice versa; NaN if a group has no class that occurs.

    Example:
        >>> group_bias(np.array([[8, 2], [1, 1]]), ["f", "r"]).round(3)
        array([[ 0. ,  nan, -0.3],
               [ nan,  nan,  nan],
               [ 0.3,  nan,  0. ]])
    """
    totals = group_totals(matrix, frequency)
    return totals - totals.T


def share_difference(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Subtract the row shares of ``before`` from those of ``after``; NaN for absent classes.

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
    """Sum a matrix of detections: objects by outcome, and detections on background.

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
    """Compute the entropy of each soft label: 0 for one-hot, log2(k) if uniform over k classes.

    Args:
        soft_labels: (C, C); row y is the soft label of class y. Rows are scaled to sum to 1 first,
            because the rows of EQL v2 do not.

    Returns:
        (C,) in bits; NaN for a row that is undefined or all zeros.

    Example:
        >>> label_entropy(np.array([[1.0, 0.0], [0.2, 0.2]])).tolist()
        [0.0, 1.0]
    """
    shares = row_shares(soft_labels)
    bits = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.abs((shares * bits).sum(axis=1))  # abs: turns -0.0 into 0.0


def check_alike(before: np.ndarray, after: np.ndarray) -> None:
    """Check that two matrices can be compared.

    Raises:
        ValueError: The matrices differ in shape.
    """
    if np.shape(before) != np.shape(after):
        raise ValueError(
            f"matrices of shape {np.shape(before)} and {np.shape(after)} cannot be compared: "
            "give two of the same kind and of the same classes"
        )


def _summed_by_group(shares: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sum the columns of each group; (rows, 3)."""
    foreground = shares[:, : len(groups)]
    return np.stack([foreground[:, groups == group].sum(axis=1) for group in GROUPS], axis=1)


def _mean_by_group(table: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Average the rows of each group without rows of NaN; (3, columns)."""
    known = ~np.isnan(table).any(axis=1)
    result = np.full((len(GROUPS), table.shape[1]), np.nan)
    for row, group in enumerate(GROUPS):
        chosen = known & (groups == group)
        if chosen.any():
            result[row] = table[chosen].mean(axis=0)
    return result
