"""PairwiseClassBalance: gate, strength, warnings, state."""

import copy
import re
import warnings

import numpy as np
import pytest
import torch

from pcb import PairwiseClassBalance, strength
from pcb.balance import PATIENCE, SMALLEST_EPOCH
from pcb.stateful import HostValue


def see(balance, *classes):
    balance.observe(torch.zeros(len(classes), balance.num_classes), torch.tensor(classes))


def test_strength_grows_over_the_iterations():
    assert [strength(0.4, k, 3) for k in range(3)] == [0.0, 0.2, 0.4]
    assert strength(0.4, 0, 1) == 0.4
    with pytest.raises(ValueError, match=r"\[0, 2\], got 3"):
        strength(0.4, 3, 3)


def test_gate_waits_for_the_epoch_and_for_every_class():
    balance = PairwiseClassBalance(3, alpha=0.4, start_epoch=2, num_iterations=3)
    see(balance, 0, 1, 2)
    assert balance.current_strength() == 0  # epoch 1
    balance.set_epoch(2)
    assert [balance.current_strength(k) for k in range(3)] == [0.0, 0.2, 0.4]
    assert balance.current_strength() == 0.4


def test_gate_stays_closed_for_an_unseen_class_and_warns_once():
    balance = PairwiseClassBalance(3, 0.4, start_epoch=2, class_names=["cat", "dog", "axolotl"])
    see(balance, 0, 1)
    with pytest.warns(UserWarning, match="axolotl") as caught:
        for epoch in (2, 3):
            balance.set_epoch(epoch)
            see(balance, 0, 1)
            assert balance.current_strength() == 0
    assert len(caught) == 1
    see(balance, 2)
    assert balance.current_strength() == 0.4


