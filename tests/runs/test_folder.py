"""Run folders: names, files, round trips, interrupted writes, resumed logs."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pcb.runs import RunFolder
from pcb.runs.files import EXECUTED, FAILURE_NOTE, FAILURE_PAGE, PAGE
from pcb.runs.processes import notebook_lock
from pcb.storage.files import write_atomically
from pcb.storage.repository import repository_path


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


def test_history_is_read_in_order_and_as_exact_as_documented(run):
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


def test_matrices_that_two_processes_add_are_all_kept(tmp_path):
    code = (
        "import sys; from pcb.runs.folder import RunFolder\n"
        "for n in range(20): RunFolder(sys.argv[1]).write_confusion(**{f'{sys.argv[2]}{n}': [n]})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, tmp_path, name]) for name in "ab"]
    assert [process.wait() for process in writers] == [0, 0]
    assert len(RunFolder(tmp_path).read_confusion()) == 40


def test_later_epochs_are_dropped_from_the_history(run):
    run.drop_confusion_history(after=0)  # there is none yet
    for epoch in (1, 2, 3):
        run.write_confusion_history(epoch, np.eye(2))
    run.drop_confusion_history(after=2)
    assert list(run.read_confusion_history()) == [1, 2]
    run.drop_confusion_history(after=0)
    assert run.read_confusion_history() == {}


def test_predictions_belong_to_a_checkpoint_options_and_matrices(run):
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

    source = json.loads(run.prediction_source.read_text())
    del source["matrices"]  # as in runs of earlier versions
    run.prediction_source.write_text(json.dumps(source))
    assert not run.predicted_with(run.checkpoint, options)
    run.write_prediction_source(run.checkpoint, options)  # a detector without matrices
    assert run.predicted_with(run.checkpoint, options)


def test_environment_round_trip(run):
    run.write_environment({"torch": "2.11.0", "seed": 0})
    assert run.read_environment() == {"torch": "2.11.0", "seed": 0}


@pytest.mark.parametrize("read", ["read_log", "read_metrics", "read_confusion", "read_environment"])
def test_error_about_a_missing_file_names_it_and_the_remedy(run, read):
    with pytest.raises(FileNotFoundError, match=r"softmax/seed0 has no .*: .*`pcb t"):
        getattr(run, read)()


@pytest.mark.parametrize("content", [b"{", b"\xff"])
def test_error_about_damaged_json_names_the_file(run, content):
    write_atomically(run.metrics_file, content)
    with pytest.raises(ValueError, match=r"metrics\.json is not JSON"):
        run.read_metrics()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"{}"])
def test_error_about_a_damaged_matrix_names_the_file(run, content):
    write_atomically(run.confusion_file, content)
    with pytest.raises(ValueError, match=r"confusion\.npz is not an \.npz file of arrays"):
        run.read_confusion()


def test_header_and_unfinished_line_of_a_log_are_left_out(run):
    write_log(run, {"env_info": "..."}, train_record(1, 10, 3.0))
    with open(run.log_file, "a") as file:
        file.write('{"mode": "train", "epo')
    assert run.read_log() == [train_record(1, 10, 3.0)]


def test_log_with_a_broken_line_in_the_middle_is_an_error(run):
    write_atomically(run.log_file, '{"epoch": 1\n{"epoch": 2, "iter": 1, "mode": "train"}\n')
    with pytest.raises(ValueError, match=r"line 1 of .*train\.log\.json"):
        run.read_log()


def test_log_of_a_resumed_run_keeps_the_repeated_records(run):
    validation = {"mode": "val", "epoch": 1, "iter": 4, "segm_AP": 0.1}
    write_log(
        run,
        train_record(1, 10, 3.0),
        train_record(1, 20, 2.5),
        validation,
        train_record(2, 10, 2.0),
        train_record(2, 20, 1.9),  # interrupted here, and resumed from the end of epoch 1
        train_record(2, 10, 2.1),
    )
    assert run.read_log() == [
        train_record(1, 10, 3.0),
        train_record(1, 20, 2.5),
        validation,
        train_record(2, 10, 2.1),
    ]


def test_the_plain_file_of_predictions_is_preferred(run):
    plain = run.path / "predictions" / "segm.json"
    packed = run.path / "predictions" / "segm.json.gz"
    assert run.results_file("segm") == plain
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
        with pytest.raises(ValueError, match="not the merged config of a run"):
            run.read_config()
    assert not executed.exists()


@pytest.mark.parametrize("config", ["softmax", "softmax_pcb"])
def test_committed_sample_run_opens(config):
    run = RunFolder(repository_path(f"sample/openmoji/{config}/seed0"))
    assert run.holds_a_run
    epochs = run.read_config()["runner"]["max_epochs"]
    assert run.read_environment()["seed"] == 0
    assert run.read_log()[-1]["epoch"] == epochs
    assert 0 < run.read_metrics()["segm"]["AP"] < 1
    learned = run.read_confusion()["learned"]
    history = run.read_confusion_history()
    assert list(history) == list(range(1, epochs + 1))
    np.testing.assert_allclose(history[epochs], learned, rtol=5e-4, atol=3e-8)
    for iou_type in ("bbox", "segm"):
        assert run.predictions(iou_type).is_file()


def test_every_file_that_a_run_folder_may_hold_is_known(run):
    """A new training may begin beside the files of notebooks, and removes those of a training."""
    run.create()
    endings = (EXECUTED, PAGE, FAILURE_NOTE, FAILURE_PAGE)
    notebook = [run.path / f"01_train{ending}" for ending in endings]
    locks = [run.path / ".lock", run.confusion_lock, notebook_lock(notebook[0])]
    unfinished = run.path / f".latest.pth.{32 * '0'}"
    for file in (*notebook, *locks, unfinished, run.output_file, run.settings_file("train")):
        file.touch()
    assert run.foreign_files() == []
    assert not run.holds_a_run

    run.predictions_folder.mkdir()
    results = (run.results_file("bbox"), run.prediction_source, run.path / "confused_pairs.csv")
    for file in (run.log_file, run.checkpoint, run.metrics_file, run.confusion_file, *results):
        file.touch()
    assert run.holds_a_run
    assert "confused_pairs.csv" in run.foreign_files()
    run.remove_results()
    assert run.foreign_files() == [] and not run.holds_a_run
    assert all(file.is_file() for file in (*notebook, *locks, run.output_file))
