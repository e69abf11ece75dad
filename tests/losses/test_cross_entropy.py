"""Cross-entropy with PCB: identities, gradients, bad input. Reference numbers: tests/detection."""

import pytest
import torch
import torch.nn.functional as F

from pcb import CrossEntropyLoss, PairwiseClassBalance, fightback_soft_labels


def batch(num=32, num_classes=5, background=True, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    width = num_classes + background
    logits = torch.randn(num, width, generator=generator, dtype=dtype, requires_grad=True)
    labels = torch.randint(width, (num,), generator=generator)
    labels[:num_classes] = torch.arange(num_classes)  # every class occurs, so the gate is open
    return logits, labels, torch.rand(num, generator=generator, dtype=dtype)


def value_and_gradient(loss, logits):
    (gradient,) = torch.autograd.grad(loss, logits)
    return loss.detach(), gradient


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("balance", [None, PairwiseClassBalance(5, alpha=0.0)])
def test_without_strength_it_is_cross_entropy(background, balance):
    logits, labels, weights = batch(background=background)
    ours = CrossEntropyLoss(5, balance)(logits, labels, weights, avg_factor=7.0)
    plain = (weights * F.cross_entropy(logits, labels, reduction="none")).sum() / 7.0
    for a, b in zip(
        value_and_gradient(ours, logits), value_and_gradient(plain, logits), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-15)


def test_the_first_of_several_iterations_is_cross_entropy():
    logits, labels, _ = batch()
    loss = CrossEntropyLoss(5, PairwiseClassBalance(5, alpha=0.4, num_iterations=3))
    torch.testing.assert_close(loss(logits, labels, iteration=0), F.cross_entropy(logits, labels))


def test_a_single_iteration_has_the_full_strength():
    logits, labels, weights = batch()
    values = [
        CrossEntropyLoss(5, PairwiseClassBalance(5, alpha=0.4, num_iterations=k))(
            logits, labels, weights, iteration=k - 1
        )
        for k in (1, 3)
    ]
    torch.testing.assert_close(*values)


def test_value_follows_the_equation():
    logits, labels, weights = batch()
    balance = PairwiseClassBalance(5, alpha=0.4).double()
    loss = CrossEntropyLoss(5, balance)(logits, labels, weights, avg_factor=11.0)
    log_p = logits.log_softmax(1)
    expected = 0.0
    soft = fightback_soft_labels(balance.confusion)
    for n, label in enumerate(labels.tolist()):
        cross_entropy = -weights[n] * log_p[n, label] / 11.0
        if label == 5:
            expected += cross_entropy
            continue
        divergence = (soft[label] * (soft[label].log() - log_p[n, :5])).sum()
        expected += 0.6 * cross_entropy + 0.4 * divergence / len(labels)
    torch.testing.assert_close(loss, expected)


def test_gradient_with_balance():
    logits, labels, weights = batch(num=12)
    loss = CrossEntropyLoss(5, PairwiseClassBalance(5, alpha=0.4, momentum=0.0).double())
    loss(logits, labels, weights)  # fills the matrix
    frozen = loss.balance.state_dict()

    def evaluate(x):
        loss.balance.load_state_dict(frozen)
        loss.balance.observe = lambda *_: None  # soft labels are constants of the gradient
        return loss(x, labels, weights)

    assert torch.autograd.gradcheck(evaluate, logits)


def test_batch_without_positives_or_without_anything():
    loss = CrossEntropyLoss(2, PairwiseClassBalance(2, alpha=0.4))
    loss(torch.zeros(2, 3), torch.tensor([0, 1]))
    logits = torch.zeros(4, 3, requires_grad=True)
    torch.testing.assert_close(
        loss(logits, torch.full((4,), 2)).item(), torch.tensor(3.0).log().item()
    )
    empty = torch.zeros(0, 3, requires_grad=True)
    value = loss(empty, torch.zeros(0, dtype=torch.long))
    value.backward()
    assert value == 0


def test_half_precision_is_computed_in_single():
    logits, labels, _ = batch(dtype=torch.float32)
    half = logits.detach().half().requires_grad_()
    loss = CrossEntropyLoss(5, PairwiseClassBalance(5, alpha=0.4))
    value = loss(half, labels)
    assert value.dtype == torch.float32
    again = CrossEntropyLoss(5, PairwiseClassBalance(5, alpha=0.4))
    torch.testing.assert_close(value, again(half.float(), labels))
    value.backward()
    assert half.grad.isfinite().all()


@pytest.mark.parametrize("background", [True, False])
def test_label_out_of_range_is_named(background):
    logits, labels, _ = batch(background=background)
    labels[3] = 14
    with pytest.raises(ValueError, match=f"lie in .0, {4 + background}., got 14"):
        CrossEntropyLoss(5)(logits, labels)


def test_refused_labels_leave_the_matrix_as_it_was():
    loss = CrossEntropyLoss(2, PairwiseClassBalance(2, alpha=0.4))
    with pytest.raises(ValueError, match="got -1"):
        loss(torch.zeros(1, 2), torch.tensor([-1]))
    assert (loss.balance.instance_count == 0).all()


def test_widths_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="5 columns, or 6 with background last, got 9"):
        CrossEntropyLoss(5)(torch.zeros(1, 9), torch.tensor([0]))
    with pytest.raises(ValueError, match="balance is for 4 classes, the loss for 5"):
        CrossEntropyLoss(5, PairwiseClassBalance(4, alpha=0.4))


def test_evaluation_does_not_change_what_was_observed():
    logits, labels, _ = batch()
    loss = CrossEntropyLoss(5, PairwiseClassBalance(5, alpha=0.4)).eval()
    loss(logits, labels)
    assert (loss.balance.instance_count == 0).all()
