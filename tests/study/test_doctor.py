"""``pcb doctor CONFIG`` finds faults of a config, its data and its prospects before training."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from pcb.cli import main as cli
from pcb.detection import load_config
from pcb.detection.engine.training import build_model, train
from pcb.messages.checks import Check, problems
from pcb.runs.folder import RunFolder
from pcb.study.doctor import examine_config
from tests.support.tiny import CONFIG, tiny_options

LOSS = "model.roi_head.bbox_head.loss_cls"


def texts(checks: list[Check], name: str) -> list[str]:
    return [check.text for check in checks if check.name == name]


@pytest.fixture
def dataset(tiny_openmoji, tmp_path):
    """A copy of OpenMoji-LT tiny, to be changed by a test."""
    return Path(shutil.copytree(tiny_openmoji, tmp_path / "tiny"))


def change(dataset: Path, split: str, edit) -> None:
    path = dataset / "annotations" / f"{split}.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_good_data_has_no_problem(tiny_options):
    checks = examine_config(CONFIG, tiny_options, steps=0)
    assert not problems(checks)
    assert texts(checks, "train annotations") == ["24 images, 74 annotations, 8 classes"]
    assert texts(checks, "train images") == ["24 files match the annotations"]
    assert texts(checks, "PCB") == ["starts in epoch 2 of 2"]
    (rarest,) = texts(checks, "rarest class")
    # Two images, three refinement iterations: six updates before PCB starts, 0.92 ** 5 = 0.66.
    assert "has 2 training images" in rarest and "about 6 updates per epoch" in rarest
    assert "weight 0.66 when PCB starts, and 0.4 after the last epoch" in rarest
    assert rarest.endswith("set momentum of the loss to 0.63")
    assert not texts(checks, "speed")


def test_faults_of_the_config_are_listed_together():
    checks = examine_config(CONFIG, {"runner.max_epochs": 0, "log_config.interval": 0})
    (check,) = problems(checks)
    assert "2 faults" in check.text and "max_epochs" in check.text


def test_faults_of_annotations_and_images_are_found(dataset):
    images = sorted((dataset / "train").iterdir())
    images[0].unlink()
    Image.new("RGB", (9, 7)).save(images[1])
    images[2].write_bytes(b"")
    with Image.open(images[3]) as image:
        image.convert("L").save(images[3])

    def break_record(content):
        content["annotations"][0]["category_id"] = 999

    change(dataset, "val", break_record)
    checks = examine_config(CONFIG, tiny_options(dataset), steps=2)
    found = texts(checks, "train images")
    assert any(f"1 of 24 images in {dataset / 'train'} are missing" in text for text in found)
    assert any(f"({images[1].name}: " in text and "9x7 instead of" in text for text in found)
    assert any(f"cannot be read ({images[2].name} is empty)" in text for text in found)
    assert "1 of mode L: grey is repeated in three channels" in found
    assert "999" in texts(checks, "val annotations")[0]
    assert texts(checks, "speed") == ["not estimated, because of the problems above"]
    assert len(problems(checks)) == 4


def test_skipped_annotations_are_counted(dataset):
    change(dataset, "train", lambda content: content["annotations"][0].update(area=0))
    found = texts(examine_config(CONFIG, tiny_options(dataset), steps=0), "train annotations")
    assert found[1] == "1 of 74 annotations skipped: 1 without area"


def test_differing_and_nearly_equal_classes_are_listed(dataset):
    def rename(content):
        for category, name in zip(content["categories"], ("Ice_Cream", "ice creams"), strict=False):
            category["name"] = name

    change(dataset, "train", rename)
    checks = examine_config(CONFIG, tiny_options(dataset), steps=0)
    found = texts(checks, "classes")
    assert found[0].startswith("2 differ between") and "use the same ids and names" in found[0]
    assert found[1] == "names that are nearly equal: Ice_Cream = ice creams"


def test_a_class_without_instances_keeps_pcb_from_starting(dataset):
    def empty(content):
        last = content["categories"][-1]["id"]
        kept = [one for one in content["annotations"] if one["category_id"] != last]
        content["annotations"] = kept

    change(dataset, "train", empty)
    checks = examine_config(CONFIG, tiny_options(dataset), steps=0)
    assert texts(checks, "PCB")[0].startswith("PCB never starts, because 1 of 8 classes")
    assert any("1 with no training image" in text for text in texts(checks, "classes"))
    options = {**tiny_options(dataset), f"{LOSS}.required_classes": "present"}
    assert not problems(examine_config(CONFIG, options, steps=0))


@pytest.mark.parametrize(
    "change, name, message",
    [
        ({f"{LOSS}.start_epoch": 3}, "PCB", "starts in epoch 3, but training ends with epoch 2"),
        ({f"{LOSS}.num_classes": 9}, "model", "8 classes, but num_classes in the config is 9"),
        ({f"{LOSS}.alpha": 0.0}, "PCB", "no loss of the model uses PCB"),
        (
            {"auto_scale_lr": {"base_batch_size": 16}},
            "batch size",
            "chosen for 16 images per step, you have 8 with one process: change "
            "data.samples_per_gpu, or train with 2 processes, or set optimizer.lr to 0.0005",
        ),
    ],
)
def test_prospects_of_pcb_and_of_the_learning_rate(tiny_options, change, name, message):
    checks = examine_config(CONFIG, {**tiny_options, **change}, steps=0)
    assert message in texts(checks, name)[0]


@pytest.mark.slow
def test_time_and_memory_are_estimated_from_real_steps(tiny_options, capsys):
    words = ["--steps", "1", "--device", "cpu", "--cfg-options", json.dumps(tiny_options)]
    assert cli.main(["doctor", CONFIG, *words]) == 0
    out = capsys.readouterr().out
    assert "estimate from 1 step on cpu" in out and out.endswith("No problem was found.\n")


def test_report_of_a_problem_exits_1(capsys):
    words = ["--steps", "0", "--cfg-options", "runner.max_epochs=0"]
    assert cli.main(["doctor", CONFIG, *words]) == 1
    assert capsys.readouterr().out.endswith(
        "1 problem: correct the config or the data as described above\n"
    )


def test_weights_to_start_from_are_read_and_fitted(tiny_options, tmp_path):
    state = build_model(load_config(CONFIG, tiny_options)).state_dict()
    torch.save(state, tmp_path / "good.pth")
    torch.save({k: v for k, v in state.items() if "backbone" not in k}, tmp_path / "head.pth")
    (tmp_path / "text.pth").write_text("no weights")
    of_imagenet = {"type": "Pretrained", "checkpoint": str(tmp_path / "imagenet.pth")}
    options = {**tiny_options, "model.backbone.init_cfg": of_imagenet}

    (check,) = problems(examine_config(CONFIG, options, steps=0))
    assert check.name == "model" and "imagenet.pth does not exist" in check.text
    # With load_from, neither doctor nor training needs the weights of ImageNet.
    checks = examine_config(CONFIG, {**options, "load_from": str(tmp_path / "good.pth")}, steps=1)
    assert not problems(checks) and "per epoch" in texts(checks, "speed")[0]
    assert texts(checks, "load_from")[0].startswith(f"{len(state)} of {len(state)} weights")
    for name, message in {
        "absent.pth": "does not exist: check the path",
        "": "is a folder: choose a checkpoint file, such as latest.pth",
        "text.pth": "text.pth was rejected, and no code",
        "head.pth": "none of them in the backbone",
    }.items():
        wrong = {**options, "load_from": str(tmp_path / name)}
        (check,) = problems(examine_config(CONFIG, wrong, steps=0))
        assert check.name == "load_from" and message in check.text
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            train(CONFIG, tmp_path / "run", 0, wrong, device="cpu")
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "validation, message",
    [
        ({"metric": "bbox"}, "every epoch, of bbox"),
        ({"interval": 2, "save_best": "segm_APr"}, "save_best is 'segm_APr', which is undefined"),
    ],
)
def test_validation_during_training_is_examined(dataset, validation, message):
    change(dataset, "val", lambda content: [c.update(frequency="f") for c in content["categories"]])
    options = {**tiny_options(dataset), "evaluation": validation}
    checks = examine_config(CONFIG, options, steps=0)
    (text,) = texts(checks, "validation")
    assert message in text and len(problems(checks)) == ("undefined" in text)


def test_options_without_a_config_are_refused(capsys):
    assert cli.main(["doctor", "--steps", "0"]) == 2
    assert "--steps cannot be used without CONFIG" in capsys.readouterr().err


def test_a_trained_folder_is_refused_before_the_config_is_read(tmp_path, capsys):
    RunFolder(tmp_path).create().checkpoint.touch()
    assert cli.main(["train", "no/such/config.py", "--work-dir", str(tmp_path)]) == 2
    assert "already contains a training run: continue it (--resume)" in capsys.readouterr().err
