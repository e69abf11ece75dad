"""The position of background is given, never guessed."""

import pytest
import torch

from pcb import SeesawLoss

C = 5


@pytest.fixture
def extra(make_batch):
    """Number of columns that a detector's logits have besides those of the classes."""
    return make_batch()[0].shape[1] - C


def background_first(loss_type, logits, labels):
    """Return the same batch in torchvision's order."""
    if loss_type is not SeesawLoss:
        logits = logits.roll(1, dims=1)
    return logits.detach().requires_grad_(), (labels + 1) % (C + 1)


def test_background_first_is_the_same_loss(loss_type, make_balance, make_batch, total):
    logits, labels = make_batch()
    other_logits, other_labels = background_first(loss_type, logits, labels)
    last = loss_type(C, make_balance(), background="last").double()
    first = loss_type(C, make_balance(), background="first").double()
    for _ in range(3):
        values = total(last(logits, labels)), total(first(other_logits, other_labels))
        torch.testing.assert_close(*values, rtol=0, atol=0)
        (gradient,) = torch.autograd.grad(values[0], logits)
        (other_gradient,) = torch.autograd.grad(values[1], other_logits)
        expected, _ = background_first(loss_type, gradient, labels)
        torch.testing.assert_close(other_gradient, expected.detach(), rtol=0, atol=0)
    torch.testing.assert_close(first.state_dict(), last.state_dict(), rtol=0, atol=0)
    # The balance has foreground classes only: label 1 is its class 0.
    counted = torch.bincount(other_labels, minlength=C + 1)[1:]
    assert torch.equal(first.balance.instance_count, 3.0 * counted)
    scores = first.scores(other_logits), last.scores(logits)
    torch.testing.assert_close(scores[0], scores[1].roll(1, dims=1), rtol=0, atol=0)


def test_the_meaning_of_an_extra_column_is_not_guessed(loss_type, make_batch):
    logits, labels = make_batch()
    message = rf"got \(32, {logits.shape[1]}\).*background='last' .*5 .*background='first' .*0 "
    for compute in (lambda loss: loss(logits, labels), lambda loss: loss.scores(logits)):
        with pytest.raises(ValueError, match=message):
            compute(loss_type(C))


@pytest.mark.parametrize("background", ["last", "first"])
def test_a_missing_column_is_refused(loss_type, make_batch, extra, background):
    logits, labels = make_batch(background=False)
    message = rf"\(N, {C + extra}\) for 5 classes and background='{background}', got \(32, 5\)"
    with pytest.raises(ValueError, match=message):
        loss_type(C, background=background)(logits, labels)


@pytest.mark.parametrize(
    "background, label, message",
    [
        (None, C, r"\[0, 4\], got 5; classes are counted from 0, and this loss has no background"),
        (None, 9, r"\[0, 4\], got 9$"),
        ("last", 9, r"\[0, 5\], got 9; 5 is background"),
        ("first", 9, r"\[0, 5\], got 9; 0 is background, and classes are counted from 1"),
        ("first", -100, r"\[0, 5\], got -100; remove samples that should be ignored"),
    ],
)
def test_labels_out_of_range_are_named(loss_type, make_batch, background, label, message):
    logits, labels = make_batch(background=background is not None)
    labels[3] = label
    with pytest.raises(ValueError, match=message):
        loss_type(C, background=background)(logits, labels)


@pytest.mark.parametrize("background", ["lst", 0, True, "Last"])
def test_an_invalid_background_is_an_error(loss_type, background):
    with pytest.raises(ValueError, match=f"None, 'last' or 'first', got {background!r}"):
        loss_type(C, background=background)


def test_wrong_shapes_are_named(loss_type):
    with pytest.raises(ValueError, match=r"labels must have the shape \(4,\).*got \(3,\)"):
        loss_type(C)(torch.zeros(4, C), torch.zeros(3, dtype=torch.long))
    with pytest.raises(
        ValueError, match=r"\(N, 5\) for 5 classes and no background, got \(4, 5, 2\)"
    ):
        loss_type(C)(torch.zeros(4, C, 2), torch.zeros(4, dtype=torch.long))
