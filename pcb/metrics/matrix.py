"""What a confusion matrix says, as numbers; NumPy arrays in, NumPy arrays out.

Every function takes each of the kit's matrices, ``matrix[i, j]``: true class i, predicted class j:

- (C, C), learned in training or measured at ground-truth boxes; a class that never occurred has a
  row of zeros or nan;
- (C + 1, C + 1), counted on detections: the last row holds detections on background, the last
  column ground truth that was missed.
"""

from collections.abc import Sequence

import numpy as np

from pcb.metrics.groups import GROUP_NAMES, GROUPS, most_frequent_first

ORDERS = ("frequency", "cluster", "name")


def row_shares(matrix: np.ndarray) -> np.ndarray:
    """Each row divided by its sum; a row that sums to 0 becomes nan (no such instance).

    >>> row_shares(np.array([[3, 1], [0, 0]]))
    array([[0.75, 0.25],
           [ nan,  nan]])
    """
    matrix = np.asarray(matrix, dtype=float)
    total = matrix.sum(axis=1, keepdims=True)
    return np.divide(matrix, total, out=np.full_like(matrix, np.nan), where=total != 0)


def column_shares(matrix: np.ndarray) -> np.ndarray:
    """Each column divided by its sum: of all that was taken for j, how much is i.

    Rows of nan (classes that never occurred) stay nan and count as 0; a column that sums to 0
    becomes nan (nothing was taken for it).

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
    """An order of the classes in which a large matrix can be read.

    Args:
        matrix: (C, C) or (C + 1, C + 1); background has no place in the order.
        by: ``"frequency"``, most training images first; ``"name"``, alphabetical; ``"cluster"``,
            classes that are confused with each other side by side (average linkage of the mean of
            both directions' row shares).
        image_count: (C,) training images of each class, for ``"frequency"``.
        names: (C,) class names, for ``"name"``.
        num_classes: C; by default the length of what is given, else of the matrix.

    Returns:
        (C,) labels, the first to be drawn first. Ties keep the order of the labels.

    Raises:
        ValueError: an unknown order, or one that needs counts or names which are missing.

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
        return most_frequent_first(image_count)
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
    """How lopsided each confusion is: the share of i taken for j minus that of j taken for i.

    Args:
        matrix: (C, C) or (C + 1, C + 1); rows are divided by their sums first.
        num_classes: C, needed where the matrix has a row and column of background.

    Returns:
        (C, C), antisymmetric: above 0 where i is taken for j more than j for i. nan where one of
        the two never occurred.

    >>> bias(np.array([[9, 1], [4, 6]])).round(3)
    array([[ 0. , -0.3],
           [ 0.3,  0. ]])
    """
    num_classes = num_classes or len(matrix)
    shares = row_shares(matrix)[:num_classes, :num_classes]
    return shares - shares.T


def group_shares(matrix: np.ndarray, frequency: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Where the instances of each group end up, every class counting the same.

    Args:
        matrix: (C, C) learned, or (C + 1, C + 1) measured on detections; any scale, each row is
            divided by its sum. Classes without instances are left out.
        frequency: (C,) 'r', 'c' or 'f' per class.

    Returns:
        Shares (3, 4), or (3, 5) with detections, and the names of the columns: the class itself,
        another frequent, common or rare class, and missed. Rows are frequent, common, rare; nan
        for a group without classes.

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
    """How much of each group is taken for each group, every class counting the same.

    Args:
        matrix: as in :func:`group_shares`.
        frequency: (C,) 'r', 'c' or 'f' per class.

    Returns:
        (3, 3) mean shares, true by predicted, both frequent, common, rare; nan for a group without
        classes that occur. With detections a row sums to 1 minus what was missed.

    >>> group_totals(np.array([[8, 2], [1, 1]]), ["f", "r"])
    array([[0.8, 0. , 0.2],
           [nan, nan, nan],
           [0.5, 0. , 0.5]])
    """
    groups = np.array(list(frequency))
    return _mean_by_group(_summed_by_group(row_shares(matrix)[: len(groups)], groups), groups)


def group_bias(matrix: np.ndarray, frequency: Sequence[str]) -> np.ndarray:
    """How much more each group is taken for another than that one for it.

    Returns:
        (3, 3) antisymmetric, the difference of :func:`group_totals` and its transpose; nan where
        a group has no class that occurs.

    >>> group_bias(np.array([[8, 2], [1, 1]]), ["f", "r"]).round(3)
    array([[ 0. ,  nan, -0.3],
           [ nan,  nan,  nan],
           [ 0.3,  nan,  0. ]])
    """
    totals = group_totals(matrix, frequency)
    return totals - totals.T


def share_difference(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Row shares of ``after`` minus those of ``before``; nan where a class never occurred.

    Raises:
        ValueError: the matrices differ in shape.

    >>> share_difference(np.array([[1, 1], [0, 2]]), np.array([[4, 0], [0, 2]]))
    array([[ 0.5, -0.5],
           [ 0. ,  0. ]])
    """
    check_alike(before, after)
    return row_shares(after) - row_shares(before)


def detection_totals(matrix: np.ndarray) -> dict[str, int]:
    """What became of all objects of a matrix of detections, and detections on background.

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
    """Entropy of each soft label in bits: 0 for one-hot, log2(k) spread evenly over k classes.

    Args:
        soft_labels: (C, C), row y is the soft label of class y. A row is scaled to sum to 1 first,
            as those of EQL v2 do not.

    Returns:
        (C,); nan for a row that is undefined or 0 throughout.

    >>> label_entropy(np.array([[1.0, 0.0], [0.2, 0.2]])).tolist()
    [0.0, 1.0]
    """
    shares = row_shares(soft_labels)
    bits = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.abs((shares * bits).sum(axis=1))  # abs: no minus before a zero


def check_alike(before: np.ndarray, after: np.ndarray) -> None:
    """Refuse to compare matrices of different kinds or classes.

    Raises:
        ValueError: they differ in shape.
    """
    if np.shape(before) != np.shape(after):
        raise ValueError(
            f"matrices of shape {np.shape(before)} and {np.shape(after)} cannot be compared: "
            "take two of one kind and of the same classes"
        )


def _summed_by_group(shares: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Columns (rows, 3): what each row gives to each group of classes."""
    foreground = shares[:, : len(groups)]
    return np.stack([foreground[:, groups == group].sum(axis=1) for group in GROUPS], axis=1)


def _mean_by_group(table: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Mean over the rows of each group (3, columns); rows of nan are left out."""
    known = ~np.isnan(table).any(axis=1)
    result = np.full((len(GROUPS), table.shape[1]), np.nan)
    for row, group in enumerate(GROUPS):
        chosen = known & (groups == group)
        if chosen.any():
            result[row] = table[chosen].mean(axis=0)
    return result
