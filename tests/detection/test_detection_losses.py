"""Registered losses: official names, arguments and numbers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.models import build_loss

REFERENCE = Path(__file__).parents[1] / "reference"


def official(num_classes, type="CrossEntropyPCBLoss", **settings):
    return build_loss(dict(type=type, num_classes=num_classes, **settings))


RECORDED = {
    "ce_pcb": dict(type="CrossEntropyPCBLoss", alpha=0.4, momentum=0.9, start_epoch=2),
    "seesaw_pcb": dict(type="SeesawPCBLoss", alpha=0.05, momentum=0.9, start_epoch=2),
    "eqlv2_pcb": dict(type="EQLv2PCBLoss", alpha_pcb=0.2, momentum=0.9, start_epoch=2),
    # The plain losses, which here are the same with alpha 0.
    "seesaw": dict(type="SeesawPCBLoss"),
    "eqlv2": dict(type="EQLv2PCBLoss"),
}


@pytest.mark.parametrize("name, settings", [*RECORDED.items(), ("eqlv2", dict(type="EQLv2"))])
def test_equals_the_official_numbers(name, settings):
    """Losses, gradients and buffers of many calls; recorded from the official implementation."""
    recorded = np.load(REFERENCE / f"{name}.npz")
    meta = json.loads(str(recorded["meta"]))
    loss = official(meta["C"], **settings)
    calls = meta["T"] * meta["K"]
    for i in range(calls):
        call = {key: recorded[f"{i}_{key}"] for key in ("x", "y", "w", "avg", "epoch", "iter")}
        if loss.balance is not None:
            loss.balance.set_epoch(int(call["epoch"]))
        logits = torch.from_numpy(call["x"]).requires_grad_()
        values = loss(
            logits,
            torch.from_numpy(call["y"]),
            torch.from_numpy(call["w"]),
            avg_factor=float(call["avg"]),
            iter_id=int(call["iter"]),
        )
        values = values if isinstance(values, dict) else {"loss_cls": values}
        sum(values.values()).backward()
        prefix = f"{i}_out_"
        assert {prefix + k for k in values} == {k for k in recorded.files if k.startswith(prefix)}
        for key, value in values.items():
            np.testing.assert_allclose(value.detach(), recorded[prefix + key], rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(logits.grad, recorded[f"{i}_grad"], rtol=1e-5, atol=1e-7)
    assert f"{calls}_x" not in recorded.files
    state = loss.state_dict()
    for key in recorded.files:
        if key.startswith("buf_"):
            buffer = state[key.removeprefix("buf_")]
            np.testing.assert_allclose(buffer, recorded[key], rtol=1e-5, atol=1e-7)


def test_alpha_0_equals_mmdets_cross_entropy():
    logits = torch.randn(20, 6, requires_grad=True)
    labels, weights = torch.randint(6, (20,)), torch.rand(20)
    mmdets = build_loss(dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=2.0))
    ours = official(5, alpha=0.0, loss_weight=2.0)
    gradients = []
    for loss in (mmdets, ours):
        value = loss(logits, labels, weights, avg_factor=13.0)
        gradients.append(torch.autograd.grad(value, logits)[0])
    torch.testing.assert_close(*gradients)
    assert (ours.balance.instance_count[:5] == torch.bincount(labels, minlength=6)[:5]).all()


def test_state_has_official_names_and_loads_without_the_call_counts():
    loss, other = official(4), official(4)
    loss(torch.randn(8, 5), torch.arange(8) % 5)
    state = loss.state_dict()
    assert set(state) == {"fg_confusion_matrix", "num_inst_cnt", "_epoch", "update_count"}
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    assert shapes["fg_confusion_matrix"] == (4, 4) and shapes["_epoch"] == (1,)
    del state["update_count"]
    outcome = other.load_state_dict(state, strict=False)
    assert (outcome.missing_keys, outcome.unexpected_keys) == (["balance.update_count"], [])
    assert torch.equal(other.balance.confusion, loss.balance.confusion)


def test_classes_present_are_told_by_the_training_set():
    loss = official(3, alpha=0.4, start_epoch=1, required_classes="present")
    loss.describe_training_set(["cat", "dog", "axolotl"], [5, 2, 0])
    loss(torch.zeros(2, 4), torch.tensor([0, 1]))
    assert loss.balance.current_strength() == 0.4
    assert loss.balance.class_names[2] == "axolotl"


def test_label_out_of_range_names_background():
    with pytest.raises(ValueError, match=r"\[0, 11\], got 14; 11 is background"):
        official(11)(torch.zeros(1, 12), torch.tensor([14]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(use_sigmoid=True), "use_sigmoid must be False"),
        (dict(required_classes="some"), "'all', 'present' or a list of labels, got 'some'"),
        (dict(alpha=2), "alpha must lie in"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        build_loss({"type": "CrossEntropyPCBLoss", "num_classes": 3, **settings})


def test_agrees_with_plain_pytorch_before_the_start_epoch():
    loss = official(5, alpha=0.4, start_epoch=2)
    logits, labels = torch.randn(12, 6), torch.arange(12) % 6
    torch.testing.assert_close(loss(logits, labels), F.cross_entropy(logits, labels))


def test_class_without_instances_is_named_before_training():
    loss = official(2, alpha=0.4, start_epoch=1)
    with pytest.warns(UserWarning, match="1 of 2 classes do not occur in training .axolotl."):
        loss.describe_training_set(["cat", "axolotl"], [5, 0])
