"""Training that starts from the weights of another detector (``load_from``)."""

import json
from pathlib import Path

import mmdet
import pytest
import torch
from mmcv.utils import Config
from mmdet.core import get_classes
from mmdet.models import build_detector

from pcb.detection import load_config
from pcb.detection.checkpoint import read_checkpoint
from pcb.detection.engine.first_weights import load_fitting_weights
from pcb.detection.engine.inference import predict
from pcb.detection.engine.training import build_model, train

CONFIG = "tests/configs/tiny_pcb.py"
HEAD = "model.roi_head"
MMDET = Path(mmdet.__file__).parent / ".mim" / "configs" / "mask_rcnn"
MATRIX = "roi_head.bbox_head.loss_cls.fg_confusion_matrix"
NAMES = tuple("abcdefgh")  # of the 8 classes of CONFIG


def tiny_model(num_classes: int = 8, **options) -> torch.nn.Module:
    heads = ("bbox_head.num_classes", "bbox_head.loss_cls.num_classes", "mask_head.num_classes")
    counts = {f"{HEAD}.{head}": num_classes for head in heads}
    return build_model(load_config(CONFIG, counts | options))


def filled(model: torch.nn.Module, names: tuple[str, ...] | None) -> dict:
    """A checkpoint of random numbers for all weights and buffers of a model."""
    torch.manual_seed(7)
    state = {
        name: torch.rand_like(value) if value.is_floating_point() else torch.full_like(value, 3)
        for name, value in model.state_dict().items()
    }
    return {"state_dict": state, "meta": {"CLASSES": names} if names else {}}


def loaded_names(model: torch.nn.Module, checkpoint: dict) -> set[str]:
    state = checkpoint["state_dict"]
    return {
        name
        for name, value in model.state_dict().items()
        if name in state and torch.equal(value, state[name])
    }


def narrow(model: Config) -> torch.nn.Module:
    """Build a Mask R-CNN of ResNet-50 with few channels."""
    model.backbone |= {"base_channels": 8, "init_cfg": None}
    model.neck |= {"in_channels": [32, 64, 128, 256], "out_channels": 16}
    model.rpn_head |= {"in_channels": 16, "feat_channels": 16}
    model.roi_head.bbox_head |= {"in_channels": 16, "fc_out_channels": 32}
    model.roi_head.mask_head |= {"in_channels": 16, "conv_out_channels": 16}
    for extractor in ("bbox_roi_extractor", "mask_roi_extractor"):
        model.roi_head[extractor].out_channels = 16
    return build_detector(model)


