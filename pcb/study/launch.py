"""Start training processes from a notebook, and print their output.

A training process runs in its own session (``setsid``). Training therefore continues if the browser
is closed, the kernel restarts or the notebook cell is interrupted. Run the cell again to see the
output of the same process.

:func:`start_training` locks the run folder and passes the lock to the training process. Therefore,
two runs cannot train in the same folder at the same time.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from pcb.runs.folder import RunFolder
from pcb.runs.processes import TRAINING
from pcb.runs.settings import other_settings, plain
from pcb.storage.locks import Writer
from pcb.storage.repository import repository_path, repository_root
from pcb.storage.writing import already_written, handing_over
from pcb.study.run_state import state_of, trainer

LAST_LINES = 60  # lines of output to show if training fails, enough for a traceback
_PATIENCE = 10.0  # maximum seconds to wait until a new process has recorded its process number

# Processes started here. They are kept, because Python warns if a running Popen is deleted.
_children: list[subprocess.Popen] = []


def start_training(
    config: str | os.PathLike,
    work_dir: str | os.PathLike = "",
    seed: int = 0,
    cfg_options: Mapping[str, Any] | None = None,
    replace: bool = False,
    gpus: int = 1,
) -> RunFolder:
    """Start ``pcb train`` in one or more separate processes.

    If training with the same settings is already running or has finished, no process is started.
    Interrupted training continues from the last checkpoint. The output is written to ``train.out``
    in the run folder.

    Args:
        config: Config file, relative to the repository.
        work_dir: Run folder, relative to the repository; empty for the default,
            ``runs/<dataset>/<config>/seed<N>``.
        seed: Seed for all random numbers.
        cfg_options: New values for settings in the config, such as ``{"runner.max_epochs": 1}``.
        replace: Whether to delete an existing training run with different settings.
        gpus: Number of GPUs to train on, with one process for each GPU. A machine without GPUs runs
            the same number of processes on the CPU. The config's ``samples_per_gpu`` is the batch
            size of each process. The config's learning rate must suit the combined batch size of
            all processes.

    Returns:
        The run folder, which can be passed to :func:`follow`.

    Raises:
        FileNotFoundError: The config does not exist.
        ValueError: A setting in ``cfg_options`` is unknown, or ``gpus`` is invalid.
        ValueError: A process other than ``pcb train`` is writing to the folder.
        ValueError: The folder contains a training run with different settings, and
            ``replace`` is False.
    """
    from pcb.detection import load_config
    from pcb.detection.engine.settings import comparable_settings
    from pcb.runs import default_work_dir

    _check_gpus(gpus)
    cfg = load_config(repository_path(config), cfg_options)
    run = RunFolder(repository_path(work_dir) if work_dir else default_work_dir(config, seed))
    wanted = comparable_settings(cfg, seed, processes=gpus)
    state = state_of(run)
    differing = []
    if state.settings is not None:
        differing = other_settings(wanted, state.settings)
    elif run.checkpoint.is_file():
        differing = ["unknown, because config.py is missing"]
    if differing and not replace:
        raise ValueError(
            f"{run.path} contains a training run with different settings ({', '.join(differing)}): "
            "choose another work_dir, or pass replace=True to delete that run"
        )
    if state.kind != "stopped" and not differing:
        return run
    if state.kind == "running":
        stop_training(run)
        while trainer(run):
            time.sleep(0.1)
    command = [sys.executable]
    if gpus > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={gpus}"]
    command += ["-m", "pcb", "train", str(repository_path(config))]
    command += ["--work-dir", str(run.path), "--seed", str(seed)]
    command += ["--replace" if differing else "--resume"]
    if cfg_options:
        command += ["--cfg-options", json.dumps(dict(cfg_options))]
    _launch(run.create(), command, wanted)
    return run


def follow(run: RunFolder, every: float = 10.0) -> None:
    """Print the output of a training process until the process ends.

    If training was started in a terminal, this function only waits until training ends, because the
    terminal shows the output. If this function is interrupted, training continues.

    Args:
        run: The run folder, from :func:`start_training`.
        every: Minimum time between two progress lines, in seconds. Other lines are always printed.

    Raises:
        FileNotFoundError: Training was never started in the folder.
        RuntimeError: Training ended before the last epoch.
    """
    try:
        _follow(run, every)
    except KeyboardInterrupt:
        # Printed, not raised, so that a notebook's cell ends without a traceback.
        if trainer(run):
            print(
                f"Training continues in {run.path}. To follow the training, run this cell again; "
                "to stop it, call study.stop_training(run)."
            )
        else:
            print(f"Training in {run.path} has ended: run this cell again to see why.")


def stop_training(run: RunFolder) -> bool:
    """Stop training in a run folder; training can be resumed later.

    Returns:
        True if a process was training in the folder, otherwise False.

    Raises:
        ValueError: Training cannot be stopped, for example because it runs on another machine.
    """
    state = state_of(run)
    deadline = time.monotonic() + _PATIENCE
    while state.trainer and not state.trainer.process and time.monotonic() < deadline:
        time.sleep(0.01)  # the process is being started
        state = state_of(run)
    if not state.trainer:
        return False
    process = state.trainer.process
    if not state.trainer.is_here:
        raise ValueError(
            f"training in {run.path} cannot be stopped from this machine: stop process {process} "
            f"on {state.trainer.host}"
        )
    if not process:
        raise ValueError(f"training in {run.path} is still being started: try again later")
    if not state.is_launched:
        os.kill(process, signal.SIGTERM)
        return True
    # torchrun, if it still runs, stops the processes that it started. Without `poll`, a child
    # process that has ended would still have a process group.
    for child in _children:
        child.poll()
    for leader in (state.trainer.launched, process):
        with suppress(ProcessLookupError):
            os.killpg(os.getpgid(leader), signal.SIGTERM)  # includes workers that load the data
            return True
    raise ValueError(
        f"training process {process} has ended, but one of its child processes still uses "
        f"{run.path}: wait until the child process ends, or find it with `ps` and stop it"
    )


def _launch(run: RunFolder, command: list[str], settings: Mapping[str, Any]) -> None:
    """Start a training process; do nothing if a process is already training in the run folder."""
    with handing_over(run.path, TRAINING, json.dumps(plain(settings))) as lock:
        if lock is None:
            if trainer(run):
                return
            raise already_written(run.path)
        with open(run.output_file, "wb") as output:
            process = subprocess.Popen(
                command,
                cwd=repository_root(),
                stdin=lock.descriptor,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        lock.taken_by(process.pid)
        _children.append(process)


def _follow(run: RunFolder, every: float) -> None:
    state = state_of(run)
    if state.kind == "finished":
        print(f"Training in {run.path} has finished: nothing to do.")
        return
    if state.trainer and not state.is_launched:
        _wait_for(run, state.trainer)
        return
    if not run.output_file.is_file():
        raise FileNotFoundError(
            f"{run.path} contains no training output: call start_training first"
        )
    _print_lines(run, every)
    if state_of(run).kind != "finished":
        raise RuntimeError(
            f"training in {run.path} ended before the last epoch. {run.output_file.name} ends with:"
            "\n" + "\n".join(_last_lines(run))
        )


def _wait_for(run: RunFolder, other: Writer) -> None:
    """Wait for the end of a training process that was started in a terminal."""
    print(
        f"Process {other.process} on {other.host} is training in {run.path}: waiting until it ends."
    )
    while trainer(run):
        time.sleep(0.5)
    if state_of(run).kind != "finished":
        raise RuntimeError(
            f"training in {run.path} ended before the last epoch. See the output of process "
            f"{other.process} in its terminal on {other.host}"
        )


def _print_lines(run: RunFolder, every: float) -> None:
    """Print the output of a training process until the process ends.

    The minimum time between two progress lines is ``every``, in seconds.
    """
    shown = -float("inf")
    for line in _lines(run):
        if line.startswith("epoch "):
            if time.monotonic() - shown < every:
                continue
            shown = time.monotonic()
        print(line, flush=True)


def _lines(run: RunFolder, pause: float = 0.5) -> Iterator[str]:
    """Yield each complete line that a training process prints, until the process ends."""
    with open(run.output_file, errors="replace") as file:
        pending = ""
        while True:
            ended = not trainer(run)  # checked before reading, so that no last line is missed
            pending += file.read()
            *whole, pending = pending.split("\n")
            yield from whole
            if ended:
                if pending:
                    yield pending
                return
            time.sleep(pause)


def _last_lines(run: RunFolder) -> list[str]:
    """Return the last lines of a training process's output, without torchrun's error report."""
    lines = run.output_file.read_text(errors="replace").splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("pcb: error: ")]
    return lines[: errors[-1] + 1 if errors else None][-LAST_LINES:]


def _check_gpus(gpus: int) -> None:
    import torch

    if not isinstance(gpus, int) or gpus < 1:
        raise ValueError(f"gpus must be a whole number of at least 1, got {gpus!r}")
    available = torch.cuda.device_count()
    if available and gpus > available:
        raise ValueError(
            f"`gpus` is {gpus}, but PyTorch finds only {available} "
            f"GPU{'s' * (available != 1)} on this machine. Set `gpus` to at most {available}"
        )
