"""Runs are found below a folder."""

import pytest

from pcb import runs
from pcb.runs.folder import RunFolder


def test_collect_finds_runs_in_order_but_not_inside_runs(tmp_path):
    for name in ("softmax_pcb", "softmax"):
        run = RunFolder(tmp_path / "openmoji" / name / "seed0").create()
        run.config_file.write_text("")
    foreign = RunFolder(tmp_path / "mine" / "detector" / "seed0")
    foreign.write_metrics({"bbox": {"AP": 0.2}})
    (tmp_path / ".snakemake").mkdir()
    (tmp_path / ".snakemake" / "config.py").touch()
    (run.figures / "config.py").touch()
    assert [runs.run_name(found.path) for found in runs.collect(tmp_path)] == [
        "mine/detector/seed0",
        "openmoji/softmax/seed0",
        "openmoji/softmax_pcb/seed0",
    ]
    assert [found.path for found in runs.collect(run.path)] == [run.path]


def test_collect_names_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        runs.collect(tmp_path / "nowhere")
