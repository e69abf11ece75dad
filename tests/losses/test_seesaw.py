"""Seesaw and Seesaw + PCB. Properties of all losses are tested in test_every_loss.py."""

import math

import pytest
import torch
import torch.nn.functional as F

from pcb import PairwiseClassBalance, SeesawLoss, fightback_soft_labels


@pytest.fixture
def loss_type():
    return SeesawLoss


def test_factors_match_a_case_computed_by_hand():
    loss = SeesawLoss(3, p=0.5, q=2.0, eps=0.01).double()
    loss.cum_samples.copy_(torch.tensor([100.0, 25.0, 0.0, 7.0]))
    logits = torch.tensor([[0.1, 0.2, 0.7]], dtype=torch.float64).log()
    factors = loss.log_factors(logits, torch.tensor([0])).exp()
    # Class 1: a quarter of the samples, twice the score.
    # Class 2: no samples, which count as 1, and seven times the score.
    expected = torch.tensor([[1.0, math.sqrt(0.25) * 4, math.sqrt(0.01) * 49]]).double()
    torch.testing.assert_close(factors, expected)


def test_a_true_class_score_below_eps_counts_as_eps():
    loss = SeesawLoss(2, p=0.0, q=1.0, eps=0.1).double()
    logits = torch.tensor([[0.001, 0.999]], dtype=torch.float64).log()
    factors = loss.log_factors(logits, torch.tensor([0])).exp()
    torch.testing.assert_close(factors, torch.tensor([[1.0, 9.99]], dtype=torch.float64))


def test_without_factors_it_is_cross_entropy(make_batch):
    logits, labels = make_batch()
    losses = SeesawLoss(5, p=0.0, q=0.0, background="last")(logits, labels)
    positive = labels < 5
    classes = F.cross_entropy(logits[positive, :5], labels[positive], reduction="sum")
    torch.testing.assert_close(losses["loss_cls_classes"], classes / len(labels))
    objectness = F.cross_entropy(logits[:, 5:], (~positive).long())
    torch.testing.assert_close(losses["loss_cls_objectness"], objectness)


def test_samples_are_counted_before_the_loss():
    loss = SeesawLoss(3, background="last")
    loss(torch.zeros(4, 5, requires_grad=True), torch.tensor([0, 0, 2, 3]))
    loss(torch.zeros(1, 5, requires_grad=True), torch.tensor([0]))
    assert loss.cum_samples.tolist() == [3, 0, 1, 1]


def test_value_follows_the_equation(make_batch):
    logits, labels = make_batch()
    weights = torch.rand(len(labels), dtype=torch.float64)
    balance = PairwiseClassBalance(5, alpha=0.3).double()
    loss = SeesawLoss(5, balance, background="last").double()
    losses = loss(logits, labels, weights, avg_factor=11.0)
    counts = torch.bincount(labels, minlength=6).double()
    soft = fightback_soft_labels(balance.confusion)
    hard_sum = soft_sum = 0.0
    for n, y in enumerate(labels.tolist()):
        if y == 5:
            continue
        z, p = logits[n, :5], logits[n, :5].detach().softmax(0)
        factors = torch.tensor(
            [
                min(1.0, counts[j] / counts[y]) ** 0.8 * max(1.0, p[j] / max(p[y], 0.01)) ** 2.0
                for j in range(5)
            ]
        ).double()
        log_p = z + factors.log() - (factors * z.exp()).sum().log()
        hard_sum -= weights[n] * log_p[y]
        soft_sum -= weights[n] * (soft[y] * log_p).sum()
    torch.testing.assert_close(losses["loss_cls_classes"], 0.7 * hard_sum / 11.0)
    torch.testing.assert_close(losses["loss_pcb_classes"], 0.3 * soft_sum / 11.0)


def test_scores_combine_class_and_foreground():
    scores = SeesawLoss(2, background="last").scores(torch.tensor([[0.0, math.log(3), 0.0, 0.0]]))
    torch.testing.assert_close(scores, torch.tensor([[0.125, 0.375, 0.5]]))


@pytest.mark.parametrize("settings", [dict(p=-1.0), dict(q=-0.1), dict(eps=0.0)])
def test_wrong_settings_are_named(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=name):
        SeesawLoss(3, **settings)
