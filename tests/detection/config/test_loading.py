"""Configs: strict overrides, paths, saving."""

from pathlib import Path

import pytest
from mmcv import Config

from pcb.detection import load_config
from pcb.detection.config.loading import save_config
from pcb.storage.repository import repository_root


def test_paths_are_relative_to_the_repository_wherever_started(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = load_config("configs/openmoji/softmax.py")
    assert cfg.data.val.ann_file == str(
        repository_root() / "data/openmoji/mini/annotations/val.json"
    )


@pytest.mark.parametrize(
    "key, nearest",
    [
        ("runner.max_epoch", "runner.max_epochs"),
        ("modle.backbone.depth", "model"),
        ("model.roi_head.bbox_head.loss_cls.start_epochs", "start_epoch"),
        ("model.backbone.deep_stemm", "deep_stem"),
        ("data.val.pipeline.1.flips", "flip"),
        ("optimizer.weight_decy", "weight_decay"),
        ("max_epochs", "runner.max_epochs"),  # a valid name at the wrong level
        (
            "data.train.ann_file",
            "data.train.dataset.ann_file",
        ),  # inside the wrapper
    ],
)
def test_unknown_override_names_the_nearest_valid_key(key, nearest):
    with pytest.raises(ValueError, match=f"did you mean .*{nearest}"):
        load_config("configs/openmoji/rfs_pcb.py", {key: 1})


@pytest.mark.parametrize(
    "key", ["data.train.pipeline.99.x", "data.train.pipeline.x", "num_classes.x"]
)
def test_override_into_nothing_is_named(key):
    with pytest.raises(ValueError, match=key):
        load_config("configs/openmoji/softmax.py", {key: 1})


def test_arguments_that_the_config_leaves_out_may_be_given():
    options = {
        "model.backbone.deep_stem": True,  # an argument of ResNet
        "model.roi_head.bbox_head.reg_class_agnostic": True,  # of a base class of the box head
        "model.roi_head.bbox_head.loss_cls.required_classes": "present",
        "optimizer.amsgrad": True,  # of torch's AdamW
        "data.train.pipeline.2.flip_ratio": 0.0,
        "fp16": {"loss_scale": "dynamic"},
        "lr_config.gamma": 0.5,  # of the hook that the policy names
    }
    cfg = load_config("configs/openmoji/softmax_pcb.py", options)
    assert cfg.model.backbone.deep_stem is True
    assert cfg.data.train.pipeline[2].flip_ratio == 0.0
    assert cfg.model.roi_head.bbox_head.loss_cls.alpha == 0.4


def test_missing_config_names_the_nearest():
    with pytest.raises(ValueError, match=r"method\.ipynb is not a config: choose a \.py file"):
        load_config("notebooks/method.ipynb")
    with pytest.raises(FileNotFoundError, match=r"did you mean .configs/openmoji/softmax\.py"):
        load_config("configs/openmoji/sotfmax.py")
    with pytest.raises(FileNotFoundError, match=r"no config configs/lvis_v1 .*available: "):
        load_config("configs/lvis_v1")


def test_saved_config_is_data_and_loads_to_the_same(tmp_path):
    hostile = "it's \"quoted\" \\ '); import os; ('"
    cfg = load_config("configs/openmoji/softmax_pcb.py", {"data.val.img_prefix": f"/x/{hostile}"})
    save_config(cfg, tmp_path / "config.py")
    again = load_config(tmp_path / "config.py")
    assert again._cfg_dict == cfg._cfg_dict
    text = Config.fromfile(str(tmp_path / "config.py"))
    assert not Path(text.data.train.ann_file).is_absolute()  # the run folder can be moved


@pytest.mark.parametrize("key", ["runner", "model.roi_head.bbox_head.loss_cls"])
def test_unknown_key_inside_a_nested_override_is_named(key):
    with pytest.raises(ValueError, match=f"{key}.alhpa"):
        load_config("configs/openmoji/softmax_pcb.py", {key: {"alhpa": 0.3}})


def test_text_where_a_number_belongs_is_named():
    with pytest.raises(ValueError, match=r"runner\.max_epochs' must be a number, got 'abc'"):
        load_config("configs/openmoji/softmax.py", {"runner.max_epochs": "abc"})
