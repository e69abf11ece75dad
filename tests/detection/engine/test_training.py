"""Training and inference end to end on a very small dataset."""

import json
import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pcb.datasets.lvis import read_annotations, read_results
from pcb.detection.checkpoint import read_checkpoint, save_checkpoint
from pcb.detection.engine.hooks import LossScalingHook
from pcb.detection.engine.inference import predict
from pcb.detection.engine.runner import NonFiniteError, Runner
from pcb.detection.engine.training import train
from pcb.runs.folder import RunFolder
from pcb.runs.processes import notebook_lock
from pcb.runs.processor import cpu_model
from pcb.study.run import open_run

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("training")]

CONFIG = "tests/configs/tiny_pcb.py"
LOSS = "model.roi_head.bbox_head.loss_cls"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_options):
    """Two epochs without interruption."""
    work_dir = tmp_path_factory.mktemp("run") / "seed0"
    return train(CONFIG, work_dir, cfg_options=tiny_options, device="cpu")


def test_run_folder_is_complete(trained):
    state = read_checkpoint(trained.checkpoint)
    acted = {"from": [2, 4], "to": [2, 6], "strength": 0.4}
    classes = state["meta"].pop("CLASSES")
    assert isinstance(classes, tuple) and len(classes) == 8
    assert state["meta"] == {"epoch": 2, "iter": 6, "pcb_acted": acted}
    log = trained.read_log()
    assert [record["iter"] for record in log] == [1, 2, 3, 4, 5, 6]
    assert all(np.isfinite(record["loss"]) for record in log)
    assert [record["pcb_strength"] for record in log] == [0.0] * 3 + [0.4] * 3  # start_epoch=2
    environment = trained.read_environment()
    assert environment["seed"] == 0 and environment["device"] == "cpu"
    assert environment["cpu"] == cpu_model()
    assert environment["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert "CrossEntropyPCBLoss" in trained.config_file.read_text()
    confusion = trained.read_confusion()
    np.testing.assert_allclose(confusion["learned"].sum(1), 1, rtol=1e-5)
    assert (confusion["update_count"] > 0).all()
    assert confusion["normalize_columns"] and confusion["alpha"] == 0.4
    assert confusion["epoch"] == 2
    prefix = "roi_head.bbox_head.loss_cls."
    learned = state["state_dict"][prefix + "fg_confusion_matrix"]
    np.testing.assert_array_equal(learned, confusion["learned"])
    history = trained.read_confusion_history()
    assert list(history) == [1, 2]
    np.testing.assert_allclose(history[2], learned, rtol=5e-4, atol=3e-8)
    assert np.abs(history[1] - history[2]).max() > 1e-3


def test_resumed_training_ends_the_same(trained, tmp_path, tiny_options):
    one_epoch = {**tiny_options, "runner.max_epochs": 1}
    killed = train(CONFIG, tmp_path, cfg_options=one_epoch, device="cpu")
    with open(killed.log_file, "a") as log:
        log.write('{"mode": "tra')  # a line that a killed training left half written
    for epoch in (2, 3):  # matrices of epochs after the checkpoint
        killed.write_confusion_history(epoch, np.zeros((8, 8)))
    resumed = train(CONFIG, tmp_path, cfg_options=tiny_options, resume=True, device="cpu")
    ours, theirs = (read_checkpoint(run.checkpoint) for run in (resumed, trained))
    assert ours["meta"] == theirs["meta"]
    for name, value in theirs["state_dict"].items():
        assert torch.equal(ours["state_dict"][name], value), name
    logs = [[(r["iter"], r["loss"]) for r in run.read_log()] for run in (resumed, trained)]
    assert logs[0] == logs[1]
    ours, theirs = (run.read_confusion_history() for run in (resumed, trained))
    assert list(ours) == [1, 2]
    for epoch, matrix in theirs.items():
        np.testing.assert_array_equal(ours[epoch], matrix)


def test_new_training_replaces_the_history(trained, tmp_path, tiny_options):
    shutil.copytree(trained.path, tmp_path / "seed0")
    one_epoch = {**tiny_options, "runner.max_epochs": 1, f"{LOSS}.start_epoch": 1}
    with pytest.raises(ValueError, match=r"already contains a training run: .*--resume.*--replace"):
        train(CONFIG, tmp_path / "seed0", cfg_options=one_epoch, device="cpu")
    assert list(RunFolder(tmp_path / "seed0").read_confusion_history()) == [1, 2]
    run = train(CONFIG, tmp_path / "seed0", cfg_options=one_epoch, device="cpu", replace=True)
    assert list(run.read_confusion_history()) == [1]


def test_history_of_rows_that_do_not_sum_to_one(tmp_path, tiny_options):
    eqlv2 = {"_delete_": True, "type": "EQLv2PCBLoss", "num_classes": 8}
    options = {**tiny_options, "runner.max_epochs": 1, LOSS: eqlv2}
    run = train(CONFIG, tmp_path / "seed0", cfg_options=options, device="cpu")
    learned = run.read_confusion()["learned"]
    np.testing.assert_allclose(run.read_confusion_history()[1], learned, rtol=5e-4, atol=3e-8)
    assert learned.sum(1).max() < 0.9


def test_resuming_executes_nothing_in_the_checkpoint(trained, tmp_path, tiny_options):
    state = read_checkpoint(trained.checkpoint)
    state["meta"]["config"] = f"open({str(tmp_path / 'executed')!r}, 'w')"
    state["meta"]["epoch"] = 2  # nothing left to train
    save_checkpoint(tmp_path / "latest.pth", state)
    train(CONFIG, tmp_path, cfg_options=tiny_options, resume=True, device="cpu")
    assert not (tmp_path / "executed").exists()


def test_predictions_are_coco_results(trained, tiny_options):
    files = predict(trained.config_file, trained.checkpoint, trained.path, device="cpu")
    annotations = read_annotations(tiny_options["data.val.ann_file"])
    boxes, masks = (read_results(files[iou_type], annotations) for iou_type in ("bbox", "segm"))
    assert len(boxes) == len(masks) > 0
    first = json.loads(files["segm"].read_text())[0]
    assert set(first) == {"image_id", "category_id", "score", "segmentation"}
    assert [box["score"] for box in boxes] == [mask["score"] for mask in masks]


def test_predictions_without_their_matrix_are_made_again(trained, tmp_path):
    run = RunFolder(shutil.copytree(trained.path, tmp_path / "seed0"))
    view = open_run(run.path)
    view.predict()
    matrix = view.ground_truth_confusion()
    made = run.predictions("segm").stat().st_mtime_ns
    view.predict()
    assert run.predictions("segm").stat().st_mtime_ns == made

    learned = run.read_confusion()["learned"]
    run.confusion_file.unlink()
    run.write_confusion(learned=learned)  # as in a run of an earlier version
    view.predict()
    assert run.predictions("segm").stat().st_mtime_ns > made
    np.testing.assert_array_equal(view.ground_truth_confusion(), matrix)


def test_missing_image_is_named_before_anything_is_written(tiny_openmoji, tmp_path, tiny_options):
    images = tmp_path / "train"
    shutil.copytree(tiny_openmoji / "train", images)
    victim = sorted(images.iterdir())[0]
    victim.unlink()
    options = {**tiny_options, "data.train.img_prefix": str(images)}
    with pytest.raises((ValueError, FileNotFoundError), match=victim.name):
        train(CONFIG, tmp_path / "run", cfg_options=options, device="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "options, seed, message",
    [
        (
            {"runner.max_epochs": 0},
            0,
            "runner.max_epochs must be .*, at least 1, got 0",
        ),
        ({"data.samples_per_gpu": 0}, 0, "data.samples_per_gpu must be a whole number"),
        ({"log_config.interval": 0}, 0, "log_config.interval must be a whole number"),
        ({}, -1, "seed must be an integer from 0 to 4294967295, got -1"),
        ({}, 2**32, "seed must be an integer"),
        ({"data.train.ann_file": "useless.json"}, 0, "no image of the training set has a usable"),
    ],
)
def test_training_that_cannot_start_keeps_the_earlier_run(
    trained, tmp_path, tiny_options, options, seed, message
):
    run = RunFolder(shutil.copytree(trained.path, tmp_path / "seed0"))
    if "data.train.ann_file" in options:
        content = json.loads(Path(tiny_options["data.train.ann_file"]).read_text())
        for annotation in content["annotations"]:
            annotation["bbox"] = [0, 0, 0, 0]
        path = tmp_path / "useless.json"
        path.write_text(json.dumps(content))
        options = {"data.train.ann_file": str(path)}
    before = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    with pytest.raises(ValueError, match=message):
        train(CONFIG, run.path, seed, {**tiny_options, **options}, device="cpu")
    assert before == {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}


def test_resuming_with_other_settings_warns(trained, tmp_path, tiny_options):
    run = RunFolder(shutil.copytree(trained.path, tmp_path / "seed0"))
    run.write_environment(run.read_environment() | {"cpu_capability": "another"})
    options = {**tiny_options, "optimizer.lr": 0.5, "runner.max_epochs": 3}
    with pytest.warns(UserWarning, match=r"run began: cpu_capability, optimizer\.lr, seed\."):
        train(CONFIG, run.path, 9, options, resume=True, device="cpu")


def test_checkpoint_of_another_class_count_is_refused(trained, tmp_path):
    with pytest.raises(ValueError, match=r"with the wrong shape .*instead of"):
        predict("configs/openmoji/softmax_pcb.py", trained.checkpoint, tmp_path, device="cpu")
    assert not (tmp_path / "predictions").exists()


def test_unknown_device_is_named(tmp_path, tiny_options):
    with pytest.raises(ValueError, match="'gpu'"):
        train(CONFIG, tmp_path, cfg_options=tiny_options, device="gpu")


def test_wrong_number_of_classes_is_named_before_training(tmp_path, tiny_options):
    with pytest.raises(ValueError, match="has 8 classes, but num_classes in the config is 40"):
        train("configs/openmoji/softmax.py", tmp_path, cfg_options=tiny_options, device="cpu")


def test_folder_where_a_notebook_or_a_killed_training_began_is_accepted(tmp_path, tiny_options):
    foreign = "01_train.ipynb 01_train.failed.json 01_train.failed.html train.out train.lock .lock"
    lock_of_grid = notebook_lock(tmp_path / "01_train.ipynb").name
    for name in (*foreign.split(), lock_of_grid, f".config.py.{32 * '0'}"):
        (tmp_path / name).touch()
    options = {**tiny_options, "runner.max_epochs": 1, f"{LOSS}.start_epoch": 1}
    assert train(CONFIG, tmp_path, cfg_options=options, device="cpu").checkpoint.is_file()


def test_folder_of_something_else_is_refused_and_left_alone(tmp_path, tiny_options):
    (tmp_path / "figures").mkdir()
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match=r"do not belong to a training run, .*'thesis.tex'"):
        train(CONFIG, tmp_path, cfg_options=tiny_options, device="cpu")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["figures", "thesis.tex"]


