"""Training in a process of its own, started and followed from a notebook.

The process has its own session: training goes on when the browser is closed, the kernel restarts
or the cell is interrupted. Running the cell again follows the same training.

:func:`start_training` takes the lock of the run folder and hands it to the process. So there is
never more than one training in a folder, from the start of the process to its end.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from pcb.runs.folder import RunFolder
from pcb.runs.processes import TRAINING
from pcb.runs.settings import other_settings, plain
from pcb.storage.locks import Writer, already_written, handing_over
from pcb.storage.repository import repository_path, repository_root
from pcb.study.run_state import state_of, trainer

LAST_LINES = 60  # of the output, shown when a training fails: a traceback and torchrun's report
_PATIENCE = 30.0  # seconds for a training that is being started to get its process number

# Started here. Kept, because a discarded Popen warns if its process still runs.
_children: list[subprocess.Popen] = []


def start_training(
    config: str | os.PathLike,
    work_dir: str | os.PathLike = "",
    seed: int = 0,
    cfg_options: Mapping[str, Any] | None = None,
    replace: bool = False,
    gpus: int = 1,
) -> RunFolder:
    """Start ``pcb train`` in its own process, or in several, unless it is running or finished.

    An interrupted training continues from its last checkpoint. The output goes to the run folder's
    ``train.out``.

    Args:
        config: Config file, relative to the repository.
        work_dir: Run folder, relative to the repository; empty for the default one.
        seed: Seed of all random numbers.
        cfg_options: Overrides of the config by dotted key.
        replace: Train from scratch if the folder holds a training with other settings.
        gpus: Number of processes, which share the images; each has its own GPU if there are GPUs.
            The config's ``samples_per_gpu`` is per process, its learning rate for all together.

    Returns:
        The run folder, for :func:`follow`.

    Raises:
        FileNotFoundError: There is no such config.
        ValueError: An override is unknown; there are fewer GPUs; another process writes to the
            folder; or the folder holds a training with other settings, and ``replace`` is False.
    """
    from pcb.detection import load_config
    from pcb.detection.engine.settings import comparable_settings
    from pcb.runs import default_work_dir

    _check_gpus(gpus)
    cfg = load_config(repository_path(config), cfg_options)
    run = RunFolder(repository_path(work_dir) if work_dir else default_work_dir(config, seed))
    wanted = comparable_settings(cfg, seed, processes=gpus)
    state = state_of(run)
    differing = [] if state.settings is None else other_settings(wanted, state.settings)
    if differing and not replace:
        raise ValueError(
            f"{run.path} holds a training with other settings ({', '.join(differing)}): give "
            "another work_dir, or replace the training"
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
    """Print the output of a training until it ends.

    A training that was started in a terminal prints its output there; this only waits for its end.
    If the call is interrupted, the training goes on, and a message says how to follow it again.

    Args:
        run: The run folder, from :func:`start_training`.
        every: Least seconds between two progress lines; all other lines are printed.

    Raises:
        FileNotFoundError: No training was ever started in the folder.
        RuntimeError: The training ended before its last epoch; the message has the end of its
            output.
    """
    try:
        _follow(run, every)
    except KeyboardInterrupt:
        # Printed, not raised, so that a notebook's cell ends without a traceback.
        if trainer(run):
            print(
                f"Training goes on in {run.path}: run this cell again to follow it, or call "
                "study.stop_training(run) to end it."
            )
        else:
            print(f"Training in {run.path} has ended: run this cell again to see why.")


def stop_training(run: RunFolder) -> bool:
    """End the training in a run folder; it can be resumed later.

    Returns:
        False if no training is running.

    Raises:
        ValueError: The training runs on another machine, or is still being started.
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
            f"the training in {run.path} runs on {state.trainer.host}, as process {process}: stop "
            "it there"
        )
    if not process:
        raise ValueError(f"the training in {run.path} is still being started: try again later")
    if state.is_launched:
        os.killpg(os.getpgid(process), signal.SIGTERM)  # includes workers that load the data
    else:
        os.kill(process, signal.SIGTERM)
    return True


def _launch(run: RunFolder, command: list[str], settings: Mapping[str, Any]) -> None:
    """Start the process of a training, unless another training was started a moment ago."""
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
        print(f"{run.path} is trained: nothing to do.")
        return
    if state.trainer and not state.is_launched:
        _wait_for(run, state.trainer)
        return
    if not run.output_file.is_file():
        raise FileNotFoundError(f"no training was started in {run.path}: call start_training first")
    _print_lines(run, every)
    if state_of(run).kind != "finished":
        raise RuntimeError(
            f"training in {run.path} ended before its last epoch. The end of its output, "
            f"{run.output_file.name}:\n" + "\n".join(_last_lines(run))
        )


def _wait_for(run: RunFolder, other: Writer) -> None:
    """Wait for the end of a training whose output goes elsewhere."""
    print(f"Process {other.process} on {other.host} is training there: waiting for its end.")
    while trainer(run):
        time.sleep(0.5)
    if state_of(run).kind != "finished":
        raise RuntimeError(
            f"training in {run.path} ended before its last epoch; the reason is in the terminal of "
            f"process {other.process} on {other.host}, where it was started"
        )


def _print_lines(run: RunFolder, every: float) -> None:
    """Print the output as it is written, with at most one progress line per ``every`` seconds."""
    shown = -float("inf")
    for line in _lines(run):
        if line.startswith("epoch "):
            if time.monotonic() - shown < every:
                continue
            shown = time.monotonic()
        print(line, flush=True)


def _lines(run: RunFolder, pause: float = 0.5) -> Iterator[str]:
    """Yield whole lines of the output as they are written, until the process has ended."""
    with open(run.output_file, errors="replace") as file:
        pending = ""
        while True:
            ended = not trainer(run)  # checked before reading, so that no line is missed
            pending += file.read()
            *whole, pending = pending.split("\n")
            yield from whole
            if ended:
                if pending:
                    yield pending
                return
            time.sleep(pause)


def _last_lines(run: RunFolder) -> list[str]:
    """Return the end of the output, up to the error message: torchrun's report follows it."""
    lines = run.output_file.read_text(errors="replace").splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("pcb: error: ")]
    return lines[: errors[-1] + 1 if errors else None][-LAST_LINES:]


def _check_gpus(gpus: int) -> None:
    import torch

    if not isinstance(gpus, int) or gpus < 1:
        raise ValueError(f"gpus must be a number of processes, at least 1, got {gpus!r}")
    available = torch.cuda.device_count()
    if available and gpus > available:
        raise ValueError(f"gpus is {gpus}, but PyTorch finds {available}: give at most {available}")
