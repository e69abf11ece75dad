"""Training as a process of its own, started and followed from a notebook.

The process belongs to a session of its own: closing the browser, restarting the kernel or
interrupting the cell ends no training, and running the cell again goes on following it. It holds
a lock in its run folder from its start on, so that nobody starts a second one beside it; as soon as
it writes, it also holds that of :func:`pcb.storage.locks.writing_alone`, as every training does.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pcb.runs.folder import RunFolder
from pcb.storage.locks import is_locked, locked, writer
from pcb.storage.repository import repository_path, repository_root

LAST_LINES = 60  # of the output, shown when training fails: a traceback, and torchrun's report

# Processes started here. Kept because a Popen that is thrown away complains that its process lives.
_children: list[subprocess.Popen] = []


def start_training(
    config: str | os.PathLike,
    work_dir: str | os.PathLike = "",
    seed: int = 0,
    cfg_options: Mapping[str, Any] | None = None,
    replace: bool = False,
    gpus: int = 1,
) -> RunFolder:
    """Start ``pcb train`` in a process of its own, or in several, unless it is running or done.

    A training that was interrupted goes on after its last checkpoint. The output goes to the run
    folder's ``train.out``.

    Args:
        config: config file, relative to the repository.
        work_dir: the run folder, relative to the repository; empty for the default one.
        seed: every random source follows from it.
        cfg_options: overrides of the config by dotted key.
        replace: train anew where the folder holds a training with other settings.
        gpus: processes, which share out the images; where there are GPUs, each has its own. The
            config's ``samples_per_gpu`` is for each, its learning rate for all together.

    Returns:
        The run folder; :func:`follow` it.

    Raises:
        FileNotFoundError: no such config.
        ValueError: an override is unknown; there are not so many GPUs; or the folder holds a
            training with other settings, and is not to be replaced.
    """
    from pcb.detection import load_config
    from pcb.runs import default_work_dir

    _check_gpus(gpus)
    cfg = load_config(repository_path(config), cfg_options)
    run = RunFolder(repository_path(work_dir) if work_dir else default_work_dir(config, seed))
    asked = {key: _plain(value) for key, value in cfg.items()} | {"seed": seed, "gpus": gpus}
    differing = _differing(asked, _settings(run))
    if differing and not replace:
        raise ValueError(
            f"{run.path} holds a training with other settings ({', '.join(differing)}): choose "
            "another work_dir, or replace it"
        )
    if is_running(run):
        if not differing:
            return run
        stop_training(run)
        while is_running(run):
            time.sleep(0.1)
    if not differing and is_finished(run):
        return run
    run.create()
    command = [sys.executable]
    if gpus > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={gpus}"]
    command += ["-m", "pcb", "train", str(repository_path(config))]
    command += ["--work-dir", str(run.path), "--seed", str(seed)]
    command += ["--replace" if differing else "--resume"]
    if cfg_options:
        command += ["--cfg-options", json.dumps(dict(cfg_options))]
    with locked(_lock_file(run)) as lock:
        if lock is None:
            return run  # started by somebody else a moment ago
        os.ftruncate(lock, 0)  # what it says of an earlier training
        with open(_output(run), "wb") as output:
            process = subprocess.Popen(
                command,
                cwd=repository_root(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock],  # the process is then the last to hold the lock, until it ends
            )
        os.pwrite(lock, f"{process.pid}\n{json.dumps(asked)}\n".encode(), 0)
        _children.append(process)
    return run


def follow(run: RunFolder, every: float = 10.0) -> None:
    """Print what a training writes until it ends, a progress line every so many seconds.

    One that was started in a terminal is waited for; it says there what it does. An interrupted
    call says how to go on; the training itself goes on.

    Args:
        run: from :func:`start_training`.
        every: least seconds between two progress lines; other lines are all printed.

    Raises:
        RuntimeError: training ended before its last epoch; has the last lines of its output.
    """
    try:
        _follow(run, every)
    except KeyboardInterrupt:
        # Printed, not raised: a notebook's cell then ends without a traceback.
        if is_running(run):
            print(
                f"Training goes on in {run.path}: run this cell again to follow it, or call "
                "launch.stop_training(run) to end it."
            )
        else:
            print(f"No training runs in {run.path} any more: run this cell again to see why.")


def _follow(run: RunFolder, every: float) -> None:
    if not is_running(run) and is_finished(run):
        print(f"{run.path} is trained: nothing to do.")
        return
    if not _was_launched_and_lives(run) and (found := writer(run.path)):
        print(f"Process {found.process} on {found.host} is training there: waiting for its end.")
        while writer(run.path):
            time.sleep(0.5)
        if not is_finished(run):
            raise RuntimeError(
                f"training in {run.path} ended before its last epoch; process {found.process} on "
                f"{found.host}, which somebody else started, said why in its terminal"
            )
        return
    shown = -float("inf")
    for line in _lines(run):
        if line.startswith("epoch "):
            if time.monotonic() - shown < every:
                continue
            shown = time.monotonic()
        print(line, flush=True)
    if not is_finished(run):
        lines = _output(run).read_text(errors="replace").splitlines()
        told = [number for number, line in enumerate(lines) if line.startswith("pcb: error: ")]
        last = lines[: told[-1] + 1 if told else None][-LAST_LINES:]  # then torchrun reports
        raise RuntimeError(
            f"training in {run.path} ended before its last epoch. The end of its output, "
            f"{_output(run).name}:\n" + "\n".join(last)
        )


def stop_training(run: RunFolder) -> bool:
    """End the training of a run folder; it can be resumed. False if none is running.

    Raises:
        ValueError: it runs on another machine.
    """
    if _was_launched_and_lives(run):
        while not (told := _lock_file(run).read_text()):
            time.sleep(0.01)  # it is being started this very moment
        os.killpg(int(told.split()[0]), signal.SIGTERM)  # its data loaders belong to the group
        return True
    found = writer(run.path)
    if found is None or found.purpose != "training":
        return False
    host, process, _ = found
    if host != socket.gethostname():
        raise ValueError(f"the training in {run.path} runs on {host}, as process {process}")
    os.kill(process, signal.SIGTERM)
    return True


def is_running(run: RunFolder) -> bool:
    """Whether a training is alive in the folder, by whomever it was started, and wherever."""
    found = writer(run.path)
    return _was_launched_and_lives(run) or (found is not None and found.purpose == "training")


def _was_launched_and_lives(run: RunFolder) -> bool:
    return is_locked(_lock_file(run))


def is_finished(run: RunFolder) -> bool:
    """Whether the run's checkpoint is that of its last epoch."""
    if not (run.checkpoint.is_file() and run.config_file.is_file()):
        return False
    from pcb.detection.checkpoint import read_checkpoint

    epochs = run.read_config()["runner"]["max_epochs"]
    return read_checkpoint(run.checkpoint).get("meta", {}).get("epoch", 0) >= epochs