class Regression(nn.Linear):
    """The smallest model that a runner can train."""

    def train_step(self, batch, optimizer):
        return {"loss": self(batch).square().mean(), "log_vars": {}, "num_samples": len(batch)}


def test_start_after_the_last_epoch_warns(tmp_path, tiny_options):
    options = {**tiny_options, "runner.max_epochs": 1}  # the config's start_epoch is 2
    with pytest.warns(UserWarning, match="with epoch 1, so PCB will never change the loss"):
        train(CONFIG, tmp_path / "seed0", cfg_options=options, device="cpu")


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(meta=[]), "its 'meta' has no integer 'epoch'; train from scratch, without --resume"),
        (dict(meta={"epoch": "1", "iter": 3}), "its 'meta' has no integer 'epoch'"),
        (dict(optimizer={}), "its optimizer state is missing or does not fit"),
        (dict(optimizer={"state": {}, "param_groups": []}), "different number of parameter groups"),
    ],
)
def test_checkpoint_that_cannot_be_resumed_says_why(
    trained, tmp_path, tiny_options, change, message
):
    save_checkpoint(tmp_path / "latest.pth", read_checkpoint(trained.checkpoint) | change)
    before = (tmp_path / "latest.pth").read_bytes()
    with pytest.raises(ValueError, match=f"latest.pth cannot be resumed: .*{message}"):
        train(CONFIG, tmp_path, cfg_options=tiny_options, resume=True, device="cpu")
    assert (tmp_path / "latest.pth").read_bytes() == before


