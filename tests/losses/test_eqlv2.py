"""EQL v2 and EQL v2 + PCB. Properties of all losses are tested in test_every_loss.py."""

import pytest
import torch
import torch.nn.functional as F

from pcb import EQLv2Loss, PairwiseClassBalance


@pytest.fixture
def loss_type():
    return EQLv2Loss


def test_the_first_call_is_unweighted(make_batch):
    logits, labels = make_batch()
    targets = F.one_hot(labels, 6).double()
    expected = F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(labels)
    torch.testing.assert_close(EQLv2Loss(5, background="last").double()(logits, labels), expected)


def test_weights_follow_the_accumulated_gradients(make_batch):
    logits, labels = make_batch()
    loss = EQLv2Loss(5, gamma=2.0, mu=0.5, alpha=3.0, background="last").double()
    loss(logits, labels)
    targets = F.one_hot(labels, 6).double()
    gradients = (logits.sigmoid() - targets).abs().detach()
    positive, negative = (gradients * targets).sum(0), (gradients * (1 - targets)).sum(0)
    torch.testing.assert_close(loss.positive_gradient, positive[:5])
    torch.testing.assert_close(loss.negative_gradient, negative[:5])
    negative_weight = 1 / (1 + (-2.0 * (positive / negative - 0.5)).exp())
    negative_weight[5] = 1.0  # background
    positive_weight = 1 + 3.0 * (1 - negative_weight)
    torch.testing.assert_close(loss.class_weights(logits), (positive_weight, negative_weight))


def test_targets_are_mixed_without_normalising(make_batch):
    logits, labels = make_batch()
    balance = PairwiseClassBalance(5, alpha=0.2, activation="sigmoid").double()
    value = EQLv2Loss(5, balance, background="last").double()(logits, labels)
    targets = F.one_hot(labels, 6).double()
    for n, y in enumerate(labels.tolist()):
        if y < 5:
            targets[n, :5] = 0.2 * balance.confusion[:, y] + 0.8 * targets[n, :5]
    expected = F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(labels)
    torch.testing.assert_close(value, expected)


def test_first_call_state_survives_saving_and_a_state_without_it_loads():
    loss, other = EQLv2Loss(3, background="last"), EQLv2Loss(3, background="last")
    loss(torch.zeros(0, 4, requires_grad=True), torch.zeros(0, dtype=torch.long))
    assert loss.has_gradients == 0
    loss(torch.randn(8, 4, requires_grad=True), torch.arange(8) % 4)
    other.load_state_dict(loss.state_dict())
    logits = torch.randn(2, 4)
    torch.testing.assert_close(other.class_weights(logits), loss.class_weights(logits))
    fresh = EQLv2Loss(3, background="last")
    fresh.load_state_dict({}, strict=False)
    ones = (torch.ones(4), torch.ones(4))
    torch.testing.assert_close(fresh.class_weights(logits), ones)


def test_scores_combine_class_and_background():
    scores = EQLv2Loss(2, background="last").scores(torch.tensor([[0.0, torch.inf, 0.0]]))
    torch.testing.assert_close(scores, torch.tensor([[0.25, 0.5, 0.5]]))


def test_a_balance_for_softmax_is_refused():
    with pytest.raises(ValueError, match="activation='sigmoid'"):
        EQLv2Loss(3, PairwiseClassBalance(3, alpha=0.2))
