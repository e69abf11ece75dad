"""An interrupted training ends like an uninterrupted one, and no file is half written."""

import os
import resource
import shutil
import signal

import pytest
import torch

from pcb.detection.checkpoint import read_checkpoint
from pcb.detection.engine.inference import predict
from pcb.detection.engine.runner import Runner
from pcb.detection.engine.training import train
from pcb.runs.folder import RunFolder
from pcb.storage.writing import writing_alone
from tests.support import crashes
from tests.support.crashes import CHECKPOINTS, differences
from tests.support.tiny import CONFIG

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("interruption")]

# What an epoch depends on; checkpoints inside an epoch record it.
COURSE = {"seed": 0, "processes": 1, "iterations": 3, "interval": 2}


@pytest.fixture(scope="module")
def options(tiny_options) -> dict:
    return {**tiny_options, **CHECKPOINTS}


@pytest.fixture(scope="module")
def undisturbed(options, tmp_path_factory) -> RunFolder:
    return train(CONFIG, tmp_path_factory.mktemp("run") / "seed0", 0, options, device="cpu")


def stop_at(iteration: int, monkeypatch) -> None:
    """Make trainings fail in an iteration, counted from 1."""
    run_iter = Runner.run_iter

    def stopping(runner, *args, **kwargs):
        if runner.iter + 1 == iteration:
            raise KeyboardInterrupt
        run_iter(runner, *args, **kwargs)

    monkeypatch.setattr(Runner, "run_iter", stopping)


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_inside_an_epoch(workers, undisturbed, options, tmp_path, monkeypatch):
    options = {**options, "data.workers_per_gpu": workers}
    expected = undisturbed
    if workers:  # workers draw from their own random streams
        expected = train(CONFIG, tmp_path / "whole", 0, options, device="cpu")
        assert "state_dict" in differences(expected, undisturbed)
    for iteration in (3, 6):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            stop_at(iteration, patch)
            train(CONFIG, tmp_path / "seed0", 0, options, resume=True, device="cpu")
        meta = read_checkpoint(tmp_path / "seed0" / "latest.pth")["meta"]
        done = {"epoch": iteration // 3 - 1, "iter": iteration - 1, "iter_in_epoch": 2}
        del meta["pcb_acted"], meta["CLASSES"]
        assert meta == {**done, **COURSE}
    run = train(CONFIG, tmp_path / "seed0", 0, options, resume=True, device="cpu")
    assert differences(run, expected) == []


def test_epoch_is_not_resumed_with_other_settings(undisturbed, options, tmp_path):
    state = read_checkpoint(undisturbed.checkpoint)
    state["meta"] |= {"epoch": 1, "iter": 5, "iter_in_epoch": 2, **COURSE}
    run = RunFolder(shutil.copytree(undisturbed.path, tmp_path / "seed0"))
    torch.save(state, run.checkpoint)
    before = run.config_file.read_bytes(), run.environment_file.read_bytes()
    for changes, seed, message in (
        ({"data.samples_per_gpu": 4}, 0, r"mid-epoch checkpoint .*: iterations 3 \(now 6\)"),
        ({}, 4, r"settings: seed 0 \(now 4\)\. Resume with the same data, seed"),
        ({"checkpoint_config.interval": 1}, 0, r"settings: interval 2 \(now 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            train(CONFIG, run.path, seed, {**options, **changes}, resume=True, device="cpu")
    assert before == (run.config_file.read_bytes(), run.environment_file.read_bytes())


@pytest.mark.parametrize("interval", [0, -1, 2.5])
def test_wrong_interval_is_named(interval, options, tmp_path):
    options = {**options, "checkpoint_config.interval": interval}
    with pytest.raises(ValueError, match=rf"checkpoint_config\.interval must be .*{interval}"):
        train(CONFIG, tmp_path, 0, options, device="cpu")


def test_killed_while_the_checkpoint_is_written(undisturbed, tiny_options, tmp_path):
    """Before, during and after the write; `make reliability` tries this with every file."""
    changes = crashes.changes_of_training(tmp_path / "whole", tiny_options)
    assert differences(RunFolder(tmp_path / "whole"), undisturbed) == []
    writes = [n for n, c in enumerate(changes) if (c.event, c.file) == ("open", "latest.pth")]
    assert len(writes) == 4 and changes[writes[2] + 1].event == "os.rename"
    size = {"latest.pth": undisturbed.checkpoint.stat().st_size}
    for number, where in enumerate(
        ({"within": writes[0], "sizes": size}, {"before": writes[2] + 1}, {"before": writes[2] + 2})
    ):
        run = RunFolder(tmp_path / f"killed{number}")
        crashes.crash(run.path, tiny_options, **where)
        left = [file.name for file in run.path.glob(".latest.pth.*")]
        assert len(left) == (number < 2)
        if number == 0:
            assert not run.checkpoint.exists()
        else:
            assert read_checkpoint(run.checkpoint)["meta"]["iter"] == (3, 5)[number - 1]
        crashes.resume(run.path, tiny_options)
        assert differences(run, undisturbed) == []


def test_full_disk_ends_training_and_keeps_the_last_checkpoint(undisturbed, options, tmp_path):
    run = RunFolder(shutil.copytree(undisturbed.path, tmp_path / "seed0"))
    state = read_checkpoint(run.checkpoint)
    state["meta"] |= {"epoch": 1, "iter": 3}
    torch.save(state, run.checkpoint)
    before = run.checkpoint.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match=r"make room .*--resume.*latest\.pth") as error:
            train(CONFIG, run.path, 0, options, resume=True, device="cpu")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert error.value.filename == str(run.checkpoint)
    assert run.checkpoint.read_bytes() == before
    assert not list(run.path.glob(".latest.pth.*"))


def test_only_one_process_writes_into_a_folder(undisturbed, options, tmp_path):
    run = RunFolder(shutil.copytree(undisturbed.path, tmp_path / "seed0"))
    before = {file: file.stat().st_mtime_ns for file in run.path.rglob("*") if file.is_file()}

    with writing_alone(run.path, "training"):
        assert crashes.in_child(refused_to_write, run.path, options, os.getpid()) == 0
    after = {file: file.stat().st_mtime_ns for file in run.path.rglob("*") if file.is_file()}
    before[run.path / ".lock"] = after[run.path / ".lock"]
    assert after == before


def refused_to_write(folder, options, writer) -> None:
    run = RunFolder(folder)
    for write in (
        lambda: train(CONFIG, run.path, 0, options, device="cpu"),
        lambda: predict(run.path, run.checkpoint, run.path, device="cpu"),
    ):
        with pytest.raises(ValueError, match=rf"process {writer} on .* \(training\) is writing to"):
            write()