def start(work_dir, **settings):
    """A runner, and the hook for half precision; its CPU scaler doubles the scale each step."""
    model = Regression(2, 1)
    runner = Runner(
        model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.01),
        work_dir=str(work_dir),
        logger=logging.getLogger("test"),
        max_epochs=1,
        device=torch.device("cpu"),
    )
    hook = LossScalingHook(grad_clip=None, loss_scale="dynamic", **settings)
    hook.loss_scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1)
    return runner, hook


def test_loss_scale_of_half_precision_survives_a_checkpoint(tmp_path):
    runner, hook = start(tmp_path)
    runner.register_hook(hook)
    runner.run([torch.ones(4, 2)] * 3)
    assert hook.loss_scaler.get_scale() == 32.0
    runner.save_checkpoint(tmp_path)

    resumed, fresh = start(tmp_path)
    resumed.resume(tmp_path / "latest.pth", [])
    fresh.before_run(resumed)
    assert fresh.loss_scaler.state_dict() == hook.loss_scaler.state_dict()
    assert resumed.iter == 3


def nan_loss(monkeypatch, iterations, value=float("nan")):
    """Multiply the masks' loss by this value in some iterations, counted from 1."""
    from mmdet.models.roi_heads.mask_heads import FCNMaskHead

    loss, calls = FCNMaskHead.loss, []

    def spoilt(head, *arguments):
        calls.append(1)
        losses = loss(head, *arguments)
        return {"loss_mask": losses["loss_mask"] * (value if len(calls) in iterations else 1)}

    monkeypatch.setattr(FCNMaskHead, "loss", spoilt)


