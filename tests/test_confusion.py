"""The running confusion matrix, its momentum, and the soft labels."""

import pytest
import torch

from pcb import batch_confusion, fightback_soft_labels, scaled_momentum, update_confusion


def random_batch(num=50, num_classes=6, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num, num_classes, generator=generator, dtype=dtype)
    return logits, torch.randint(
        num_classes - 1, (num,), generator=generator
    )  # the last class does not occur


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_update_follows_the_definition_row_by_row(activation):
    logits, labels = random_batch()
    before = torch.rand(6, 6, dtype=torch.float64)
    normalize = activation == "softmax"
    updated = update_confusion(
        before, *batch_confusion(logits, labels, activation), 0.9, normalize_rows=normalize
    )
    predicted = logits.softmax(1) if activation == "softmax" else logits.sigmoid()
    for true in range(6):
        of_class = predicted[labels == true]
        if len(of_class) == 0:
            assert torch.equal(updated[true], before[true])
            continue
        row = 0.9 * before[true] + 0.1 * of_class.mean(0)
        torch.testing.assert_close(updated[true], row / row.sum() if normalize else row)


def test_first_update_becomes_the_whole_row():
    logits, labels = random_batch()
    confusion = update_confusion(
        torch.zeros(6, 6, dtype=torch.float64), *batch_confusion(logits, labels)
    )
    torch.testing.assert_close(confusion[0], logits.softmax(1)[labels == 0].mean(0))
    assert (confusion[5] == 0).all()  # never seen


def test_batches_add_up():
    logits, labels = random_batch()
    whole = batch_confusion(logits, labels)
    parts = [batch_confusion(logits[s], labels[s]) for s in (slice(20), slice(20, None))]
    for joined, first, second in zip(whole, *parts, strict=True):
        torch.testing.assert_close(joined, first + second)


def test_no_instances_change_nothing():
    empty = torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)
    confusion = torch.rand(3, 3)
    assert torch.equal(update_confusion(confusion, *batch_confusion(*empty)), confusion)


@pytest.mark.parametrize(
    "dtype, expected",
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_precision_is_at_least_single(dtype, expected):
    logits, labels = random_batch(dtype=dtype if dtype.itemsize > 2 else torch.float32)
    sums, counts = batch_confusion(logits.to(dtype), labels)
    assert sums.dtype == counts.dtype == expected
    assert not sums.requires_grad


def test_scaled_momentum_forgets_the_first_update():
    momentum = scaled_momentum(calls=40, first_update_weight=0.1)
    assert momentum**39 == pytest.approx(0.1)
    assert scaled_momentum(calls=1e6) == 0.99
    with pytest.raises(ValueError, match="expected more than 1 update"):
        scaled_momentum(1)
    with pytest.raises(ValueError, match="first_update_weight"):
        scaled_momentum(9, first_update_weight=1)


def test_soft_labels_are_normalised_columns():
    confusion = torch.rand(4, 4, dtype=torch.float64)
    labels = fightback_soft_labels(confusion)
    torch.testing.assert_close(labels.sum(1), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(labels[2], confusion[:, 2] / confusion[:, 2].sum())
    torch.testing.assert_close(
        fightback_soft_labels(confusion, normalize_columns=False)[2], confusion[:, 2]
    )


def test_diagonal_confusion_gives_one_hot_labels():
    assert torch.equal(fightback_soft_labels(0.3 * torch.eye(5)), torch.eye(5))


@pytest.mark.parametrize("normalize", [True, False])
def test_class_that_is_never_predicted_keeps_its_one_hot_label(normalize):
    confusion = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    labels = fightback_soft_labels(confusion, normalize)
    assert torch.equal(labels[1], torch.tensor([0.0, 1.0]))
    assert labels.isfinite().all()
