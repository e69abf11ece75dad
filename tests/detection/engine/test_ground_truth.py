"""The matrix of the ground-truth boxes, compared with one computed box by box."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.datasets import build_dataset
from torch import nn

from pcb.detection import load_config
from pcb.detection.checkpoint import save_checkpoint
from pcb.detection.engine import ground_truth
from pcb.detection.engine.ground_truth import GroundTruthConfusion, class_activation
from pcb.detection.engine.inference import predict
from pcb.detection.engine.training import build_model
from pcb.refinement import refine_features
from pcb.runs.folder import RunFolder
from pcb.storage.repository import repository_path

pytestmark = pytest.mark.slow

CONFIG = "tests/configs/tiny_pcb.py"
LOSS, SCALE = "model.roi_head.bbox_head.loss_cls", 1.25
ABSENT = 3  # label of a class without validation boxes


@pytest.fixture(scope="module")
def annotations(tiny_openmoji, tmp_path_factory):
    """Validation annotations in which one image and one class have no boxes."""
    content = json.loads((tiny_openmoji / "annotations" / "val.json").read_text())
    gone = sorted(category["id"] for category in content["categories"])[ABSENT]
    empty = content["images"][1]["id"]
    content["annotations"] = [
        a for a in content["annotations"] if a["category_id"] != gone and a["image_id"] != empty
    ]
    # Keep fewer images, and not a multiple of the batch size.
    content["images"] = content["images"][:8]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in kept]
    path = tmp_path_factory.mktemp("annotations") / "val.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def batched(tmp_path_factory):
    """The config, with batches of 3 images."""
    path = tmp_path_factory.mktemp("configs") / "batched.py"
    path.write_text(
        f"_base_ = {str(repository_path(CONFIG))!r}\n"
        "data = dict(val_dataloader=dict(samples_per_gpu=3))\n"
    )
    return path


@pytest.fixture
def options(tiny_options, annotations):
    """The network sees images of 160 pixels."""
    side = int(128 * SCALE)
    return {
        **tiny_options,
        "data.val.ann_file": str(annotations),
        "data.val.pipeline.1.img_scale": (side, side),
        "model.roi_head.identity_init": False,
    }


def random_model(cfg):
    """A detector with confident predictions that differ from box to box."""
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    nn.init.normal_(model.roi_head.bbox_head.fc_cls.weight, std=0.3)
    return model


@torch.no_grad()
def one_by_one(model, cfg, activate):
    """Sums and counts from the annotation file and the images, one box at a time."""
    dataset = build_dataset(cfg.data.val, {"test_mode": True})
    content = json.loads(Path(cfg.data.val.ann_file).read_text())
    label_of = {id: n for n, id in enumerate(sorted(c["id"] for c in content["categories"]))}
    head, sums, counts = model.roi_head, np.zeros((8, 8)), np.zeros(8)
    for index, image in enumerate(content["images"]):
        pixels = dataset[index]["img"][0]
        assert pixels.shape[-1] == 128 * SCALE
        maps = model.extract_feat(pixels[None])
        for annotation in content["annotations"]:
            if annotation["image_id"] != image["id"]:
                continue
            x, y, w, h = annotation["bbox"]
            roi = torch.tensor([[0, *(SCALE * v for v in (x, y, x + w, y + h))]])
            features = head.bbox_roi_extractor(maps, roi)
            for _ in range(head.n_iter - 1):
                scores, deltas = head.bbox_head(features)
                features = refine_features(
                    features, head.loc_sub_module(deltas), head.cls_sub_module(scores)
                )
            logits = head.bbox_head(features)[0][0, :8]
            label = label_of[annotation["category_id"]]
            sums[label] += activate(logits).numpy()
            counts[label] += 1
    return sums, counts


@pytest.mark.parametrize("loss", ["CrossEntropyPCBLoss", "SeesawPCBLoss", "EQLv2PCBLoss"])
def test_matrix_equals_that_of_one_box_at_a_time(loss, batched, options, tmp_path):
    options[LOSS] = {"_delete_": True, "num_classes": 8, "type": loss}
    cfg = load_config(batched, options)
    model = random_model(cfg)
    save_checkpoint(tmp_path / "latest.pth", {"state_dict": model.state_dict()})
    predict(batched, tmp_path / "latest.pth", tmp_path, cfg_options=options, device="cpu")
    found = RunFolder(tmp_path).read_confusion()
    matrix, counts = found["ground_truth_boxes"], found["ground_truth_box_count"]

    is_sigmoid = loss == "EQLv2PCBLoss"
    activate = torch.sigmoid if is_sigmoid else lambda logits: logits.softmax(0)
    sums, expected_counts = one_by_one(model, cfg, activate)
    np.testing.assert_array_equal(counts, expected_counts)
    assert counts[ABSENT] == 0 and (np.delete(counts, ABSENT) > 0).all()
    assert matrix.dtype == np.float32 and np.isnan(matrix[ABSENT]).all()
    present = counts > 0
    expected = sums[present] / counts[present, None]
    np.testing.assert_allclose(matrix[present], expected, rtol=0, atol=1e-6)
    assert expected.std(axis=0).max() > 1e-3  # rows differ by much more
    assert np.allclose(matrix[present].sum(1), 1, atol=1e-5) != is_sigmoid


@pytest.mark.parametrize(
    "loss, expected",
    [
        ({"type": "CrossEntropyPCBLoss", "num_classes": 8}, "softmax"),
        ({"type": "EQLv2PCBLoss", "num_classes": 8}, "sigmoid"),
        ({"type": "EQLv2", "num_classes": 8}, "sigmoid"),
        ({"type": "CrossEntropyLoss"}, "softmax"),
        ({"type": "CrossEntropyLoss", "use_sigmoid": True}, "sigmoid"),
        ({"type": "SeesawLoss", "num_classes": 8}, "softmax"),
    ],
)
def test_activation_of_losses_with_and_without_a_balance(loss, expected, tiny_options):
    cfg = load_config(CONFIG, {**tiny_options, LOSS: {"_delete_": True, **loss}})
    assert class_activation(build_model(cfg)) == expected


def test_nothing_is_measured_if_probabilities_are_unknown(options, tmp_path, monkeypatch):
    model = random_model(load_config(CONFIG, options))
    save_checkpoint(tmp_path / "latest.pth", {"state_dict": model.state_dict()})
    model.roi_head.bbox_head.loss_cls = nn.Identity()
    assert class_activation(model) is None

    monkeypatch.setattr(ground_truth, "class_activation", lambda _model: None)
    predict(CONFIG, tmp_path / "latest.pth", tmp_path, cfg_options=options, device="cpu")
    run = RunFolder(tmp_path)
    assert not run.confusion_file.exists()
    assert run.predicted_with(run.checkpoint, options)  # nothing is missing


class ThreeBoxes:
    """A dataset of one image."""

    def get_ann_info(self, _index):
        boxes = [[0, 0, 60, 60], [30, 30, 90, 90], [10, 40, 12, 41]]
        return {"bboxes": np.array(boxes, np.float32), "labels": np.array([0, 2, 0])}


def measure(model):
    """The matrix of three boxes in an image of noise."""
    meta = {"img_shape": (96, 96, 3), "scale_factor": np.ones(4), "flip": False}
    with GroundTruthConfusion(model, ThreeBoxes()) as truth, torch.no_grad():
        image = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
        model.extract_feat(image)
        truth.add([{**meta, "flip_direction": None}], [0])
    return truth.arrays()


def test_mean_by_hand(tiny_options):
    """The boxes of class 0 are predicted as 0 and as 1; the prediction of class 2 is not finite."""
    logits = torch.full((3, 9), -100.0)
    logits[0, 0] = logits[1, 2] = logits[2, 1] = 100.0
    logits[1, 5] = torch.nan
    logits[:, 8] = 1000.0  # background is ignored
    model = random_model(load_config(CONFIG, tiny_options))
    model.roi_head._bbox_forward = lambda _features, _rois: {"cls_score": logits}
    found = measure(model)
    assert found["ground_truth_box_count"].tolist() == [2, 0, 0, 0, 0, 0, 0, 0]
    assert found["ground_truth_boxes"][0].tolist() == [0.5, 0.5, 0, 0, 0, 0, 0, 0]
    assert np.isnan(found["ground_truth_boxes"][1:]).all()


def test_half_precision_follows_the_detector_and_sums_are_float32(tiny_options):
    model = random_model(load_config(CONFIG, tiny_options))
    full = measure(model)["ground_truth_boxes"]
    model.fp16_enabled = True  # mmcv sets this; on a CPU it means bfloat16
    half = measure(model)["ground_truth_boxes"]
    assert half.dtype == np.float32
    assert np.nanmax(np.abs(half - full)) > 0
    np.testing.assert_allclose(half, full, atol=0.05)
