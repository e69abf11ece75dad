"""Validation during training: records, the best checkpoint, and no effect on what is learned."""

import json
from pathlib import Path

import pytest
import torch

from pcb.cli.main import main
from pcb.detection.checkpoint import read_checkpoint
from pcb.detection.engine.inference import predict
from pcb.detection.engine.training import train
from pcb.detection.engine.validation import NO_DETECTIONS
from pcb.runs.folder import RunFolder
from pcb.study import evaluate_validation, read_validation
from tests.support.tiny import CONFIG

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("validation")]


@pytest.fixture(scope="module")
def options(tiny_options) -> dict:
    return {**tiny_options, "model.test_cfg.rcnn.score_thr": 0.0, "log_config.interval": 3}


@pytest.fixture(scope="module")
def plain(options, tmp_path_factory) -> RunFolder:
    return train(CONFIG, tmp_path_factory.mktemp("plain") / "seed0", 0, options, device="cpu")


@pytest.fixture(scope="module")
def validating(options) -> dict:
    return {**options, "evaluation": {"interval": 1, "save_best": "segm_AP"}}


@pytest.fixture(scope="module")
def validated(validating, tmp_path_factory) -> RunFolder:
    folder = tmp_path_factory.mktemp("validated") / "seed0"
    return train(CONFIG, folder, 0, validating, device="cpu", evaluate=evaluate_validation)


def scores(*by_epoch):
    """Return a function that evaluates, with other values of segm_AP if there are any."""
    remaining = list(by_epoch)

    def evaluate(data, files):
        metrics = evaluate_validation(data, files)
        if remaining and not is_before_training(files):
            metrics["segm"]["AP"] = remaining.pop(0)
        return metrics

    return evaluate


def is_before_training(files) -> bool:
    return {file.name for file in files.values()} == {NO_DETECTIONS}


def validations(run: RunFolder) -> list[dict]:
    """Return the validation records, read without leaving out repeated ones."""
    records = map(json.loads, run.log_file.read_text().splitlines())
    return [record for record in records if record["mode"] == "val"]


def test_each_epoch_is_recorded_and_training_is_the_same(plain, validated):
    first, second = validations(validated)
    assert (first["epoch"], first["iter"], second["epoch"], second["iter"]) == (1, 3, 2, 6)
    names = [f"{kind}_{name}" for kind in ("bbox", "segm") for name in ("AP", "APr", "APc", "APf")]
    assert list(second) == ["mode", "epoch", "iter", *names]
    ours, theirs = (read_checkpoint(run.checkpoint) for run in (validated, plain))
    assert ours["meta"] == theirs["meta"]
    for name, value in theirs["state_dict"].items():
        assert torch.equal(ours["state_dict"][name], value), name
    assert not validated.validation_folder.exists()
    assert not validated.predictions_folder.exists()


def test_record_equals_a_test_of_the_checkpoint(validated, options, tmp_path):
    files = predict(CONFIG, validated.checkpoint, tmp_path, options, device="cpu")
    data = validated.read_config()["data"]
    assert len(read_validation(data).images) > 0
    expected = evaluate_validation(data, files)
    last = validations(validated)[-1]
    for kind, metrics in expected.items():
        for name in ("AP", "APr", "APc", "APf"):
            value = last[f"{kind}_{name}"]
            assert value == metrics[name] or (value is None and metrics[name] != metrics[name])
    assert last["bbox_AP"] > 0


def test_best_epoch_is_kept_and_interval_counts_epochs(validating, tmp_path, capsys):
    changes = {"evaluation": {"interval": 2, "save_best": "segm_AP"}, "runner.max_epochs": 3}
    run = train(
        CONFIG, tmp_path, 0, {**validating, **changes}, device="cpu", evaluate=scores(0.5, 0.2)
    )
    assert [(r["epoch"], r["segm_AP"]) for r in validations(run)] == [(2, 0.5), (3, 0.2)]
    best = read_checkpoint(run.best_checkpoint)
    assert best["meta"]["epoch"] == 2 and "optimizer" not in best
    lines = [line for line in capsys.readouterr().out.splitlines() if "validation" in line]
    assert "segm_AP 50.0" in lines[0] and lines[0].endswith("saved as best.pth")
    assert len(lines) == 2 and "best" not in lines[1]


