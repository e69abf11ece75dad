"""The settings of a training: what each part of a config becomes, and comparing two trainings."""

import dataclasses

import pytest
import torch

from pcb.detection.config.loading import save_config
from pcb.detection.engine import settings as module
from pcb.detection.engine.settings import read_settings, recorded_settings
from pcb.runs.folder import RunFolder
from pcb.runs.settings import other_settings
from tests.support.tiny import CONFIG


def read(options=None, seed=0):
    return read_settings(CONFIG, seed, options, device="cpu")


def test_settings_cannot_change_after_they_were_read():
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().seed = 1


@pytest.mark.parametrize(
    "options, name, expected",
    [
        ({"checkpoint_config": None}, "checkpoint_interval", 0),
        ({"checkpoint_config": {"interval": 1}}, "checkpoint_interval", 0),
        ({"checkpoint_config": {"interval": 7, "by_epoch": False}}, "checkpoint_interval", 7),
        ({"checkpoint_config": {"by_epoch": False}}, "checkpoint_interval", 1),
        ({"log_config.interval": 3}, "log_interval", 3),
        ({"fp16": {"loss_scale": "dynamic"}}, "loss_scaling", None),
        ({"custom_hooks": None}, "custom_hooks", ()),
        ({"momentum_config": None}, "schedules.momentum_config", None),
        ({"load_from": None}, "first_weights", None),
        ({"data.train_dataloader": {"workers_per_gpu": 5}}, "loader.workers_per_gpu", 5),
        ({"find_unused_parameters": True}, "find_unused_parameters", True),
    ],
)
def test_each_setting_comes_from_its_key(options, name, expected):
    value = read(options)
    field, _, key = name.partition(".")
    value = getattr(value, field)
    assert (value[key] if key else value) == expected


def test_half_precision_is_for_gpus(monkeypatch):
    monkeypatch.setattr(module, "pick_device", torch.device)
    scaling = {"loss_scale": 512.0}
    assert read_settings(CONFIG, 0, {"fp16": scaling}, "cuda").loss_scaling == scaling
    assert read_settings(CONFIG, 0, {"fp16": None}, "cuda").loss_scaling is None


def test_training_in_a_folder_is_the_same_or_names_what_differs(tmp_path):
    settings = read(seed=3)
    run = RunFolder(tmp_path)
    save_config(settings.config, run.config_file)
    run.write_environment({"seed": 3, "processes": 1, "device": "cpu", "threads": 999})
    assert other_settings(settings.comparable(), recorded_settings(run)) == ["threads"]
    other = read({"optimizer.lr": 0.5, "runner.max_epochs": 7}, seed=4)
    run.write_environment({"seed": 3})  # as an earlier version did
    names = ["optimizer.lr", "runner.max_epochs", "seed"]
    assert other_settings(other.comparable(), recorded_settings(run)) == names
    run.environment_file.unlink()
    assert other_settings(settings.comparable(), recorded_settings(run)) == []
