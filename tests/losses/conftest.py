"""Fixtures for the tests of all losses."""

import pytest
import torch

from pcb import CrossEntropyLoss, EQLv2Loss, PairwiseClassBalance, SeesawLoss

# Number of columns that a detector's logits have besides those of the classes.
EXTRA = {CrossEntropyLoss: 1, EQLv2Loss: 1, SeesawLoss: 2}


@pytest.fixture(params=EXTRA, ids=lambda loss: loss.__name__)
def loss_type(request):
    return request.param


@pytest.fixture
def make_balance(loss_type):
    """Make a balance for the loss, in double precision like the logits of the tests."""
    activation = "sigmoid" if loss_type is EQLv2Loss else "softmax"

    def make(num_classes=5, alpha=0.4, **settings):
        return PairwiseClassBalance(num_classes, alpha, activation=activation, **settings).double()

    return make


@pytest.fixture
def make_loss(loss_type):
    """Make the loss for 5 classes, by default with background last."""

    def make(balance=None, background=True, **settings):
        return loss_type(5, balance, background="last" if background else None, **settings)

    return make


@pytest.fixture
def make_batch(loss_type):
    """Make logits (N, C), or wider ones for a detector, and labels that contain every class."""

    def make(num=32, num_classes=5, background=True, seed=0, dtype=torch.float64):
        generator = torch.Generator().manual_seed(seed)
        width = num_classes + EXTRA[loss_type] * background
        logits = torch.randn(num, width, generator=generator, dtype=dtype, requires_grad=True)
        labels = torch.randint(num_classes + background, (num,), generator=generator)
        labels[:num_classes] = torch.arange(num_classes)  # opens the gate
        return logits, labels

    return make


@pytest.fixture
def total():
    """Sum the terms of a loss that returns a dict; return a single tensor unchanged."""
    return lambda losses: sum(losses.values()) if isinstance(losses, dict) else losses
