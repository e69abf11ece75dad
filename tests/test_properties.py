"""What holds of every batch, matrix and soft label, on inputs that hypothesis makes up."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcb import batch_confusion, fightback_soft_labels, update_confusion
from pcb.datasets import Annotations
from pcb.evaluation import count_detections

QUICK = settings(deadline=None, derandomize=True, max_examples=40)
ACTIVATIONS = st.sampled_from(["softmax", "sigmoid"])


def tensors(shape: tuple[int, ...], low: float, high: float):
    """Doubles that vary over the whole range, each entry its own."""
    size = int(np.prod(shape))
    values = st.lists(st.floats(low, high), min_size=size, max_size=size)
    return values.map(lambda v: torch.tensor(v, dtype=torch.float64).reshape(shape))


@st.composite
def batches(draw, most: int = 8):
    """Logits (P, C) and labels (P,), P from 0."""
    num, num_classes = draw(st.integers(0, most)), draw(st.integers(1, 5))
    labels = draw(st.lists(st.integers(0, num_classes - 1), min_size=num, max_size=num))
    logits = draw(tensors((num, num_classes), -60, 60))
    return logits, torch.tensor(labels, dtype=torch.long)


@st.composite
def matrices(draw):
    """Non-negative (C, C), with zeros among the entries, and columns of nothing else."""
    num_classes = draw(st.integers(1, 6))
    matrix = draw(tensors((num_classes, num_classes), 0, 1))
    matrix[matrix < 0.2] = 0
    empty = draw(st.lists(st.booleans(), min_size=num_classes, max_size=num_classes))
    matrix[:, torch.tensor(empty)] = 0
    return matrix


def permutation(data: st.DataObject, length: int) -> torch.Tensor:
    return torch.tensor(data.draw(st.permutations(range(length))), dtype=torch.long)


@QUICK
@given(batch=batches(), activation=ACTIVATIONS, momentum=st.floats(0, 0.999), data=st.data())
def test_running_matrix(batch, activation, momentum, data):
    logits, labels = batch
    num_classes = logits.shape[1]
    before = data.draw(tensors((num_classes, num_classes), 0.01, 1))
    is_softmax = activation == "softmax"
    sums, counts = batch_confusion(logits, labels, activation)
    after = update_confusion(before, sums, counts, momentum, normalize_rows=is_softmax)
    seen = torch.bincount(labels, minlength=num_classes) > 0
    assert torch.equal(counts > 0, seen) and counts.sum() == len(labels)
    assert torch.equal(after[~seen], before[~seen])  # bit for bit
    assert after.isfinite().all() and (after >= 0).all()
    if is_softmax:
        torch.testing.assert_close(sums.sum(1), counts)
        torch.testing.assert_close(after[seen].sum(1), torch.ones_like(counts[seen]))
    order = permutation(data, len(labels))
    for found, expected in zip(
        batch_confusion(logits[order], labels[order], activation), (sums, counts), strict=True
    ):
        torch.testing.assert_close(found, expected)


@QUICK
@given(batch=batches(), activation=ACTIVATIONS, data=st.data())
def test_joined_batches_are_the_sums_of_their_parts(batch, activation, data):
    logits, labels = batch
    cut = data.draw(st.integers(0, len(labels)))
    whole = batch_confusion(logits, labels, activation)
    first = batch_confusion(logits[:cut], labels[:cut], activation)
    second = batch_confusion(logits[cut:], labels[cut:], activation)
    for joined, one, other in zip(whole, first, second, strict=True):
        torch.testing.assert_close(joined, one + other)


@QUICK
@given(matrix=matrices(), normalize=st.booleans(), data=st.data())
def test_soft_labels(matrix, normalize, data):
    labels = fightback_soft_labels(matrix, normalize)
    assert labels.isfinite().all() and (labels >= 0).all()
    nothing = matrix.sum(0) == 0  # was ever taken for these
    one_hot = torch.eye(len(matrix), dtype=matrix.dtype)
    assert torch.equal(labels[nothing], one_hot[nothing])
    if normalize:
        torch.testing.assert_close(labels.sum(1), torch.ones(len(matrix), dtype=matrix.dtype))
        proportions = labels * matrix.sum(0).unsqueeze(1)
        torch.testing.assert_close(proportions[~nothing], matrix.t()[~nothing])
    else:
        assert torch.equal(labels[~nothing], matrix.t()[~nothing])
    order = permutation(data, len(matrix))
    renamed = fightback_soft_labels(matrix[order][:, order], normalize)
    torch.testing.assert_close(renamed, labels[order][:, order])


@QUICK
@given(diagonal=st.lists(st.floats(0, 1e6), min_size=1, max_size=6))
def test_diagonal_matrix_gives_one_hot_labels(diagonal):
    matrix = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    one_hot = torch.eye(len(matrix), dtype=torch.float64)
    torch.testing.assert_close(fightback_soft_labels(matrix), one_hot)


@st.composite
def scenes(draw):
    """Ground truth of a few images and classes, and detections of distinct scores."""
    number = st.integers(0, 12).map(lambda value: 5.0 * value)
    boxes = st.tuples(number, number, number.map(lambda v: v + 5), number.map(lambda v: v + 5))
    classes, image_ids = list(range(1, draw(st.integers(1, 4)) + 1)), [4, 9]
    subset = st.lists(st.sampled_from(classes), unique=True)
    images = [
        {
            **{"id": image_id, "width": 130, "height": 130},
            "neg_category_ids": draw(subset),
            "not_exhaustive_category_ids": draw(subset),
        }
        for image_id in image_ids
    ]
    placed = st.tuples(st.sampled_from(image_ids), st.sampled_from(classes), boxes)
    records = [
        {"image_id": image_id, "category_id": label, "bbox": list(box)}
        for image_id, label, box in draw(st.lists(placed, max_size=8))
    ]
    found = [
        {"image_id": image_id, "category_id": label, "bbox": list(box)}
        for image_id, label, box in draw(st.lists(placed, max_size=10))
    ]
    # Some detections lie on objects, so that not only chance matches.
    found += [dict(record) for record in records[: draw(st.integers(0, len(records)))]]
    scores = st.lists(st.integers(1, 999), min_size=len(found), max_size=len(found), unique=True)
    results = [
        {**result, "score": score / 1000} for result, score in zip(found, draw(scores), strict=True)
    ]
    annotations = [
        {**record, "id": number, "area": 25.0} for number, record in enumerate(records, start=1)
    ]
    categories = [{"id": label, "name": str(label)} for label in classes]
    return Annotations("scene.json", images, annotations, categories), results


@settings(QUICK, max_examples=60)
@given(scene=scenes(), data=st.data())
def test_matrix_of_detections(scene, data):
    truth, results = scene
    threshold = data.draw(st.integers(0, 1000)) / 1000
    confusion, left_out = count_detections(truth, results, score_threshold=threshold)
    labels = [truth.label_of[record["category_id"]] for record in truth.annotations]
    instances = np.bincount(np.array(labels, int), minlength=len(truth.categories))
    np.testing.assert_array_equal(confusion[:-1].sum(axis=1), instances)
    kept = [result for result in results if result["score"] >= threshold]
    assert confusion[:, :-1].sum() + left_out.sum() == len(kept)
    assert confusion.min() >= 0 and left_out.min() >= 0 and confusion[-1, -1] == 0

    shuffled = data.draw(st.permutations(results))
    other, other_left_out = count_detections(truth, shuffled, score_threshold=threshold)
    np.testing.assert_array_equal(other, confusion)
    np.testing.assert_array_equal(other_left_out, left_out)


@QUICK
@given(scene=scenes(), data=st.data())
def test_higher_score_threshold_only_takes_detections_away(scene, data):
    """A greedy match does not depend on detections that score less, so nothing else moves."""
    truth, results = scene
    low, high = sorted(data.draw(st.tuples(*[st.integers(0, 1000)] * 2)))
    many, many_left_out = count_detections(truth, results, score_threshold=low / 1000)
    few, few_left_out = count_detections(truth, results, score_threshold=high / 1000)
    assert (few[:, :-1] <= many[:, :-1]).all() and (few_left_out <= many_left_out).all()
    assert (few[:-1, -1] >= many[:-1, -1]).all()
