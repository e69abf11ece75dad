"""A run and its validation data."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pcb import metrics, study
from pcb.datasets import read_annotations
from pcb.datasets.openmoji.roles import ROLES
from pcb.runs.folder import RunFolder
from pcb.storage.repository import repository_path
from pcb.study.run import SAMPLE_RUN

CONFIG = "tests/configs/tiny_pcb.py"


@pytest.fixture
def run(tmp_path, tiny_openmoji):
    """A run folder without a checkpoint, whose predictions are half of the ground truth."""
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
    view = study.open_run(run.path)
    assert view.name == "tiny/softmax/seed0"
    assert view.data.image_dir == tiny_openmoji / "val"
    assert view.output.path == view.run.path == run.path
    assert len(view.data.icons) == len(view.data.names) == 8
    assert set(view.data.roles) <= set(ROLES)
    view.predict()  # nothing to do, and no checkpoint to do it with
    assert view.predictions("segm")


def test_output_folder_comes_before_the_run_folder(run, tmp_path):
    view = study.open_run(run.path)
    assert view.ground_truth_confusion() is None
    run.write_confusion(ground_truth_boxes=np.eye(8))
    np.testing.assert_array_equal(view.ground_truth_confusion(), np.eye(8))

    output = RunFolder(tmp_path / "output")  # as a sample run has
    view = dataclasses.replace(view, output=output)
    output.write_confusion(detections=np.eye(9))  # notebook 03 writes this one
    np.testing.assert_array_equal(view.ground_truth_confusion(), np.eye(8))
    assert view.predictions_file("segm") == run.predictions("segm")
    output.write_confusion(ground_truth_boxes=np.ones((8, 8)))
    output.path.joinpath("predictions").mkdir()
    output.predictions("segm").write_text("[]")
    np.testing.assert_array_equal(view.ground_truth_confusion(), np.ones((8, 8)))
    assert view.predictions_file("segm") == output.predictions("segm")
    assert view.predictions("segm") == [] != view.predictions("bbox")


def test_run_before_is_the_one_without_pcb_on_the_same_images(run, tiny_openmoji):
    pcb = RunFolder(run.path.parent.parent / "softmax_pcb" / "seed0")
    shutil.copytree(run.path, pcb.path)
    view = study.open_run(pcb.path)
    assert study.open_before(view).run.path == run.path
    with pytest.raises(FileNotFoundError, match=r"there is no baseline .* for .*: set `before`"):
        study.open_before(study.open_run(run.path))
    assert study.open_before(view, before=pcb.path).run.path == pcb.path
    run.predictions("segm").unlink()
    for before in ("", run.path):
        with pytest.raises(FileNotFoundError, match="has no predictions"):
            study.open_before(view, before=before, iou_type="segm")
    other = tiny_openmoji / "annotations" / "train.json"
    elsewhere = study.open_run(pcb.path, cfg_options={"data.val.ann_file": str(other)})
    for before in ("", run.path):
        with pytest.raises(ValueError, match="compare runs with the same images and classes"):
            study.open_before(elsewhere, before=before)


def test_overrides_reach_the_data(run, tiny_openmoji):
    other = {"data.val.img_prefix": str(tiny_openmoji / "val_prior")}
    assert study.open_run(run.path, cfg_options=other).data.image_dir.name == "val_prior"
    with pytest.raises(ValueError, match="img_prefix"):
        study.open_run(run.path, cfg_options={"data.val.img_prefx": ""})


def test_sample_run_is_opened_without_a_name_and_writes_elsewhere():
    view = study.open_run()
    assert view.run.path == repository_path(SAMPLE_RUN)
    assert view.output.path == repository_path("runs") / SAMPLE_RUN
    sample = repository_path("sample/openmoji/softmax/seed0")
    assert study.run._output_path(sample) == repository_path("runs/sample/openmoji/softmax/seed0")
    assert study.run._output_path(repository_path("samples")) == repository_path("samples")


def test_pictures_are_the_same_at_every_call(run):
    data = study.open_run(run.path).data
    truth, again = data.pictures(3), data.pictures(3)
    found = data.pictures(3, [])
    assert len(truth) == 3
    for one, other, empty in zip(truth, again, found, strict=True):
        assert np.array_equal(one.image, other.image) and np.array_equal(one.image, empty.image)
        assert len(empty.labels) == 0 < len(one.labels)


def test_missing_images_are_left_out(run, tmp_path):
    data = study.DataView(study.open_run(run.path).data.annotations, tmp_path / "absent")
    assert data.pictures(4) == []
    assert data.present_images == []


def test_picture_of_a_class_is_its_icon_or_its_largest_instance(run, tmp_path):
    data = study.open_run(run.path).data
    (one, icon), (other, _) = data.class_pictures([3, 0]).items()
    assert (one, other) == (3, 0) and icon is data.icons[3]

    categories = [
        {"id": 10 * i, "name": name, "frequency": "r", "image_count": 1, "instance_count": 1}
        for i, name in enumerate(("cat", "fox", "yak"), start=1)
    ]
    image = {"width": 300, "height": 200, "neg_category_ids": []}
    image["not_exhaustive_category_ids"] = []
    instances = [  # image, category, box; the largest cat is in an image that is not there
        (1, 10, [10, 20, 50, 20]),
        (1, 10, [0, 0, 5, 5]),
        (2, 10, [0, 0, 300, 200]),
        (1, 20, [100, 0, 200, 200]),
        (2, 30, [0, 0, 9, 9]),
    ]
    file = tmp_path / "photographs" / "annotations" / "val.json"
    file.parent.mkdir(parents=True)
    content = {
        "images": [image | {"id": i, "file_name": f"{i}.png"} for i in (1, 2)],
        "categories": categories,
        "annotations": [
            {"id": i, "image_id": of, "category_id": category, "bbox": box}
            | {"area": box[2] * box[3], "segmentation": [[0, 0, 9, 0, 9, 9]]}
            for i, (of, category, box) in enumerate(instances, start=1)
        ],
    }
    file.write_text(json.dumps(content))
    pixels = np.zeros((200, 300, 3), dtype=np.uint8)
    pixels[20:40, 10:60] = 255
    Image.fromarray(pixels).save(tmp_path / "1.png")
    data = study.DataView(read_annotations(file), tmp_path)
    found = data.class_pictures([2, 0, 1])
    assert list(found) == [2, 0, 1] and found[2] is None
    assert found[0].shape == (28, 58, 3)  # 8% of 50 pixels around the box of 50 x 20
    assert (found[0] == 255).all(axis=2).sum() == 50 * 20
    assert found[1].shape == (89, 96, 3)  # 216 x 200 pixels, up to the border, scaled down


def test_errors_name_the_mistake(run, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent has no config\.py: choose the folder"):
        study.open_run(tmp_path / "absent")
    view = study.open_run(run.path)
    name = view.data.annotations.class_names[2]
    assert view.data.labels([name, name.replace("_", " ")]) == [2, 2]
    with pytest.raises(ValueError, match=f"did you mean '{view.data.names[2]}'"):
        view.data.labels([name + "x"])
    run.predictions("segm").unlink()
    with pytest.raises(FileNotFoundError, match="no predictions: run notebook 02"):
        view.predictions("segm")
    run.predictions("bbox").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"neither predictions nor a checkpoint \(latest\.pth"
    ):
        view.predict()
    with pytest.raises(FileNotFoundError, match=r"checkpoint .*absent\.pth does not exist"):
        view.predict(tmp_path / "absent.pth")
    for path in (run.checkpoint, tmp_path / "downloaded.pth"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"overwrite the results of .*: choose another work_dir"):
        view.predict(tmp_path / "downloaded.pth")
    run.checkpoint.unlink()
    with pytest.raises(FileNotFoundError, match=r"no learned confusion matrix: train .* or pass a"):
        view.learned_confusion()
    run.write_confusion(detections=np.eye(9))  # notebook 03 writes this one
    with pytest.raises(FileNotFoundError, match="no learned confusion matrix"):
        view.learned_confusion()


def test_class_is_found_by_label_or_by_unique_name(run):
    data = study.open_run(run.path).data
    given = ["red_fox", "red fox", "3", "=x", "\x1b", "y" * 5000, "y" * 5001, "red fox (1)"]
    categories = [c | {"name": n} for c, n in zip(data.annotations.categories, given, strict=True)]
    data = dataclasses.replace(
        data, annotations=dataclasses.replace(data.annotations, categories=categories)
    )
    assert data.names[:2] == ["red fox (2)", "red fox (3)"] and len(set(data.names)) == 8
    assert data.labels(data.names) == list(range(8))
    assert data.labels([0, 7, "1", "red_fox (1)", "y" * 5001]) == [0, 7, 1, 7, 6]
    assert data.labels(["3", 3]) == [2, 3]  # the name of a class, and a label
    twice = r"2 classes are called 'red fox': use 'red fox \(2\)' \(label 0\) or 'red fox \(3\)' "
    with pytest.raises(ValueError, match=twice):
        data.labels(["red fox"])
    for unknown in ("8", 8, -1, "-1", "red fox (9)", True, "\ud83e"):
        with pytest.raises(ValueError, match="no class "):
            data.labels([unknown])


@pytest.fixture
def official(tmp_path):
    """Write a checkpoint with these buffers of a classification loss."""
    import torch

    def write(**buffers):
        state = {f"roi_head.bbox_head.loss_cls.{name}": b for name, b in buffers.items()}
        torch.save({"state_dict": {"backbone.weight": torch.ones(1), **state}}, path)
        return path

    path = tmp_path / "official.pth"
    return write


def buffers_of(num_classes, normalized=True):
    import torch

    matrix = torch.arange(1.0, num_classes**2 + 1).reshape(num_classes, -1)
    matrix = matrix / matrix.sum(1, keepdim=True) if normalized else matrix / 1000
    return {
        "fg_confusion_matrix": matrix,
        "num_inst_cnt": torch.arange(float(num_classes)),
        "_epoch": torch.tensor([24.0]),
    }


LOSS = "model.roi_head.bbox_head.loss_cls"


@pytest.fixture
def open_with_loss(tmp_path, tiny_options):
    """Open a run folder that does not exist, for a config with this loss."""

    def open_run(**loss):
        options = {**tiny_options, LOSS: {"_delete_": True, "num_classes": 8, **loss}}
        return study.open_run(tmp_path / "absent", CONFIG, cfg_options=options)

    return open_run


@pytest.mark.parametrize(
    "loss, normalized",
    [
        ({"type": "CrossEntropyPCBLoss", "alpha": 0.4}, True),
        ({"type": "SeesawPCBLoss", "alpha": 0.05}, True),
        ({"type": "EQLv2PCBLoss", "alpha": 4.0, "alpha_pcb": 0.2}, False),
    ],
)
def test_matrix_and_soft_labels_from_an_official_checkpoint(
    open_with_loss, official, loss, normalized
):
    import torch

    buffers = buffers_of(8, normalized)
    extra = {"cum_samples": torch.ones(9)} if loss["type"] == "SeesawPCBLoss" else {}
    view = open_with_loss(**loss)
    learned = view.learned_confusion(official(**buffers, **extra))
    matrix = buffers["fg_confusion_matrix"].numpy()
    np.testing.assert_array_equal(learned.matrix, matrix)
    np.testing.assert_array_equal(learned.instance_count, np.arange(8))
    assert learned.update_count is None and learned.epoch == 24
    assert learned.alpha == loss.get("alpha_pcb", loss["alpha"])
    expected = matrix.T / matrix.sum(0)[:, None] if normalized else matrix.T
    np.testing.assert_allclose(learned.soft_labels(), expected, rtol=1e-6)
    assert not view.run.path.exists()  # looking makes no folder


@pytest.mark.slow
def test_missing_or_wrong_matrix_is_refused(open_with_loss, official):
    view = open_with_loss(type="CrossEntropyPCBLoss")
    with pytest.raises(ValueError, match="contains no confusion matrix: use a checkpoint"):
        view.learned_confusion(official())
    checkpoint = official(**buffers_of(7))
    with pytest.raises(ValueError, match=r"not fit the config: .*\(7, 7\) instead of \(8, 8\)"):
        view.learned_confusion(checkpoint)
    with pytest.warns(UserWarning, match=r"rows of the confusion matrix in .* sum to 1, so"):
        open_with_loss(type="EQLv2PCBLoss").learned_confusion(official(**buffers_of(8)))
    with pytest.raises(ValueError, match="but the loss EQLv2 in the config does not learn one"):
        open_with_loss(type="EQLv2").learned_confusion(checkpoint)


def test_normalisation_of_a_matrix_is_read_from_the_run(run):
    matrix = np.array([[0.2, 0.1], [0.3, 0.1]])
    run.write_confusion(learned=matrix, normalize_columns=False)
    assert not study.open_run(run.path).learned_confusion().soft_labels().sum(1).max() > 0.51
    older = metrics.LearnedConfusion.from_arrays(
        {"learned": matrix}
    )  # from before runs said so: with softmax
    np.testing.assert_allclose(older.soft_labels(), [[0.4, 0.6], [0.5, 0.5]])


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_start_of_a_row_keeps_this_weight(activation):
    import torch

    from pcb import PairwiseClassBalance
    from pcb.confusion import ACTIVATIONS
    from pcb.detection.learned import learned_by

    first, later = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    balance = PairwiseClassBalance(2, alpha=0.4, momentum=0.8, activation=activation)
    for logits in (first, later, later, later) if activation == "softmax" else (later,) * 4:
        balance.observe(logits, torch.tensor([0]))
    learned = learned_by(balance)
    weights = learned.start_weights()
    probabilities = [ACTIVATIONS[activation](logits)[0].numpy() for logits in (first, later)]
    start = probabilities[0] if activation == "softmax" else 0  # a sigmoid's row starts as zero
    mixed = weights[0] * start + (1 - weights[0]) * probabilities[1]
    np.testing.assert_allclose(learned.matrix[0], mixed, rtol=1e-5)
    assert np.isnan(weights[1])  # never seen


def test_missing_dataset_is_created(tmp_path):
    data = study.open_dataset(CONFIG, tmp_path / "tiny", size="tiny")
    assert data.root == tmp_path / "tiny" and len(data.present_images) == 24
    with pytest.raises(FileNotFoundError):
        study.open_dataset(CONFIG, tmp_path / "absent")


@pytest.mark.parametrize("size", ["mini", "tiny", ""])
def test_openmoji_is_not_created_for_another_dataset(size, tmp_path):
    """Neither beside its missing data, nor in a folder that holds something else."""
    data = tmp_path / "lvis"
    data.joinpath("train2017").mkdir(parents=True)
    config = tmp_path / "own.py"
    text = Path("configs/_base_/datasets/openmoji.py").read_text()
    config.write_text(text.replace('"data/openmoji/mini/"', f'"{data}/"'))
    with pytest.raises(FileNotFoundError, match=rf"{data}/annotations/train\.json does not exist"):
        study.open_dataset(config, size=size)
    assert [path.name for path in data.rglob("*")] == ["train2017"]


def test_openmoji_is_created_where_the_config_reads_it(tmp_path, monkeypatch):
    monkeypatch.setattr("pcb.study.data.OPENMOJI", tmp_path / "openmoji")
    config = tmp_path / "own.py"
    text = Path("configs/_base_/datasets/openmoji.py").read_text()
    config.write_text(text.replace("data/openmoji/mini", f"{tmp_path}/openmoji/tiny"))
    with pytest.raises(
        ValueError, match=r"own\.py uses .*openmoji/tiny instead of OpenMoji-LT mini\. To open"
    ):
        study.open_dataset(config, size="mini")
    assert not (tmp_path / "openmoji").exists()
    data = study.open_dataset(config, size="tiny")
    assert data.root == tmp_path / "openmoji" / "tiny" and len(data.names) == 8
    with pytest.raises(ValueError, match=r"a different folder$"):  # no advice to remove anything
        study.open_dataset(config, size="tiny", seed=1)


def test_annotations_of_several_runs_are_read_once(run, tiny_openmoji):
    other = RunFolder(run.path.parent / "seed1")
    shutil.copytree(run.path, other.path)
    first, second = study.open_runs([run.path, other.path])
    assert first.data.annotations is second.data.annotations
    data = run.read_config()["data"]
    data["val"]["ann_file"] = f"{tiny_openmoji}/annotations/val_prior.json"
    other.config_file.write_text(f"data = {data!r}\n")
    with pytest.raises(ValueError, match="compare runs with the same images and classes"):
        study.open_runs([run.path, other.path])
    with pytest.raises(ValueError, match="`work_dirs` is empty"):
        study.open_runs([])


def test_changed_annotations_are_read_again(run, tiny_openmoji, tmp_path):
    file = tmp_path / "val.json"
    truth = json.loads((tiny_openmoji / "annotations" / "val.json").read_text())
    file.write_text(json.dumps(truth))
    run.config_file.write_text(f"data = {{'val': {{'ann_file': {str(file)!r}, 'img_prefix': ''}}}}")
    count = len(study.open_run(run.path).data.annotations.annotations)
    truth["annotations"].pop()
    file.write_text(json.dumps(truth))
    assert len(study.open_run(run.path).data.annotations.annotations) == count - 1


def test_coco_annotations_get_the_counts_of_the_training_data(run, tiny_openmoji, tmp_path):
    """They are federated or exhaustive as the config says, in notebooks and in `pcb test`."""
    data = {}
    for split in ("train", "val"):
        content = json.loads((tiny_openmoji / "annotations" / f"{split}.json").read_text())
        for image in content["images"]:
            del image["neg_category_ids"], image["not_exhaustive_category_ids"]
        for category in content["categories"]:
            for key in ("frequency", "image_count", "instance_count"):
                del category[key]
        file = tmp_path / "coco" / "annotations" / f"{split}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
        data[split] = {"ann_file": str(file), "img_prefix": str(tiny_openmoji / split)}
    wrapped = {"val": data["val"], "train": {"times": 2, "dataset": data["train"]}}
    run.config_file.write_text(f"data = {wrapped!r}\n")
    stated = read_annotations(tiny_openmoji / "annotations" / "train.json")
    for found in (
        study.open_run(run.path).data.annotations,
        study.open_dataset("", out=tmp_path / "coco").annotations,
    ):
        assert not found.federated
        np.testing.assert_array_equal(found.image_count, stated.image_count)
        np.testing.assert_array_equal(found.instance_count, stated.instance_count)
    data["val"] |= {"federated": False, "ann_file": f"{tiny_openmoji}/annotations/val.json"}
    run.config_file.write_text(f"data = {data!r}\n")
    assert not study.open_run(run.path).data.annotations.federated
