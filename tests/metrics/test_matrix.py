"""Numbers from confusion matrices that are small enough to check by hand."""

import numpy as np
import pytest

from pcb import metrics

NAN = float("nan")
# Two frequent classes, a common and a rare one; the last row and column are background.
DETECTIONS = np.array(
    [
        [6, 2, 0, 0, 2],
        [1, 8, 0, 1, 0],
        [2, 0, 2, 0, 0],
        [1, 0, 0, 0, 1],
        [7, 0, 0, 0, 0],
    ]
)
NAMES, GROUPS = ["ant", "bee", "cat", "dog"], ["f", "f", "c", "r"]
# The same classes as a running matrix; the last one was never seen.
LEARNED = np.array([[0.6, 0.2, 0.1, 0.1], [0.1, 0.9, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 0, 0]])


def test_shares_by_row_and_column():
    rows = metrics.row_shares(DETECTIONS)
    np.testing.assert_allclose(rows[0], [0.6, 0.2, 0, 0, 0.2])
    np.testing.assert_allclose(rows.sum(axis=1), 1)
    columns = metrics.column_shares(DETECTIONS)
    np.testing.assert_allclose(columns[:, 0], np.array([6, 1, 2, 1, 7]) / 17)
    np.testing.assert_allclose(columns.sum(axis=0), 1)
    assert np.isnan(metrics.row_shares(LEARNED)[3]).all()
    with_nan = np.where(LEARNED.sum(axis=1, keepdims=True) > 0, LEARNED, NAN)
    np.testing.assert_allclose(metrics.column_shares(with_nan)[:3, 0], np.array([6, 1, 5]) / 12)
    assert np.isnan(metrics.column_shares(with_nan)[3]).all()


def test_group_shares_weight_classes_equally():
    # Two frequent classes, and a rare one whose only instance is missed.
    detections = np.array([[8, 0, 2, 0], [5, 5, 0, 0], [0, 0, 0, 1], [3, 0, 0, 0]])
    shares, columns = metrics.group_shares(detections, ["f", "f", "r"])
    assert columns == ["itself", "other frequent", "other common", "other rare", "missed"]
    np.testing.assert_allclose(shares[0], [0.65, 0.25, 0, 0.1, 0])
    assert np.isnan(shares[1]).all()
    np.testing.assert_allclose(shares[2], [0, 0, 0, 0, 1])


def test_group_totals_and_bias():
    totals = metrics.group_totals(DETECTIONS, GROUPS)
    # The row of frequent classes: means of (0.8, 0, 0) and (0.9, 0, 0.1).
    np.testing.assert_allclose(totals, [[0.85, 0, 0.05], [0.5, 0.5, 0], [0.5, 0, 0]])
    bias = metrics.group_bias(DETECTIONS, GROUPS)
    np.testing.assert_allclose(bias, [[0, -0.5, -0.45], [0.5, 0, 0], [0.45, 0, 0]])
    assert np.isnan(metrics.group_totals(LEARNED, GROUPS)[2]).all()


def test_bias_is_antisymmetric_and_leaves_background_out():
    bias = metrics.bias(DETECTIONS, num_classes=4)
    np.testing.assert_allclose(bias, -bias.T)
    np.testing.assert_allclose(bias[2], [0.5, 0, 0, 0])
    np.testing.assert_allclose(bias[0, 1], 0.2 - 0.1)
    assert np.isnan(metrics.bias(LEARNED)[3]).all()


def test_worst_pairs_of_detections_and_of_a_running_matrix():
    rows = metrics.worst_pairs(DETECTIONS, NAMES, GROUPS, count=3)
    assert [(row["true"], row["predicted"], row["count"]) for row in rows] == [
        ("cat", "ant", 2),
        ("dog", "ant", 1),
        ("ant", "bee", 2),
    ]
    assert rows[2] == {
        **{"true": "ant", "true_group": "frequent", "predicted": "bee"},
        **{"predicted_group": "frequent", "share": 0.2, "reverse_share": 0.1, "bias": 0.1},
        "count": 2,
        **{"true_label": 0, "predicted_label": 1},
    }
    enough = metrics.worst_pairs(DETECTIONS, NAMES, GROUPS, min_objects=4)
    assert [row["true"] for row in enough] == ["cat", "ant", "bee", "bee"]
    # A class with too few objects may still be predicted for another class.
    assert enough[-1]["predicted"] == "dog" and enough[-1]["reverse_share"] == 0
    learned = metrics.worst_pairs(LEARNED, NAMES, GROUPS)
    assert len(learned) == 5 and "count" not in learned[0]
    assert learned[0]["share"] == 0.5 and learned[0]["true"] == "cat"