def test_killed_validation_is_repeated_once(plain, validating, tmp_path):
    def killed(data, files):
        if is_before_training(files):
            return evaluate_validation(data, files)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, tmp_path, 0, validating, device="cpu", evaluate=killed)
    assert validations(RunFolder(tmp_path)) == []
    for _ in range(2):  # the second call has nothing left to do
        run = train(
            CONFIG, tmp_path, 0, validating, resume=True, device="cpu", evaluate=scores(0.3, 0.4)
        )
        assert [(r["epoch"], r["segm_AP"]) for r in validations(run)] == [(1, 0.3), (2, 0.4)]
        assert read_checkpoint(run.best_checkpoint)["meta"]["epoch"] == 2
    ours, theirs = (read_checkpoint(one.checkpoint) for one in (run, plain))
    for name, value in theirs["state_dict"].items():
        assert torch.equal(ours["state_dict"][name], value), name


def test_averages_of_weights_are_validated(validating, tmp_path):
    options = {**validating, "custom_hooks": [{"type": "EMAHook", "momentum": 0.5}]}
    run = train(CONFIG, tmp_path / "run", 0, options, device="cpu", evaluate=evaluate_validation)
    files = predict(CONFIG, run.checkpoint, tmp_path / "test", options, device="cpu")
    expected = evaluate_validation(run.read_config()["data"], files)
    assert validations(run)[-1]["bbox_AP"] == expected["bbox"]["AP"]


def test_training_without_a_function_is_refused(validating, tmp_path):
    with pytest.raises(ValueError, match=r"evaluate=pcb\.study\.evaluate_validation, or set"):
        train(CONFIG, tmp_path / "run", 0, validating, device="cpu")
    assert not (tmp_path / "run").exists()


def test_detector_without_masks_is_refused_before_anything_is_written(validating, tmp_path):
    options = {**validating, "model.roi_head.mask_head": None}
    with pytest.raises(ValueError, match=r"asks for segm_AP, but MaskRCNN predicts only bbox"):
        train(CONFIG, tmp_path / "run", 0, options, device="cpu", evaluate=evaluate_validation)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "edit, message",
    [
        (
            lambda content: [c.update(frequency="f") for c in content["categories"]],
            r"save_best is 'segm_APr', which is undefined for .*val\.json.*'segm_AP'",
        ),
        (
            lambda content: content.update(annotations=[]),
            r"val\.json has no object, so evaluation\.save_best cannot choose",
        ),
        (
            lambda content: content["annotations"][0].pop("segmentation"),
            r"val\.json has annotations without a mask, .* set evaluation\.metric to 'bbox'",
        ),
    ],
)
def test_data_that_cannot_be_validated_is_refused_before_training(
    edit, message, validating, tmp_path
):
    content = json.loads(Path(validating["data.val.ann_file"]).read_text())
    edit(content)
    (file := tmp_path / "val.json").write_text(json.dumps(content))
    options = {**validating, "data.val.ann_file": str(file), "evaluation.save_best": "segm_APr"}
    with pytest.raises(ValueError, match=message):
        train(CONFIG, tmp_path / "run", 0, options, device="cpu", evaluate=evaluate_validation)
    assert not (tmp_path / "run").exists()


def test_command_validates(options, tmp_path, capsys):
    changes = {**options, "evaluation": {"metric": "segm"}, "runner.max_epochs": 1}
    command = ["train", CONFIG, "--work-dir", str(tmp_path / "run"), "--device", "cpu"]
    assert main([*command, "--cfg-options", json.dumps(changes)]) == 0
    assert "validation after epoch 1: segm_AP " in capsys.readouterr().out
    (record,) = validations(RunFolder(tmp_path / "run"))
    assert "bbox_AP" not in record
    assert not RunFolder(tmp_path / "run").best_checkpoint.exists()
