"""The path of a run is composed and parsed."""

import pytest

from pcb.runs.paths import RunName


@pytest.mark.parametrize(
    "text, name",
    [
        ("openmoji/softmax/seed0", RunName("openmoji", "softmax", 0)),
        ("lvis_v1/seesaw_pcb_r101-lr2/seed12", RunName("lvis_v1", "seesaw_pcb_r101", 12, "lr2")),
        ("o/softmax-half-lr/seed3", RunName("o", "softmax", 3, "half-lr")),
    ],
)
def test_name_of_a_run_is_composed_and_parsed(text, name):
    assert str(name) == text
    assert RunName.parse(f"runs/demo/{text}") == name == RunName.parse(f"/runs/{text}")


@pytest.mark.parametrize("path", ["/", "/seed0", "runs/openmoji/softmax", "o/softmax/seed01"])
def test_path_of_something_else_has_no_name(path):
    with pytest.raises(ValueError, match="is not the path of a run"):
        RunName.parse(path)
