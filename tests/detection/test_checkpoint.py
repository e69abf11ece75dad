"""Checkpoints: written whole or not at all, safe to read, and refused if they do not fit."""

import os
import pickle
import zipfile
from collections import OrderedDict
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pcb.detection.checkpoint import load_weights, read_checkpoint, save_checkpoint


def test_round_trip(tmp_path):
    save_checkpoint(tmp_path / "x.pth", {"state_dict": {"w": torch.ones(2)}, "meta": {"epoch": 3}})
    checkpoint = read_checkpoint(tmp_path / "x.pth")
    assert checkpoint["meta"]["epoch"] == 3
    assert torch.equal(checkpoint["state_dict"]["w"], torch.ones(2))
    assert [p.name for p in tmp_path.iterdir()] == ["x.pth"]


# PyTorch's file format, and the one before 1.6.
FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


@FORMATS
def test_code_in_a_checkpoint_is_named_and_not_executed(zipped, trap, tmp_path):
    path = tmp_path / "bad.pth"
    content = {"state_dict": {"w": torch.ones(2)}, "meta": OrderedDict(hook_msgs=trap)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    named = r"bad\.pth was rejected.* it contains \w+\.mknod, which .* pass --trust-checkpoint"
    with pytest.raises(ValueError, match=named):
        read_checkpoint(path)
    assert not trap.sprung


def test_bare_pickles_are_refused_as_well(trap, tmp_path):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "bad.pth").write_bytes(pickle.dumps([trap, trap, OrderedDict()], protocol))
        with pytest.raises(ValueError, match=r"it contains \w+\.mknod, which"):
            read_checkpoint(tmp_path / "bad.pth")
    assert not trap.sprung


@FORMATS
def test_a_trusted_checkpoint_is_unpickled_whole(zipped, trap, tmp_path):
    content = {"state_dict": {}, "meta": [trap, np.zeros(2)]}
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    assert read_checkpoint(tmp_path / "x.pth", trust_checkpoint=True)["meta"][1].shape == (2,)
    assert trap.sprung


@FORMATS
@pytest.mark.parametrize("module", ["numpy._core.multiarray", "numpy.core.multiarray"])
def test_checkpoints_of_mmcv_load(zipped, module, tmp_path):
    """With everything that mmcv's runner and mmdet write, for both versions of NumPy."""
    meta = {
        "env_info": "sys.platform: linux\nPyTorch: 1.7.0",
        "config": "model = dict(type='MaskRCNN')\n",
        "mmdet_version": "2.16.0+unknown",
        "mmcv_version": "1.3.17",
        "time": "Thu Dec  9 12:00:00 2021",
        "CLASSES": ("aerosol_can", "air_conditioner"),
        "PALETTE": [(220, 20, 60), (119, 11, 32)],
        "seed": None,
        "epoch": 24,
        "iter": np.int64(150_216),
        "fp16": {"loss_scaler": {"scale": 65536.0, "_growth_tracker": 12}},
        "hook_msgs": {
            "best_score": np.float64(0.226),
            "single": np.float32(-1.5),
            "is_best": np.bool_(True),
        },
    }
    state = OrderedDict((f"module.{name}", torch.rand(2)) for name in ("weight", "bias"))
    state._metadata = OrderedDict({"": {"version": 1}})
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.02, momentum=0.9)
    content = {"meta": meta, "state_dict": state, "optimizer": optimizer.state_dict()}
    path = tmp_path / "official.pth"
    with rename_in_pickles(path, "numpy._core.multiarray", module):
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    checkpoint = read_checkpoint(path)
    assert checkpoint["meta"] == meta
    assert {type(v) for v in checkpoint["meta"]["hook_msgs"].values()} == {float, bool}
    assert list(checkpoint["state_dict"]) == ["weight", "bias"]
    assert torch.equal(checkpoint["state_dict"]["bias"], state["module.bias"])
    assert checkpoint["optimizer"] == optimizer.state_dict()


@contextmanager
def rename_in_pickles(path: Path, old: str, new: str):
    """Rename a module in the checkpoint that the context writes."""
    yield
    old, new = f"c{old}\n".encode(), f"c{new}\n".encode()
    if not zipfile.is_zipfile(path):
        path.write_bytes(path.read_bytes().replace(old, new))
        return
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content.replace(old, new))


@pytest.mark.parametrize("value", [np.str_("x"), np.array([None])[:1], np.float32([1.0])])
def test_other_numpy_values_are_refused(value, tmp_path):
    torch.save({"meta": {"value": value}}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"x\.pth was rejected"):
        read_checkpoint(tmp_path / "x.pth")


def test_missing_damaged_and_foreign_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the checkpoint .*none\.pth does not exist"):
        read_checkpoint(tmp_path / "none.pth")
    save_checkpoint(tmp_path / "cut.pth", {"state_dict": {"w": torch.ones(1000)}})
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:900])
    with pytest.raises(ValueError, match=r"cut\.pth"):
        read_checkpoint(tmp_path / "cut.pth")
    torch.save({"w": torch.ones(1000)}, tmp_path / "old", _use_new_zipfile_serialization=False)
    old = (tmp_path / "old").read_bytes()
    for content in (b"", b"PK", b"<html>Quota exceeded</html>", old[:100], old[:-100]):
        (tmp_path / "cut.pth").write_bytes(content)
        with pytest.raises(ValueError, match=r"cut\.pth"):
            read_checkpoint(tmp_path / "cut.pth")
    torch.save({1: 2}, tmp_path / "numbers.pth")
    with pytest.raises(ValueError, match=r"numbers\.pth is not a checkpoint"):
        read_checkpoint(tmp_path / "numbers.pth")
    (tmp_path / "page.pth").write_text("\n<!DOCTYPE html><title>Virus scan warning</title>")
    with pytest.raises(ValueError, match=r"page\.pth is a web page, not a checkpoint: download"):
        read_checkpoint(tmp_path / "page.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"contains a value of type list instead of"):
        read_checkpoint(tmp_path / "list.pth")


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "x.pth", {"epoch": 1})

    def no_space(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path / "x.pth", {"epoch": 2})
    assert read_checkpoint(tmp_path / "x.pth") == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.pth"]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda state: state.pop("bias"), r"1 missing weight or buffer \(bias\)"),
        (
            lambda state: state.update(extra=torch.ones(1)),
            r"1 unexpected weight or buffer \(extra\)",
        ),
        (
            lambda state: state.update(weight=torch.ones(2, 3)),
            r"with the wrong shape \(weight \(2, 3\) instead of \(4, 3\)\)",
        ),
        (lambda state: state.update(weight="x"), r"\(weight str instead of \(4, 3\)\)"),
    ],
)
def test_weights_that_do_not_fit_are_named_and_nothing_is_loaded(change, message):
    model = nn.Linear(3, 4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = {name: value + 1 for name, value in before.items()}
    change(state)
    with pytest.raises(ValueError, match=message):
        load_weights(model, {"state_dict": state}, "x.pth")
    torch.testing.assert_close(dict(model.state_dict()), before)