def test_checkpoint_of_mmdet_on_coco_starts_pcb_with_other_classes():
    coco = Config.fromfile(str(MMDET / "mask_rcnn_r50_fpn_1x_coco.py"))
    checkpoint = filled(narrow(coco.model), tuple(get_classes("coco")))
    heads = ("bbox_head.num_classes", "bbox_head.loss_cls.num_classes", "mask_head.num_classes")
    counts = {f"{HEAD}.{head}": 40 for head in heads}
    model = narrow(load_config("configs/lvis_v1/softmax_pcb.py", counts).model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    result = load_fitting_weights(model, checkpoint, [f"c{i}" for i in range(40)], "coco.pth")
    assert (
        result.describe()
        == """354 of 372 weights and buffers loaded from coco.pth
  80 classes in the checkpoint, 40 here
  new: roi_head.bbox_head.loss_cls (not in the checkpoint)
  new: roi_head.bbox_head.fc_cls (81 outputs in the checkpoint, 41 here)
  new: roi_head.bbox_head.fc_reg (320 outputs in the checkpoint, 160 here)
  new: roi_head.mask_head.conv_logits (80 outputs in the checkpoint, 40 here)
  new: roi_head.cls_sub_module (not in the checkpoint)
  new: roi_head.loc_sub_module (not in the checkpoint)"""
    )
    loaded = loaded_names(model, checkpoint)
    for name, value in model.state_dict().items():
        assert name in loaded or torch.equal(value, before[name])
    assert {"backbone.conv1.weight", "roi_head.bbox_head.shared_fcs.0.weight"} <= loaded


@pytest.mark.parametrize("names", [NAMES, None])
def test_checkpoint_of_the_same_classes_is_loaded_as_a_whole(names):
    checkpoint, model = filled(tiny_model(), names), tiny_model()
    result = load_fitting_weights(model, checkpoint, NAMES, "x.pth")
    assert loaded_names(model, checkpoint) == set(model.state_dict())
    assert result.loaded == result.total == len(model.state_dict())
    assert result.new == {} and result.unused == ()
    assert ("does not contain class names" in result.classes) == (names is None)


@pytest.mark.parametrize("file_names", [tuple("abcdefgx"), tuple("bacdefgh")])
def test_layers_of_other_classes_are_new_even_if_they_fit(file_names):
    checkpoint, model = filled(tiny_model(), file_names), tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    result = load_fitting_weights(model, checkpoint, NAMES, "x.pth")
    layers = ("bbox_head.fc_cls", "bbox_head.loss_cls", "cls_sub_module")
    assert result.new == {f"roi_head.{layer}": "other classes" for layer in layers}
    assert "of 8 class names differ" in result.describe()
    assert len(loaded_names(model, checkpoint)) == result.loaded < result.total
    for name, value in model.state_dict().items():
        if name.startswith(tuple(result.new)):
            assert torch.equal(value, before[name])


def test_another_number_of_classes_without_names():
    checkpoint, model = filled(tiny_model(11), None), tiny_model()
    result = load_fitting_weights(model, checkpoint, NAMES, "x.pth")
    assert result.new["roi_head.bbox_head.fc_cls"] == "12 outputs in the checkpoint, 9 here"
    assert result.new["roi_head.cls_sub_module"] == "12 inputs in the checkpoint, 9 here"
    assert MATRIX not in loaded_names(model, checkpoint)


def test_missing_and_unused_layers_are_listed():
    checkpoint, model = filled(tiny_model(), NAMES), tiny_model()
    state = checkpoint["state_dict"]
    for name in [name for name in state if name.startswith("roi_head.mask_head.")]:
        del state[name]
    state["semantic_head.conv.weight"] = state["semantic_head.conv.bias"] = torch.ones(1)
    state["ema_backbone_conv1_weight"] = torch.ones(1)
    result = load_fitting_weights(model, checkpoint, NAMES, "x.pth")
    assert result.new == {"roi_head.mask_head": "not in the checkpoint"}
    assert result.unused == ("semantic_head", "1 running averages of weights (ema_...)")


def test_checkpoint_of_another_architecture_is_refused():
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    checkpoint = filled(tiny_model(), NAMES)
    state = checkpoint["state_dict"]
    checkpoint["state_dict"] = {n: v for n, v in state.items() if not n.startswith("backbone.")}
    with pytest.raises(ValueError, match=r"x\.pth does not fit the config: .* none of them in"):
        load_fitting_weights(model, checkpoint, NAMES, "x.pth")
    assert all(torch.equal(value, before[n]) for n, value in model.state_dict().items())


@pytest.mark.slow
def test_a_run_starts_from_a_run_with_other_classes(tmp_path, tiny_options, capsys, recwarn):
    options = {**tiny_options, "runner.max_epochs": 1}
    options["model.roi_head.bbox_head.loss_cls.start_epoch"] = 1
    first = train(CONFIG, tmp_path / "first", 0, options, device="cpu")
    renamed = tmp_path / "renamed.json"
    content = json.loads(Path(options["data.train.ann_file"]).read_text())
    content["categories"][0]["name"] = "another class"
    renamed.write_text(json.dumps(content))
    capsys.readouterr()
    more = {"load_from": str(first.checkpoint), "data.train.ann_file": str(renamed)}
    run = train(CONFIG, tmp_path / "run", 0, options | more, device="cpu")
    printed = capsys.readouterr().out
    assert printed.count("load_from: ") == 1 and "'another class' here" in printed
    assert "new: roi_head.bbox_head.fc_cls (other classes)" in printed
    noted = run.read_environment()["load_from"]
    assert noted["new"]["roi_head.bbox_head.loss_cls"] == "other classes"
    assert 0 < noted["loaded"] < noted["total"]
    names = read_checkpoint(run.checkpoint)["meta"]["CLASSES"]
    assert names[0] == "another class" and isinstance(names, tuple)

    with pytest.warns(UserWarning, match="other classes than data.val has .*1 of 8 class names"):
        predict(CONFIG, run.checkpoint, tmp_path / "out", tiny_options, device="cpu")


@pytest.mark.slow
def test_mmdet_reads_the_class_names_of_a_checkpoint(tmp_path, tiny_options):
    from mmdet.apis import init_detector
    from mmdet.datasets import build_dataset

    options = {**tiny_options, "runner.max_epochs": 1}
    options["model.roi_head.bbox_head.loss_cls.start_epoch"] = 1
    run = train(CONFIG, tmp_path / "run", 0, options, device="cpu")
    detector = init_detector(str(run.config_file), str(run.checkpoint), device="cpu")
    classes = build_dataset(load_config(run.config_file).data.train).CLASSES
    assert classes == detector.CLASSES and len(classes) == 8
