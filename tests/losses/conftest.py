"""What the tests of all losses share."""

import pytest
import torch

from pcb import CrossEntropyLoss, EQLv2Loss, PairwiseClassBalance, SeesawLoss

EXTRA = {CrossEntropyLoss: 1, EQLv2Loss: 1, SeesawLoss: 2}  # columns of a detector


@pytest.fixture(params=EXTRA, ids=lambda loss: loss.__name__)
def loss_type(request):
    return request.param


@pytest.fixture
def make_balance(loss_type):
    """Balance for the loss; its matrix is in double precision as the tests' logits are."""
    activation = "sigmoid" if loss_type is EQLv2Loss else "softmax"

    def make(num_classes=5, alpha=0.4, **settings):
        return PairwiseClassBalance(num_classes, alpha, activation=activation, **settings).double()

    return make


@pytest.fixture
def make_loss(loss_type):
    """The loss for 5 classes and, unless told otherwise, background last."""

    def make(balance=None, background=True, **settings):
        return loss_type(5, balance, background="last" if background else None, **settings)

    return make


@pytest.fixture
def make_batch(loss_type):
    """Logits (N, C), or for a detector with further columns, and labels in which each occurs."""

    def make(num=32, num_classes=5, background=True, seed=0, dtype=torch.float64):
        generator = torch.Generator().manual_seed(seed)
        width = num_classes + EXTRA[loss_type] * background
        logits = torch.randn(num, width, generator=generator, dtype=dtype, requires_grad=True)
        labels = torch.randint(num_classes + background, (num,), generator=generator)
        labels[:num_classes] = torch.arange(num_classes)  # so that the gate is open
        return logits, labels

    return make


@pytest.fixture
def total():
    """The loss as one number, whether a loss returns one or several by name."""
    return lambda losses: sum(losses.values()) if isinstance(losses, dict) else losses
