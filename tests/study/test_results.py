"""Files of any detector, opened as if they were a run."""

import json
from pathlib import Path

import numpy as np
import pytest

from pcb import study
from pcb.runs.folder import RunFolder

NO_RUN = {"config": "", "seed": 0, "cfg_options": {}, "checkpoint": "", "trust_checkpoint": False}
NO_FILES = dict.fromkeys(
    ("ground_truth", "results", "image_dir", "train", "federated", "crowds"), ""
)
NOTHING = {**NO_RUN, **NO_FILES, "work_dir": "", "before": ""}


def coco(file: Path, images_of: dict[int, list[int]]) -> Path:
    """Write annotations in COCO's format, with the given images of each class."""
    ids = sorted({image for images in images_of.values() for image in images})
    square = {"bbox": [0, 0, 9, 9], "area": 81, "segmentation": [[0, 0, 9, 0, 9, 9, 0, 9]]}
    instances = [(image, c) for c, images in images_of.items() for image in images]
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 50, "height": 50} for i in ids],
        "annotations": [
            {"id": n, "image_id": image, "category_id": c, **square}
            for n, (image, c) in enumerate(instances, start=1)
        ],
        "categories": [{"id": c, "name": f"class {c}"} for c in images_of],
    }
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content))
    return file


@pytest.fixture
def given(tmp_path) -> dict:
    truth = coco(tmp_path / "data" / "gt.json", {1: [1, 2], 2: [2]})
    results = tmp_path / "softmax" / "boxes.json"
    results.parent.mkdir()
    results.write_text("[]")
    return {"ground_truth": truth, "results": results, "work_dir": tmp_path / "out"}


def test_files_take_the_place_of_a_run(given, tmp_path):
    view = study.open_results(**given)
    assert view.name == "boxes.json" and view.output.path == tmp_path / "out"
    assert view.data.names == ["class 1", "class 2"]
    assert view.predictions_file("bbox") == view.predictions_file("segm") == given["results"]
    view.predict()
    assert view.learned_confusion() is None and view.ground_truth_confusion() is None
    assert not (tmp_path / "out").exists()


def test_numbers_of_images_come_from_the_ground_truth_if_there_are_no_others(given, capsys):
    view = study.open_results(**given)
    assert view.data.annotations.image_count.tolist() == [2, 1]
    assert "Frequency groups are computed by the numbers of images in" in capsys.readouterr().out


def test_groups_in_the_file_are_kept(given, capsys):
    content = json.loads(given["ground_truth"].read_text())
    for category, group in zip(content["categories"], "fc", strict=True):
        category["frequency"] = group
    given["ground_truth"].write_text(json.dumps(content))
    view = study.open_results(**given)
    assert view.data.annotations.frequency == ["f", "c"]
    assert "Classes are sorted by the numbers of images in" in capsys.readouterr().out
    for category in content["categories"]:
        category |= {"image_count": 50, "instance_count": 60}
    given["ground_truth"].write_text(json.dumps(content))
    view = study.open_results(**given)
    assert view.data.annotations.image_count.tolist() == [50, 50]
    assert "numbers of images" not in capsys.readouterr().out


def test_training_annotations_determine_the_groups(given, tmp_path, capsys):
    content = json.loads(given["ground_truth"].read_text())
    for category in content["categories"]:
        category |= {"frequency": "f", "image_count": 500, "instance_count": 600}
    given["ground_truth"].write_text(json.dumps(content))
    train = coco(tmp_path / "train.json", {1: [*range(1, 12), 1], 2: [1]})
    annotations = study.open_results(**given, train=train).data.annotations
    assert annotations.image_count.tolist() == [11, 1] and annotations.frequency == ["c", "r"]
    np.testing.assert_array_equal(annotations.instance_count, [12, 1])
    assert f"are computed from the numbers of images in {train}" in capsys.readouterr().out


def test_missing_pictures_are_reported_once(given, tmp_path, capsys):
    study.open_results(**given)
    assert "without pictures, because no image folder is named" in capsys.readouterr().out
    view = study.open_results(**given, image_dir=tmp_path)
    assert (
        f"2 of 2 images are missing from {tmp_path}: classes are shown without"
        in capsys.readouterr().out
    )
    assert view.data.class_pictures([0]) == {0: None}


@pytest.mark.parametrize(
    "name, kind",
    [
        ("ground_truth", "annotation file"),
        ("results", "results file"),
        ("train", "training annotation file"),
        ("image_dir", "image folder"),
    ],
)
def test_missing_file_is_named(given, tmp_path, name, kind):
    with pytest.raises(FileNotFoundError, match=rf"^the {kind} .*absent does not exist"):
        study.open_results(**{**given, name: tmp_path / "absent"})


def test_results_of_masks_alone_are_matched_by_masks(given):
    assert study.open_results(**given).matching_iou_type == "bbox"
    mask = {"image_id": 1, "category_id": 1, "score": 0.5, "segmentation": [[0, 0, 9, 0, 9, 9]]}
    given["results"].write_text(json.dumps([mask]))
    assert study.open_results(**given).matching_iou_type == "segm"


def test_output_folder_is_needed_and_is_no_run(given, tmp_path):
    with pytest.raises(ValueError, match="`work_dir` is empty: set it"):
        study.open_results(**{**given, "work_dir": ""})
    RunFolder(tmp_path / "out").write_environment({})
    with pytest.raises(ValueError, match="contains a training run"):
        study.open_results(**given)


def test_results_with_equal_names_are_told_apart(given, tmp_path):
    before = tmp_path / "seesaw" / "boxes.json"
    before.parent.mkdir()
    before.write_text("[]")
    view = study.open_results(**given, before=before)
    earlier = study.open_before(view, before)
    assert (view.name, earlier.name) == ("softmax/boxes.json", "seesaw/boxes.json")
    assert earlier.predictions_file("bbox") == before and earlier.data is view.data
    with pytest.raises(ValueError, match="`before` is empty"):
        study.open_before(view)


def test_notebook_opens_what_its_parameters_name(given):
    files = {name: str(path) for name, path in given.items()}
    assert isinstance(study.open_run_or_results({**NOTHING, **files}), study.ResultsView)
    view = study.open_run_or_results({**NOTHING, **files, "federated": "no"})
    assert not view.data.annotations.federated
    with pytest.raises(ValueError, match="neg_category_ids"):
        study.open_run_or_results({**NOTHING, **files, "federated": "yes"})
    assert isinstance(study.open_run_or_results(NOTHING), study.RunView)


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"config": "a.py", "seed": 1}, "config and seed cannot be combined with ground_truth"),
        ({"checkpoint": "a.pth"}, "checkpoint cannot be combined with ground_truth and results"),
        ({"results": ""}, "ground_truth cannot be used without results"),
        (
            {"ground_truth": "", "results": "", "train": "t.json"},
            "train cannot be used without ground_truth and results",
        ),
    ],
)
def test_parameters_of_runs_and_files_are_not_mixed(asked, message):
    files = {"ground_truth": "gt.json", "results": "results.json"}
    with pytest.raises(ValueError, match=message):
        study.open_run_or_results({**NOTHING, **files, **asked})
