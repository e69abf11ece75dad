"""Checkpoints: whole or not at all, safe to read, fitting or refused."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from pcb.detection.checkpoint import load_weights, read_checkpoint, save_checkpoint


class Payload:
    """Unpickling this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mknod, (str(self.path),)


def test_round_trip(tmp_path):
    save_checkpoint(tmp_path / "x.pth", {"state_dict": {"w": torch.ones(2)}, "meta": {"epoch": 3}})
    checkpoint = read_checkpoint(tmp_path / "x.pth")
    assert checkpoint["meta"]["epoch"] == 3
    assert torch.equal(checkpoint["state_dict"]["w"], torch.ones(2))
    assert [p.name for p in tmp_path.iterdir()] == ["x.pth"]


def test_code_in_a_checkpoint_is_refused_and_not_executed(tmp_path):
    torch.save({"state_dict": {}, "meta": Payload(tmp_path / "executed")}, tmp_path / "bad.pth")
    with pytest.raises(ValueError, match=r"bad\.pth was refused"):
        read_checkpoint(tmp_path / "bad.pth")
    assert not (tmp_path / "executed").exists()


def test_missing_damaged_and_foreign_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*none\.pth"):
        read_checkpoint(tmp_path / "none.pth")
    save_checkpoint(tmp_path / "cut.pth", {"state_dict": {"w": torch.ones(1000)}})
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:900])
    with pytest.raises(ValueError, match=r"cut\.pth"):
        read_checkpoint(tmp_path / "cut.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"holds a list, not a checkpoint"):
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
    ("change", "message"),
    [
        (lambda state: state.pop("bias"), r"1 missing \(bias\)"),
        (lambda state: state.update(extra=torch.ones(1)), r"1 unexpected \(extra\)"),
        (
            lambda state: state.update(weight=torch.ones(2, 3)),
            r"of another shape \(weight \(2, 3\) instead of \(4, 3\)\)",
        ),
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