def test_no_warning_in_the_first_epoch_nor_with_alpha_0():
    acting, observing = PairwiseClassBalance(2, 0.4), PairwiseClassBalance(2, 0.0)
    observing.set_epoch(9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for balance in (acting, observing):
            see(balance, 0)
            assert balance.current_strength() == 0


def test_gate_on_present_classes_only():
    balance = PairwiseClassBalance(3, alpha=0.4, required_classes=[0, 2])
    see(balance, 0)
    assert balance.unseen_classes() == [2]
    see(balance, 2)
    assert balance.current_strength() == 0.4
    with pytest.raises(ValueError, match=r"\[0, 2\], got \[3\]"):
        balance.require_classes([3])


def test_counts_of_instances_and_of_calls():
    balance = PairwiseClassBalance(3, alpha=0.4)
    see(balance, 0, 0, 1)
    see(balance, 0)
    assert balance.instance_count.tolist() == [3, 1, 0]
    assert balance.update_count.tolist() == [2, 1, 0]


def test_state_survives_saving_and_carries_no_gradient():
    balance, other = PairwiseClassBalance(2, 0.4), PairwiseClassBalance(2, 0.4)
    balance.observe(torch.randn(4, 2, requires_grad=True), torch.tensor([0, 1, 0, 1]))
    balance.set_epoch(5)
    other.load_state_dict(balance.state_dict())
    for name, buffer in balance.named_buffers():
        assert not buffer.requires_grad
        assert torch.equal(buffer, dict(other.named_buffers())[name])


def test_double_precision_reaches_the_matrix():
    balance = PairwiseClassBalance(2, alpha=0.4).double()
    logits = torch.randn(4, 2, dtype=torch.float64)
    balance.observe(logits, torch.tensor([0, 0, 0, 0]))
    torch.testing.assert_close(balance.confusion[0], logits.softmax(1).mean(0), rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    "argument, value",
    [
        ("num_classes", 0),
        ("alpha", 1.5),
        ("momentum", 1.0),
        ("num_iterations", 0),
        ("activation", "tanh"),
    ],
)
def test_settings_out_of_range_are_named(argument, value):
    settings = {"num_classes": 2, "alpha": 0.4, argument: value}
    with pytest.raises(ValueError, match=f"{argument} must .*{value}"):
        PairwiseClassBalance(**settings)


def test_warning_comes_even_if_no_epoch_is_set():
    balance = PairwiseClassBalance(2, alpha=0.4)
    with pytest.warns(UserWarning, match="1 of 2 classes does not occur") as caught:
        for _ in range(PATIENCE + 5):
            see(balance, 0)
    assert len(caught) == 1


def test_a_prediction_that_is_not_finite_is_left_out():
    balance, clean = PairwiseClassBalance(2, alpha=0.4), PairwiseClassBalance(2, alpha=0.4)
    logits = torch.tensor([[1.0, 0.0], [float("nan"), 0.0], [float("inf"), 0.0]])
    balance.observe(logits, torch.tensor([0, 0, 1]))
    clean.observe(logits[:1], torch.tensor([0]))
    torch.testing.assert_close(balance.state_dict(), clean.state_dict())


def test_warning_comes_from_one_of_several_processes(monkeypatch):
    monkeypatch.setattr("pcb.balance.rank", lambda: 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PairwiseClassBalance(2, alpha=0.4).warn_of_missing([1])
    monkeypatch.setattr("pcb.balance.rank", lambda: 0)
    with pytest.warns(UserWarning, match="1 of 2 classes does not occur"):
        PairwiseClassBalance(2, alpha=0.4).warn_of_missing([1])


def test_queries_change_nothing():
    balance = PairwiseClassBalance(2, alpha=0.4, start_epoch=2)
    see(balance, 0)
    balance.set_epoch(1)
    before = {k: v for k, v in vars(balance).items() if not isinstance(v, HostValue)}
    before = copy.deepcopy(before)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(PATIENCE + 1):
            assert not balance.gate_is_open() and not balance.is_active()
            assert balance.current_strength() == 0 and balance.unseen_classes() == [1]
    buffers = before.pop("_buffers"), vars(balance)["_buffers"]
    torch.testing.assert_close(*buffers, rtol=0, atol=0)
    assert {key: vars(balance)[key] for key in before} == before


@pytest.mark.parametrize("num_iterations", [1, 3])
def test_epochs_that_nobody_sets_cause_one_warning(num_iterations):
    balance = PairwiseClassBalance(2, 0.4, start_epoch=3, num_iterations=num_iterations)
    with pytest.warns(
        UserWarning, match=r"from epoch 3 on.*epoch is still 1\. Call .*set_epoch"
    ) as caught:
        for _ in range(3 * PATIENCE):
            see(balance, 0, 1)
    assert len(caught) == 1 and balance.current_strength() == 0


def test_epochs_that_nobody_sets_after_resuming_cause_a_warning():
    saved, balance = (PairwiseClassBalance(2, 0.4, start_epoch=5) for _ in range(2))
    saved.set_epoch(2)
    balance.load_state_dict(saved.state_dict())
    with pytest.warns(UserWarning, match="epoch is still 2"):
        for _ in range(SMALLEST_EPOCH):
            see(balance, 0, 1)


@pytest.mark.parametrize(
    "settings, epochs",
    [
        (dict(alpha=0.4, start_epoch=3), (1, 2, 3)),  # set, as it should be
        (dict(alpha=0.4), ()),  # acts from the start
        (dict(alpha=0.0, start_epoch=3), ()),  # only observes
    ],
)
def test_no_warning_about_epochs(settings, epochs):
    balance = PairwiseClassBalance(2, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for epoch in epochs or (None,):
            if epoch:
                balance.set_epoch(epoch)
            for _ in range(3 * SMALLEST_EPOCH):
                see(balance, 0, 1)
    assert balance.current_strength() == balance.alpha


def test_setting_the_epoch_at_every_step_still_names_a_missing_class():
    balance = PairwiseClassBalance(2, alpha=0.4)
    with pytest.warns(UserWarning, match="1 of 2 classes does not occur"):
        for _ in range(PATIENCE):
            balance.set_epoch(1)
            see(balance, 0)


WRONG_EPOCHS = [0, -1, 1.0, True, "2", None, torch.tensor(2), float("nan")]


@pytest.mark.parametrize("epoch", WRONG_EPOCHS, ids=repr)
def test_wrong_epochs_are_refused(epoch):
    balance = PairwiseClassBalance(2, alpha=0.4)
    with pytest.raises(ValueError, match=re.escape(f"positive whole number, got {epoch!r}")):
        balance.set_epoch(epoch)
    assert balance.epoch == 1
    with pytest.raises(
        ValueError,
        match=re.escape(f"start_epoch must be a positive whole number, got {epoch!r}"),
    ):
        PairwiseClassBalance(2, alpha=0.4, start_epoch=epoch)


def test_an_epoch_may_be_a_numpy_integer():
    balance = PairwiseClassBalance(2, alpha=0.4)
    balance.set_epoch(np.int64(3))
    assert balance.epoch == 3
