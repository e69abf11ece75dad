"""The published rows equal the paper's, and are found by config and by run."""

import pytest

from pcb.runs.published import published_results

# Mask AP, APr, APc, APf and box AP in percent, as the paper prints them.
PAPER = {
    "lvis_v0_5/softmax_pcb": (25.1, 12.6, 25.5, 29.5, 25.2),
    "lvis_v0_5/rfs_pcb": (27.7, 21.8, 28.0, 29.7, 28.2),
    "lvis_v0_5/eqlv2_pcb": (27.8, 20.9, 28.4, 29.9, 28.1),
    "lvis_v0_5/seesaw_pcb": (28.8, 23.4, 29.6, 30.0, 28.6),
    "lvis_v1/softmax_pcb": (22.6, 7.7, 21.8, 29.9, 24.1),
    "lvis_v1/rfs_pcb": (26.5, 18.5, 26.5, 30.2, 28.3),
    "lvis_v1/eqlv2_pcb": (26.2, 18.2, 25.9, 30.1, 27.3),
    "lvis_v1/seesaw_pcb": (27.2, 19.0, 27.1, 30.9, 28.1),
    "lvis_v1/seesaw_pcb_r101": (28.7, 22.8, 28.0, 32.1, 30.0),
}


@pytest.mark.parametrize("name, percent", PAPER.items())
def test_rows_are_those_of_the_paper(name, percent):
    row = published_results(name)
    assert list(row["segm"]) == ["AP", "APr", "APc", "APf"] and list(row["bbox"]) == ["AP"]
    fractions = [*row["segm"].values(), *row["bbox"].values()]
    assert fractions == pytest.approx([value / 100 for value in percent], abs=1e-12)
    assert row["checkpoint"].startswith("https://drive.google.com/file/d/")


def test_every_row_has_its_own_checkpoint():
    assert len({published_results(name)["checkpoint"] for name in PAPER}) == len(PAPER)


def test_configs_and_runs_are_found(tmp_path):
    row = published_results("lvis_v1/softmax_pcb")
    for path in (
        "configs/lvis_v1/softmax_pcb.py",
        "lvis_v1/softmax_pcb/seed3",
        tmp_path / "lvis_v1" / "softmax_pcb" / "seed0" / "config.py",
    ):
        assert published_results(path) == row
    row["segm"]["AP"] = 0.0  # the caller's own
    assert published_results("lvis_v1/softmax_pcb")["segm"]["AP"] == 0.226


@pytest.mark.parametrize(
    "name",
    [
        *("", "lvis_v1", "softmax_pcb", "softmax_pcb/lvis_v1"),
        *("lvis_v1/softmax", "lvis_v0_5/seesaw_pcb_r101", "lvis_v1/seesaw_r101"),
        *("openmoji/softmax_pcb/seed0", "lvis_v1/softmax_pcb_2/seed0", "lvis_v2/softmax_pcb"),
    ],
)
def test_other_configs_have_no_published_row(name):
    assert published_results(name) is None
