"""State keeps its precision, whatever happens to the model around it."""

import copy

import pytest
import torch
from torch import nn

from pcb import CrossEntropyLoss, EQLv2Loss, PairwiseClassBalance, SeesawLoss

LOSSES = {CrossEntropyLoss: "softmax", EQLv2Loss: "sigmoid", SeesawLoss: "softmax"}

CONVERSIONS = {
    "half": nn.Module.half,
    "bfloat16": nn.Module.bfloat16,
    "to dtype": lambda model: model.to(torch.float16),
    "to keyword": lambda model: model.to(dtype=torch.bfloat16),
    "to device and dtype": lambda model: model.to("cpu", torch.float16),
    "to like": lambda model: model.to(torch.zeros(1, dtype=torch.bfloat16)),
    "type": lambda model: model.type(torch.float16),
    "apply": lambda model: model.apply(lambda module: module.to(torch.bfloat16)),
    "there and back": lambda model: model.half().float(),
    "copy": lambda model: copy.deepcopy(model).half(),
}


@pytest.fixture(params=LOSSES, ids=lambda loss: loss.__name__)
def loss_type(request):
    return request.param


def make_model(loss_type, num_classes=3):
    balance = PairwiseClassBalance(num_classes, alpha=0.4, activation=LOSSES[loss_type])
    modules = {"layer": nn.Linear(2, num_classes), "criterion": loss_type(num_classes, balance)}
    return nn.ModuleDict(modules)


def learn(model, num=1):
    logits = model["layer"](torch.ones(3, 2).to(model["layer"].weight.dtype))
    for _ in range(num):
        model["criterion"](logits, torch.tensor([0, 1, 2]))


def dtypes(model):
    return {name: buffer.dtype for name, buffer in model.named_buffers()}


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=CONVERSIONS)
def test_narrowing_a_model_does_not_change_the_state(loss_type, convert):
    model = make_model(loss_type)
    learn(model, num=300)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model = convert(model)
    torch.testing.assert_close(dict(model.named_buffers()), before, rtol=0, atol=0)
    assert (model["criterion"].balance.update_count == 300).all()
    learn(model)
    assert (model["criterion"].balance.update_count == 301).all()


def test_counts_keep_growing_in_a_half_precision_model(loss_type):
    model = make_model(loss_type).bfloat16()
    assert model["layer"].weight.dtype == torch.bfloat16
    learn(model, num=300)  # in bfloat16, 256 + 1 is 256
    balance = model["criterion"].balance
    assert balance.instance_count.tolist() == balance.update_count.tolist() == [300, 300, 300]
    balance.set_epoch(257)
    assert balance.epoch == 257


def test_widening_and_moving_work_as_usual(loss_type):
    model = make_model(loss_type).double()
    assert {d for d in dtypes(model).values() if d.is_floating_point} == {torch.float64}
    assert model.to("meta")["criterion"].balance.confusion.is_meta
    assert dtypes(model.half()) == dtypes(model)


def test_state_built_on_the_meta_device_starts_as_new(loss_type):
    """``to_empty`` leaves arbitrary values, and nothing else initialises the buffers."""
    with torch.device("meta"):
        model = make_model(loss_type)
    model["criterion"].balance.require_classes([0, 2])
    model.to_empty(device="cpu")
    new = make_model(loss_type)
    new["criterion"].balance.require_classes([0, 2])
    torch.testing.assert_close(dict(model.named_buffers()), dict(new.named_buffers()))
    assert model["criterion"].balance.unseen_classes() == [0, 2]


@pytest.mark.parametrize("assign", [False, True])
def test_a_checkpoint_in_half_precision_is_widened(loss_type, assign):
    model, other = make_model(loss_type), make_model(loss_type)
    learn(model, num=3)
    expected = dtypes(other)
    half = {name: value.half() for name, value in model.state_dict().items()}
    other.load_state_dict(half, assign=assign)
    assert dtypes(other) == expected
    torch.testing.assert_close(
        other["criterion"].state_dict(), model["criterion"].state_dict(), rtol=1e-3, atol=1e-3
    )


def test_counts_that_overflowed_in_a_checkpoint_are_refused():
    balance = PairwiseClassBalance(3, alpha=0.4)
    balance.instance_count.fill_(70_000)
    half = {name: value.half() for name, value in balance.state_dict().items()}
    with pytest.raises(
        RuntimeError, match=r"instance_count overflowed when it was saved in torch\.float16"
    ):
        PairwiseClassBalance(3, alpha=0.4).load_state_dict(half)
