"""Cross-entropy with PCB. Properties of all losses are tested in test_every_loss.py."""

import pytest
import torch
import torch.nn.functional as F

from pcb import CrossEntropyLoss, PairwiseClassBalance, fightback_soft_labels


@pytest.fixture
def loss_type():
    return CrossEntropyLoss


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("balance", [None, PairwiseClassBalance(5, alpha=0.0)])
def test_without_strength_it_is_cross_entropy(make_batch, background, balance):
    logits, labels = make_batch(background=background)
    weights = torch.rand(len(labels), dtype=torch.float64)
    ours = CrossEntropyLoss(5, balance, "last" if background else None)(
        logits, labels, weights, 7.0
    )
    plain = (weights * F.cross_entropy(logits, labels, reduction="none")).sum() / 7.0
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-15)
    gradients = [torch.autograd.grad(value, logits)[0] for value in (ours, plain)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-15)


def test_value_follows_the_equation(make_batch):
    logits, labels = make_batch()
    weights = torch.rand(len(labels), dtype=torch.float64)
    balance = PairwiseClassBalance(5, alpha=0.4).double()
    loss = CrossEntropyLoss(5, balance, "last")(logits, labels, weights, avg_factor=11.0)
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
