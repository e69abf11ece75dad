import pytest

from pcb.messages.nearest import nearest_names, suggestion


@pytest.mark.parametrize(
    "wanted, known",
    [
        ("learning_rate", ["type", "lr", "betas", "weight_decay", "momentum"]),
        ("foxx", ["sunflower", "wolf"]),
        ("configs/openmoji/other.py", ["configs/openmoji/softmax.py"]),
        ("", ["seed"]),
    ],
)
def test_no_name_is_suggested_if_none_is_similar(wanted, known):
    assert nearest_names(wanted, known) == []
    assert "did you mean" not in suggestion(wanted, known)


@pytest.mark.parametrize(
    "wanted, right",
    [("alpa", "alpha"), ("steps", "step"), ("optimiser", "optimizer"), ("FOX", "fox")],
)
def test_a_misspelling_suggests_the_right_name(wanted, right):
    known = ["alpha", "fox", "optimizer", "step", "wolf"]
    assert nearest_names(wanted, known) == [right]
    assert suggestion(wanted, known) == f"did you mean {right!r}?"


def test_a_long_list_is_cut():
    assert suggestion("x", [f"class {n}" for n in range(1203)]).endswith("and 1193 more")
