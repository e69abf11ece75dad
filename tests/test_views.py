"""A run and the data it is judged on."""

import json

import numpy as np
import pytest

from pcb import views
from pcb.runs import RunFolder, repository_path

CONFIG = "tests/configs/tiny_pcb.py"


@pytest.fixture
def run(tmp_path, tiny_openmoji):
    """A run folder with predictions that repeat part of the ground truth, and no checkpoint."""
    folder = RunFolder(tmp_path / "tiny" / "softmax" / "seed0").create()
    val = {
        "ann_file": f"{tiny_openmoji}/annotations/val.json",
        "img_prefix": f"{tiny_openmoji}/val",
    }
    folder.config_file.write_text(f"data = {{'val': {val!r}}}\n")
    truth = json.loads((tiny_openmoji / "annotations" / "val.json").read_text())["annotations"]
    (folder.path / "predictions").mkdir()
    for iou_type in ("bbox", "segm"):
        key = {"bbox": "bbox", "segm": "segmentation"}[iou_type]
        results = [
            {"image_id": a["image_id"], "category_id": a["category_id"], "score": 0.9, key: a[key]}
            for a in truth[::2]
        ]
        folder.predictions(iou_type).write_text(json.dumps(results))
    return folder


def test_saved_run_is_opened_without_the_detector(run, tiny_openmoji):
    view = views.open_run(run.path)
    assert view.name == "tiny/softmax/seed0"
    assert view.data.image_dir == tiny_openmoji / "val"
    assert view.output.path == view.run.path == run.path
    assert len(view.data.icons) == len(view.data.names) == 8
    assert set(view.data.roles) <= set(views.ROLES)
    view.predict()  # nothing to do, and no checkpoint to do it with
    assert view.predictions("segm")


def test_overrides_reach_the_data(run, tiny_openmoji):
    other = {"data.val.img_prefix": str(tiny_openmoji / "val_prior")}
    assert views.open_run(run.path, cfg_options=other).data.image_dir.name == "val_prior"
    with pytest.raises(ValueError, match="img_prefix"):
        views.open_run(run.path, cfg_options={"data.val.img_prefx": ""})


def test_sample_run_writes_elsewhere():
    sample = repository_path("sample/openmoji/softmax/seed0")
    assert views._output_path(sample) == repository_path("runs/sample/openmoji/softmax/seed0")
    assert views._output_path(repository_path("samples")) == repository_path("samples")


def test_pictures_are_the_same_at_every_call(run):
    data = views.open_run(run.path).data
    truth, again = data.pictures(3), data.pictures(3)
    found = data.pictures(3, [])
    assert len(truth) == 3
    for one, other, empty in zip(truth, again, found, strict=True):
        assert np.array_equal(one.image, other.image) and np.array_equal(one.image, empty.image)
        assert len(empty.labels) == 0 < len(one.labels)


def test_images_that_are_not_there_are_left_out(run, tmp_path):
    data = views.DataView(views.open_run(run.path).data.annotations, tmp_path / "absent")
    assert data.pictures(4) == []
    assert data.present_images == []


def test_mistakes_are_named(run, tmp_path):
    with pytest.raises(ValueError, match="both empty"):
        views.open_run()
    with pytest.raises(FileNotFoundError, match=r"absent is no run folder: it has no config\.py"):
        views.open_run(tmp_path / "absent")
    view = views.open_run(run.path)
    name = view.data.annotations.class_names[2]
    assert view.data.labels([name, name.replace("_", " ")]) == [2, 2]
    with pytest.raises(ValueError, match=f"nearest: '{view.data.names[2]}'"):
        view.data.labels([name + "x"])
    run.predictions("segm").unlink()
    with pytest.raises(FileNotFoundError, match="no predictions; run notebook 02"):
        view.predictions("segm")
    with pytest.raises(
        FileNotFoundError, match=r"neither predictions nor a checkpoint at .*latest"
    ):
        view.predict()


def test_matrix_from_a_checkpoint(run, tmp_path):
    import torch

    run.write_confusion(learned=np.eye(8))
    view = views.open_run(run.path)
    np.testing.assert_array_equal(view.learned_confusion()["learned"], np.eye(8))
    prefix = "roi_head.bbox_head.loss_cls."
    official = {"fg_confusion_matrix": torch.ones(8, 8), "num_inst_cnt": torch.arange(8)}
    path = tmp_path / "official.pth"
    torch.save({"state_dict": {prefix + name: value for name, value in official.items()}}, path)
    learned = view.learned_confusion(path)
    np.testing.assert_array_equal(learned["learned"], np.ones((8, 8)))
    np.testing.assert_array_equal(learned["instance_count"], np.arange(8))
    torch.save({"state_dict": {}}, path)
    with pytest.raises(ValueError, match="no confusion matrix: it was trained without PCB"):
        view.learned_confusion(path)


def test_dataset_is_made_where_it_is_missing(tmp_path):
    data = views.open_dataset(CONFIG, tmp_path / "tiny", size="tiny")
    assert data.root == tmp_path / "tiny" and len(data.present_images) == 24
    with pytest.raises(FileNotFoundError):
        views.open_dataset(CONFIG, tmp_path / "absent")


@pytest.mark.parametrize(
    "names, expected",
    [
        (["a/b/c"], ["a/b/c"]),
        (["o/plain/seed0", "o/plain/seed1"], ["seed0", "seed1"]),
        (["o/plain/seed0", "o/pcb/seed1"], ["plain/seed0", "pcb/seed1"]),
        (["o/plain", "o/pcb/seed1"], ["o/plain", "o/pcb/seed1"]),
        (["o/a/s", "o/a/s"], ["o/a/s", "o/a/s"]),
    ],
)
def test_names_without_what_they_share(names, expected):
    assert views.distinct_names(names) == expected
