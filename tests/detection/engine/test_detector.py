"""A detector for single images finds what testing finds, with and without a mask head."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pcb.datasets.masks import decode_mask
from pcb.detection import load_config
from pcb.detection.checkpoint import save_checkpoint
from pcb.detection.engine.detector import open_detector
from pcb.detection.engine.inference import predict
from pcb.detection.engine.training import build_model
from pcb.runs.folder import RunFolder

pytestmark = pytest.mark.slow

CONFIG = "tests/configs/tiny_pcb.py"
BOXES_ONLY = {
    "model.type": "FasterRCNN",
    "model.roi_head.mask_head": None,
    "model.roi_head.mask_roi_extractor": None,
}


def write_weights(path, options):
    """Write the weights of a detector that finds something."""
    torch.manual_seed(0)
    model = build_model(load_config(CONFIG, options))
    nn.init.normal_(model.roi_head.bbox_head.fc_cls.weight, std=0.3)
    save_checkpoint(path, {"state_dict": model.state_dict()})
    return path


@pytest.fixture(scope="module")
def weights(tiny_options, tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights") / "latest.pth", tiny_options)


def test_detections_equal_those_of_testing(weights, tiny_options, tiny_openmoji, tmp_path):
    files = predict(CONFIG, weights, tmp_path, cfg_options=tiny_options, device="cpu")
    detector = open_detector(tmp_path, weights, tiny_options, device="cpu")
    content = json.loads((tiny_openmoji / "annotations" / "val.json").read_text())
    image = content["images"][2]
    found = detector.detect(tiny_openmoji / "val" / image["file_name"])
    assert found and found == sorted(found, key=lambda one: -one["score"])
    for iou_type, key in (("bbox", "bbox"), ("segm", "segmentation")):
        saved = json.loads(files[iou_type].read_text())
        expected = [one for one in saved if one["image_id"] == image["id"]]
        ours = [{k: one[k] for k in ("category_id", "score", key)} for one in found]
        theirs = [{k: one[k] for k in ("category_id", "score", key)} for one in expected]
        assert sorted(map(str, ours)) == sorted(map(str, theirs))


def test_a_file_and_its_pixels_are_the_same(weights, tiny_options, tmp_path):
    detector = open_detector(CONFIG, weights, tiny_options, device="cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    np.testing.assert_array_equal(detector.read(tmp_path / "noise.png"), pixels)
    found = detector.detect(pixels)
    assert found == detector.detect(tmp_path / "noise.png")
    assert decode_mask(found[0]["segmentation"], 60, 90).shape == (60, 90)
    with pytest.raises(ValueError, match=r"shape \(60, 90\) and type uint8: convert the image"):
        detector.detect(pixels[..., 0])


def test_detector_without_mask_head(tiny_options, tiny_openmoji, tmp_path):
    options = {**tiny_options, **BOXES_ONLY}
    weights = write_weights(tmp_path / "boxes.pth", options)
    detector = open_detector(CONFIG, weights, options, device="cpu")
    found = detector.detect(tiny_openmoji / "val" / "000001.png")
    assert found and all(set(one) == {"category_id", "score", "bbox"} for one in found)


def test_run_folder_has_its_weights_and_a_config_file_needs_some(weights, tiny_options, tmp_path):
    with pytest.raises(ValueError, match=r"is a config file: pass a checkpoint"):
        open_detector(CONFIG, cfg_options=tiny_options)
    run = RunFolder(tmp_path)
    run.config_file.write_text("model = {}\ndata = {}\n")
    with pytest.raises(FileNotFoundError, match=r"latest\.pth does not exist"):
        open_detector(run.path)


@pytest.mark.parametrize(
    "override, message",
    [
        ({"data.val.pipeline": [{"type": "LoadImageFromWebcam"}]}, "must begin with LoadImage"),
        ({"data.val.ann_file": "/nowhere/val.json"}, "class names are unknown: .*nowhere"),
    ],
)
def test_settings_that_leave_something_unknown_are_refused(
    override, message, weights, tiny_options
):
    with pytest.raises(ValueError, match=message):
        open_detector(CONFIG, weights, {**tiny_options, **override}, device="cpu")
