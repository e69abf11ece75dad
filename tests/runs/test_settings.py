"""Which settings count as PCB's own."""

import inspect

import pytest

from pcb.runs.settings import (
    BALANCE,
    REFINEMENT,
    differing_settings,
    other_settings,
    strength_argument,
)

# mmdet's cross-entropy takes the number of classes from its box head, PCB's from the config.
NOT_OF_PCB = {"num_classes"}


def arguments(of: type) -> set[str]:
    parameters = inspect.signature(of.__init__).parameters.values()
    return {p.name for p in parameters if p.kind == p.POSITIONAL_OR_KEYWORD} - {"self"}


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "SeesawLoss", "EQLv2"])
def test_every_argument_that_pcb_adds_to_a_loss_is_listed(name):
    from pcb.detection import losses

    balanced = getattr(losses, f"{name.removesuffix('Loss')}PCBLoss")
    added = arguments(balanced) - arguments(losses.LOSSES.get(name)) - NOT_OF_PCB
    assert added == {*BALANCE, strength_argument({"type": balanced.__name__})}


def test_every_argument_of_the_refinement_is_listed():
    from pcb.detection import IterativeRoIHead

    assert arguments(IterativeRoIHead) == {*REFINEMENT}


def test_validation_makes_no_difference():
    ours = {"runner": {"max_epochs": 9}, "evaluation": {"interval": 1}}
    assert differing_settings(ours, {"runner": {"max_epochs": 9}}) == {}
    assert other_settings(ours, {"runner": {"max_epochs": 8}}) == ["runner.max_epochs"]
