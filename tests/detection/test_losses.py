"""Registered losses: official names, arguments and numbers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.models import build_head, build_loss

from pcb.detection.box_head_loss import NEW_BUFFERS

REFERENCE = Path(__file__).parents[1] / "reference"


def official(num_classes, type="CrossEntropyPCBLoss", **settings):
    return build_loss(dict(type=type, num_classes=num_classes, **settings))


RECORDED = {
    "ce_pcb": dict(type="CrossEntropyPCBLoss", alpha=0.4, momentum=0.9, start_epoch=2),
    "seesaw_pcb": dict(type="SeesawPCBLoss", alpha=0.05, momentum=0.9, start_epoch=2),
    "eqlv2_pcb": dict(type="EQLv2PCBLoss", alpha_pcb=0.2, momentum=0.9, start_epoch=2),
    # The plain losses, which equal those with alpha 0.
    "seesaw": dict(type="SeesawPCBLoss"),
    "eqlv2": dict(type="EQLv2PCBLoss"),
}


@pytest.mark.parametrize("name, settings", [*RECORDED.items(), ("eqlv2", dict(type="EQLv2"))])
def test_equals_the_official_numbers(name, settings):
    """Losses, gradients and buffers of many calls; recorded from the official implementation."""
    recorded = dict(np.load(REFERENCE / f"{name}.npz"))  # the first axis is the number of the call
    meta = json.loads(str(recorded["meta"]))
    loss = official(meta["C"], **settings)
    calls = meta["T"] * meta["K"]
    for i in range(calls):
        call = {key: recorded[key][i] for key in ("x", "y", "w", "avg", "epoch", "iter")}
        if loss.balance is not None:
            loss.balance.set_epoch(int(call["epoch"]))
        logits = torch.from_numpy(call["x"]).requires_grad_()
        values = loss(
            logits,
            torch.from_numpy(call["y"].astype(np.int64)),
            torch.from_numpy(call["w"]),
            avg_factor=float(call["avg"]),
            iter_id=int(call["iter"]),
        )
        values = values if isinstance(values, dict) else {"loss_cls": values}
        sum(values.values()).backward()
        expected = {key: recorded[key][i] for key in recorded if key.startswith("out_")}
        returned = {key for key, value in expected.items() if not np.isnan(value)}
        assert {f"out_{key}" for key in values} == returned
        for key, value in values.items():
            np.testing.assert_allclose(value.detach(), expected[f"out_{key}"], rtol=1e-5)
        # Relative to the largest element: small ones are differences that float32 rounds.
        gradient = recorded["grad"][i]
        np.testing.assert_allclose(
            logits.grad, gradient, rtol=0, atol=1e-5 * np.abs(gradient).max()
        )
    assert len(recorded["x"]) == calls
    state = loss.state_dict()
    for key in recorded:
        if key.startswith("buf_"):
            buffer = state[key.removeprefix("buf_")]
            np.testing.assert_allclose(buffer, recorded[key], rtol=1e-5)


@pytest.mark.parametrize(
    "mmdets, ours, width",
    [
        (dict(type="CrossEntropyLoss", use_sigmoid=False), "CrossEntropyPCBLoss", 6),
        (dict(type="SeesawLoss", num_classes=5), "SeesawPCBLoss", 7),
    ],
)
def test_alpha_0_equals_mmdets_loss(mmdets, ours, width):
    """In value and gradient, over several calls, while the balance observes."""
    mmdets = build_loss(dict(mmdets, loss_weight=2.0)).double()
    ours = official(5, type=ours, alpha=0.0, loss_weight=2.0).double()
    for _ in range(3):
        logits = torch.randn(20, width, dtype=torch.float64, requires_grad=True)
        labels, weights = torch.randint(6, (20,)), torch.rand(20, dtype=torch.float64)
        before = ours.balance.instance_count.clone()
        outcomes = []
        for loss in (mmdets, ours):
            value = loss(logits, labels, weights, avg_factor=13.0)
            total = sum(value.values()) if isinstance(value, dict) else value
            outcomes.append((value, torch.autograd.grad(total, logits)[0]))
        torch.testing.assert_close(*outcomes)
        counted = ours.balance.instance_count - before
        assert (counted == torch.bincount(labels, minlength=6)[:5]).all()


BALANCE = {"fg_confusion_matrix", "num_inst_cnt", "_epoch", "update_count"}
STATE = {
    "CrossEntropyPCBLoss": BALANCE,
    "SeesawPCBLoss": BALANCE | {"cum_samples"},
    "EQLv2PCBLoss": BALANCE | {"positive_gradient", "negative_gradient", "has_gradients"},
    "EQLv2": {"positive_gradient", "negative_gradient", "has_gradients"},
}


@pytest.mark.parametrize("type", STATE)
def test_state_has_official_names_and_loads_without_new_buffers(type):
    loss, other = official(4, type=type), official(4, type=type)
    loss(torch.randn(10, loss.get_cls_channels(4), requires_grad=True), torch.arange(10) % 5)
    state = loss.state_dict()
    assert set(state) == STATE[type]
    outcome = other.load_state_dict(state)
    assert (outcome.missing_keys, outcome.unexpected_keys) == ([], [])
    torch.testing.assert_close(dict(other.state_dict()), dict(state))
    fresh = official(4, type=type)
    known = {name: value for name, value in state.items() if name not in NEW_BUFFERS}
    outcome = fresh.load_state_dict(known, strict=False)
    assert not outcome.unexpected_keys
    assert {key.rpartition(".")[2] for key in outcome.missing_keys} == STATE[type] & {*NEW_BUFFERS}


@pytest.mark.parametrize("type", STATE)
def test_box_head_takes_channels_scores_and_accuracies_from_the_loss(type):
    head = build_head(
        dict(
            type="Shared2FCBBoxHead",
            in_channels=4,
            fc_out_channels=8,
            num_classes=3,
            loss_cls=dict(type=type, num_classes=3),
        )
    )
    loss = head.loss_cls
    logits, deltas = head(torch.randn(6, 4, 7, 7))
    assert logits.shape == (6, loss.get_cls_channels(3))
    rois = torch.tensor([0.0, 1, 1, 9, 9]).repeat(6, 1)
    _, scores = head.get_bboxes(rois, logits, deltas, (20, 20, 3), None)
    torch.testing.assert_close(scores, loss.scores(logits))
    assert scores.shape == (6, 4)
    labels = torch.tensor([0, 1, 2, 3, 3, 0])
    losses = head.loss(logits, deltas, rois, labels, torch.ones(6), deltas[:, :4], deltas[:, :4])
    accuracies = {"acc_objectness", "acc_classes"} if "Seesaw" in type else {"acc"}
    assert {name for name in losses if name.startswith("acc")} == accuracies
    right = logits[labels < 3, :3].argmax(1) == labels[labels < 3]
    if "Seesaw" in type:
        assert losses["acc_classes"].item() == pytest.approx(100 * right.float().mean().item())


def test_eqlv2_ignores_weights_and_averaging_factor():
    logits, labels = torch.randn(10, 4), torch.arange(10) % 4
    values = [
        official(3, type="EQLv2")(logits, labels, *arguments)
        for arguments in ([], [torch.rand(10), 3.0])
    ]
    torch.testing.assert_close(*values)


def test_present_classes_come_from_the_training_set():
    loss = official(3, alpha=0.4, start_epoch=1, required_classes="present")
    loss.describe_training_set(["cat", "dog", "axolotl"], [5, 2, 0])
    loss(torch.zeros(2, 4, requires_grad=True), torch.tensor([0, 1]))
    assert loss.balance.current_strength() == 0.4
    assert loss.balance.class_names[2] == "axolotl"


def test_label_out_of_range_names_background():
    with pytest.raises(ValueError, match=r"\[0, 11\], got 14; 11 is background"):
        official(11)(torch.zeros(1, 12), torch.tensor([14]))


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            dict(use_sigmoid=True),
            "PCBLoss is a softmax loss: use_sigmoid must be False",
        ),
        (dict(type="SeesawPCBLoss", use_sigmoid=True), "SeesawPCBLoss is a softmax loss"),
        (dict(type="SeesawPCBLoss", return_dict=False), "return_dict must be True"),
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
    with pytest.warns(UserWarning, match="1 of 2 classes does not occur in training .axolotl."):
        loss.describe_training_set(["cat", "axolotl"], [5, 0])


@pytest.mark.parametrize("type", STATE)
@pytest.mark.parametrize("validation", [torch.no_grad, torch.inference_mode])
def test_validation_in_the_usual_loop_changes_nothing(type, validation, monkeypatch):
    """The criterion stays in training mode, and no process waits for the others."""

    def no_sum(_tensor):
        raise AssertionError("a process that validates alone would wait here forever")

    outcomes = []
    for validates in (False, True):
        torch.manual_seed(0)
        loss = official(4, type=type, **({} if type == "EQLv2" else dict(start_epoch=2)))
        model = torch.nn.Linear(3, loss.get_cls_channels(4))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def total(num, seed, model=model, loss=loss):
            inputs = torch.randn(num, 3, generator=torch.Generator().manual_seed(seed))
            value = loss(model(inputs), torch.arange(num) % 5)
            return sum(value.values()) if isinstance(value, dict) else value

        for epoch in (1, 2, 3):
            if loss.balance is not None:
                loss.balance.set_epoch(epoch)
            model.train()
            for step in range(3):
                optimizer.zero_grad()
                total(10, seed=10 * epoch + step).backward()
                optimizer.step()
            if validates:
                model.eval()
                with validation(), monkeypatch.context() as patched:
                    for module in ("balance", "losses.eqlv2", "losses.seesaw"):
                        patched.setattr(f"pcb.{module}.sum_over_processes", no_sum)
                    total(7, seed=99)
        outcomes.append((dict(loss.state_dict()), model.state_dict()))
    torch.testing.assert_close(*outcomes, rtol=0, atol=0)


@pytest.mark.parametrize("type", STATE)
def test_a_half_precision_detector_counts_beyond_its_precision(type):
    loss = official(3, type=type).bfloat16()
    for _ in range(300):  # in bfloat16, 256 + 1 is 256
        logits = torch.zeros(4, loss.get_cls_channels(3), dtype=torch.bfloat16, requires_grad=True)
        loss(logits, torch.arange(4))
    state = loss.state_dict()
    assert {value.dtype for value in state.values()} == {torch.float32}
    for name in {"num_inst_cnt", "update_count", "cum_samples"} & set(state):
        assert (state[name] == 300).all()


@pytest.mark.parametrize("type", STATE)
def test_background_is_required_and_last(type):
    with pytest.raises(ValueError, match="3 classes and background='last'"):
        official(3, type=type)(torch.zeros(1, 3), torch.tensor([0]))
