"""Run folders: names, round trips, interrupted writes, resumed logs."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from pcb import runs
from pcb.runs import RunFolder
from pcb.storage.files import write_atomically


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "openmoji" / "softmax" / "seed0")


def write_log(run: RunFolder, *records: dict) -> None:
    write_atomically(run.log_file, "".join(json.dumps(record) + "\n" for record in records))


def train_record(epoch: int, iteration: int, loss: float) -> dict:
    return {"mode": "train", "epoch": epoch, "iter": iteration, "loss": loss}


def test_naming_a_run_creates_nothing(run):
    assert not run.path.exists()
    assert run.create().figures.is_dir()


def test_metrics_round_trip_with_undefined_ones_as_null(run):
    run.write_metrics({"segm": {"AP": np.float32(0.5), "APl": np.nan}})
    assert json.loads(run.metrics_file.read_text()) == {"segm": {"AP": 0.5, "APl": None}}
    metrics = run.read_metrics()["segm"]
    assert metrics["AP"] == 0.5
    assert math.isnan(metrics["APl"])


def test_infinite_metric_is_refused_and_the_file_stays(run):
    run.write_metrics({"segm": {"AP": 0.5}})
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.write_metrics({"segm": {"AP": math.inf}})
    assert run.read_metrics() == {"segm": {"AP": 0.5}}


def test_confusion_arrays_are_merged(run):
    run.write_confusion(learned=np.eye(3), epoch=4)
    run.write_confusion(detections=np.ones((4, 4), dtype=np.int64))
    arrays = run.read_confusion()
    assert set(arrays) == {"learned", "epoch", "detections"}
    np.testing.assert_array_equal(arrays["learned"], np.eye(3))
    assert arrays["epoch"] == 4


def test_confusion_refuses_pickled_objects(run):
    with pytest.raises(ValueError, match="allow_pickle"):
        run.write_confusion(names=np.array(["a", None], dtype=object))
    assert not run.confusion_file.exists()


def test_history_is_read_in_order_and_as_exact_as_said(run):
    assert run.read_confusion_history() == {}
    for epoch in (100, 9, 12):
        run.write_confusion_history(epoch, np.full((2, 2), 1 / epoch))
    (run.confusion_history / "epoch_09_mine.npz").touch()
    history = run.read_confusion_history()
    assert list(history) == [9, 12, 100]
    assert (run.confusion_history / "epoch_09.npz").is_file()

    values = 10 ** np.random.default_rng(0).uniform(-10, 0, (50, 50))
    run.write_confusion_history(9, values)  # as a resumed training does
    kept = run.read_confusion_history()[9]
    assert kept.dtype == np.float32
    normal = values >= 6.2e-5
    np.testing.assert_allclose(kept[normal], values[normal], rtol=5e-4)
    np.testing.assert_allclose(kept[~normal], values[~normal], rtol=0, atol=3e-8)
    assert (kept[values < 2.9e-8] == 0).all() and (kept[values > 3e-8] > 0).all()


def test_history_is_dropped_after_an_epoch(run):
    run.drop_confusion_history(after=0)  # of a run that has none
    for epoch in (1, 2, 3):
        run.write_confusion_history(epoch, np.eye(2))
    run.drop_confusion_history(after=2)
    assert list(run.read_confusion_history()) == [1, 2]
    run.drop_confusion_history(after=0)
    assert run.read_confusion_history() == {}


def test_predictions_belong_to_a_checkpoint_its_options_and_the_matrices_made_with_them(run):
    write_atomically(run.checkpoint, b"weights")
    options = {"model.test_cfg": {"size": (1, 2)}}
    assert not run.predicted_with(run.checkpoint, options)
    for iou_type in ("bbox", "segm"):
        write_atomically(run.predictions(iou_type), "[]")
    run.write_prediction_source(run.checkpoint, options, ["ground_truth_boxes"])
    assert not run.predicted_with(run.checkpoint, options)
    run.write_confusion(ground_truth_boxes=np.eye(2))
    assert run.predicted_with(run.checkpoint, options)
    assert not run.predicted_with(run.checkpoint)

    source = run.path / "predictions" / "source.json"
    note = json.loads(source.read_text())
    del note["matrices"]  # as runs noted it before there were any
    source.write_text(json.dumps(note))
    assert not run.predicted_with(run.checkpoint, options)
    run.write_prediction_source(run.checkpoint, options)  # of a detector that has none
    assert run.predicted_with(run.checkpoint, options)


def test_environment_round_trip(run):
    run.write_environment({"torch": "2.11.0", "seed": 0})
    assert run.read_environment() == {"torch": "2.11.0", "seed": 0}


@pytest.mark.parametrize("read", ["read_log", "read_metrics", "read_confusion", "read_environment"])
def test_missing_file_says_which_and_what_to_do(run, read):
    with pytest.raises(FileNotFoundError, match=r"softmax/seed0 has no .*; .*`pcb t"):
        getattr(run, read)()


def test_broken_json_names_the_file(run):
    write_atomically(run.metrics_file, "{")
    with pytest.raises(ValueError, match=r"metrics\.json is not JSON"):
        run.read_metrics()


def test_log_leaves_out_the_header_and_an_unfinished_line(run):
    write_log(run, {"env_info": "..."}, train_record(1, 10, 3.0))
    with open(run.log_file, "a") as file:
        file.write('{"mode": "train", "epo')
    assert run.read_log() == [train_record(1, 10, 3.0)]


def test_log_with_a_broken_line_in_the_middle_is_an_error(run):
    write_atomically(run.log_file, '{"epoch": 1\n{"epoch": 2, "iter": 1, "mode": "train"}\n')
    with pytest.raises(ValueError, match=r"train\.log\.json, line 1"):
        run.read_log()


def test_log_of_a_resumed_run_keeps_what_was_repeated(run):
    validation = {"mode": "val", "epoch": 1, "iter": 4, "segm_AP": 0.1}
    write_log(
        run,
        train_record(1, 10, 3.0),
        train_record(1, 20, 2.5),
        validation,
        train_record(2, 10, 2.0),
        train_record(2, 20, 1.9),  # then interrupted, and resumed from the end of epoch 1
        train_record(2, 10, 2.1),
    )
    assert run.read_log() == [
        train_record(1, 10, 3.0),
        train_record(1, 20, 2.5),
        validation,
        train_record(2, 10, 2.1),
    ]


def test_predictions_prefer_the_plain_file(run):
    plain = run.path / "predictions" / "segm.json"
    packed = run.path / "predictions" / "segm.json.gz"
    assert run.predictions("segm") == plain
    write_atomically(packed, b"")
    assert run.predictions("segm") == packed
    write_atomically(plain, "[]")
    assert run.predictions("segm") == plain
    with pytest.raises(ValueError, match="'mask'"):
        run.predictions("mask")


def test_config_that_is_not_merged_is_refused_and_not_executed(tmp_path):
    run = RunFolder(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no config\.py"):
        run.read_config()
    executed = tmp_path / "executed"
    for text in (
        "import os",
        f"x = open({str(executed)!r}, 'w')",
        "x = ",
        "a = b = 1",
        "x = {[]: 1}",
    ):
        run.config_file.write_text(text)
        with pytest.raises(ValueError, match="not a run's merged config"):
            run.read_config()
    assert not executed.exists()


def test_collect_finds_runs_sorted_and_not_inside_runs(tmp_path):
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


def test_collect_of_a_missing_folder_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        runs.collect(tmp_path / "nowhere")