def test_pairs_by_bias():
    matrix = np.array([[5, 5, 0], [5, 5, 0], [3, 0, 7]])
    rows = metrics.worst_pairs(matrix, ["a", "b", "c"], ["f", "f", "r"], by="bias")
    assert [(row["true"], row["predicted"], row["bias"]) for row in rows] == [("c", "a", 0.3)]
    with pytest.raises(ValueError, match="'by' must be 'share' or 'bias', got 'x'"):
        metrics.worst_pairs(matrix, ["a", "b", "c"], ["f", "f", "r"], by="x")


def test_largest_pairs_are_at_most_all_pairs():
    assert metrics.largest_pairs(np.eye(3), 5) == []
    assert metrics.largest_pairs(np.ones((2, 2)), 0) == []
    with pytest.raises(ValueError, match="argument 'count' must be at least 0, got -1"):
        metrics.largest_pairs(np.ones((2, 2)), -1)
    rng = np.random.default_rng(0)
    values = rng.integers(-3, 6, (30, 30))
    pairs = metrics.largest_pairs(values, 2000)
    assert len(pairs) == (values * (1 - np.eye(30)) > 0).sum()
    found = [values[pair] for pair in pairs]
    assert found == sorted(found, reverse=True)
    assert metrics.largest_pairs(values, 7) == pairs[:7]


def test_changed_pairs():
    after = DETECTIONS.copy()
    after[2] = [0, 0, 4, 0, 0]
    after[0] = [5, 3, 0, 0, 2]
    rows = metrics.changed_pairs(DETECTIONS, after, NAMES, GROUPS)
    assert [(row["true"], row["predicted"], row["change"]) for row in rows] == [
        ("cat", "ant", -0.5),
        ("ant", "bee", 0.1),
    ]
    assert rows[0]["before"] == 0.5 and rows[0]["after"] == 0.0
    assert metrics.changed_pairs(after, after, NAMES, GROUPS) == []
    with pytest.raises(ValueError, match="cannot be compared"):
        metrics.share_difference(LEARNED, DETECTIONS)


def test_nearest_classes_add_both_directions():
    assert metrics.nearest_classes(DETECTIONS, 0, num_classes=4) == [0, 2, 3, 1]
    assert metrics.nearest_classes(DETECTIONS, 0, count=1, num_classes=4) == [0, 2]
    assert metrics.nearest_classes(np.eye(3), 1) == [1]


def test_entropy_of_labels_in_bits():
    labels = np.array([[1, 0, 0, 0], [0.25] * 4, [0.1, 0.1, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(metrics.label_entropy(labels), [0, 2, 1, NAN])


@pytest.mark.parametrize("by", ["frequency", "cluster", "name"])
def test_order_is_a_permutation_of_the_classes(by):
    rng = np.random.default_rng(0)
    matrix = rng.random((31, 31))
    matrix[5] = NAN
    names, counts = [f"n{label * 7 % 30}" for label in range(30)], rng.integers(1, 99, 30)
    order = metrics.class_order(matrix, by, counts, names)
    assert sorted(order.tolist()) == list(range(30))


def test_clusters_are_side_by_side():
    matrix = np.eye(6)
    for one, other in ((0, 3), (1, 5), (2, 4)):
        matrix[one, other] = matrix[other, one] = 1
    order = metrics.class_order(matrix, "cluster").tolist()
    assert {frozenset(order[k : k + 2]) for k in (0, 2, 4)} == {
        frozenset({0, 3}),
        frozenset({1, 5}),
        frozenset({2, 4}),
    }


def test_order_names_what_it_needs():
    with pytest.raises(ValueError, match="order must be one of frequency, cluster, name, got 'x'"):
        metrics.class_order(np.eye(2), "x")
    with pytest.raises(ValueError, match="pass `image_count`"):
        metrics.class_order(np.eye(2), "frequency")
    with pytest.raises(ValueError, match="needs the class names"):
        metrics.class_order(np.eye(2), "name")


def test_matrices_of_different_kinds_are_not_compared():
    learned = np.eye(len(NAMES))
    with pytest.raises(ValueError, match=r"cannot be compared: pass two matrices of the same kind"):
        metrics.changed_pairs(learned, DETECTIONS, NAMES, GROUPS)