def _check_gpus(gpus: int) -> None:
    import torch

    if not isinstance(gpus, int) or gpus < 1:
        raise ValueError(f"gpus must be a number of processes, at least 1, got {gpus!r}")
    there = torch.cuda.device_count()
    if there and gpus > there:
        raise ValueError(f"gpus is {gpus}, but PyTorch sees {there}: give at most so many")


def _settings(run: RunFolder) -> dict[str, Any] | None:
    """Merged config, seed and gpus of the training that the folder holds or that is running there.

    None if there is neither.
    """
    from pcb.detection import load_config

    if _was_launched_and_lives(run):
        _, _, settings = _lock_file(run).read_text().partition("\n")
        if settings:  # else it is being started this very moment
            return json.loads(settings)
    if not (run.config_file.is_file() and (run.checkpoint.is_file() or is_running(run))):
        return None
    environment = run.read_environment() if run.environment_file.is_file() else {}
    settings = {
        key: _plain(value) for key, value in load_config(run.path, for_training=False).items()
    }
    return settings | {"seed": environment.get("seed"), "gpus": environment.get("processes", 1)}


def _differing(asked: Mapping[str, Any], there: Mapping[str, Any] | None) -> list[str]:
    """Names of the settings that are not as asked."""
    if there is None:
        return []
    return [key for key in sorted({*asked, *there}) if asked.get(key) != there.get(key)]


def _plain(value: Any) -> Any:
    """A config value as JSON sees it: tuples and lists are one."""
    return json.loads(json.dumps(value, default=str))


def _output(run: RunFolder) -> Path:
    return run.path / "train.out"


def _lock_file(run: RunFolder) -> Path:
    return run.path / "train.lock"


def _lines(run: RunFolder, pause: float = 0.5) -> Iterator[str]:
    """Whole lines of the output, as they come, until the process has ended."""
    with open(_output(run), errors="replace") as file:
        pending = ""
        while True:
            ended = not is_running(run)  # asked before reading, so that nothing is missed
            pending += file.read()
            *whole, pending = pending.split("\n")
            yield from whole
            if ended:
                if pending:
                    yield pending
                return
            time.sleep(pause)