def test_loss_that_is_not_finite_stops_before_it_reaches_the_weights(
    tmp_path, tiny_options, monkeypatch
):
    nan_loss(monkeypatch, iterations=[5])
    message = r"epoch 2, iteration 5: .* not finite: loss_mask = nan, loss = nan; images: .*\.png"
    with pytest.raises(NonFiniteError, match=message) as error:
        train(CONFIG, tmp_path / "run", cfg_options=tiny_options, device="cpu")
    images = set(re.findall(r"[^/ ,]+\.png", str(error.value)))
    assert len(images) == 8 and "optimizer.lr" in str(error.value)
    state = read_checkpoint(tmp_path / "run" / "latest.pth")
    del state["meta"]["CLASSES"]
    assert state["meta"] == {"epoch": 1, "iter": 3, "pcb_acted": {}}
    assert all(value.isfinite().all() for value in state["state_dict"].values())


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    runner, _ = start(tmp_path)
    runner.save_checkpoint(tmp_path)
    before = (tmp_path / "latest.pth").read_bytes()
    runner.model.weight.data[0, 1] = float("inf")
    message = "1 of the model's 2 tensors are not finite, for example weight"
    with pytest.raises(NonFiniteError, match=message):
        runner.save_checkpoint(tmp_path)
    assert (tmp_path / "latest.pth").read_bytes() == before


def test_steps_skipped_in_half_precision_are_counted_and_a_run_of_them_stops(tmp_path):
    runner, hook = start(tmp_path, patience=3)
    runner.register_hook(hook)
    good, bad = torch.ones(4, 2), torch.full((4, 2), float("inf"))
    runner.run([bad, bad, good, bad, good])
    assert runner.meta["fp16"]["skipped_steps"] == 3
    assert runner.model.weight.isfinite().all()
    assert hook.loss_scaler.get_scale() == 4.0 * 2**2 / 2**3

    runner.save_checkpoint(tmp_path)
    resumed, hook = start(tmp_path, patience=3)
    resumed.resume(tmp_path / "latest.pth", [])
    resumed._epoch = 0
    resumed.register_hook(hook)
    with pytest.raises(
        NonFiniteError,
        match=r"iteration 8: the loss scaler skipped 3 .* in a row, .* Last step: ",
    ):
        resumed.run([bad, bad, bad, good])
    assert resumed.meta["fp16"]["skipped_steps"] == 6
