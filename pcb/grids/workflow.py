"""Run a grid of training runs with Snakemake, and stop all jobs of the grid if Snakemake stops.

Two processes cannot run the same grid at the same time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NoReturn

import psutil

from pcb.grids.grid import Grid
from pcb.messages.lines import say
from pcb.messages.nearest import suggestion
from pcb.runs.processes import GRID, running
from pcb.storage.locks import Writer
from pcb.storage.repository import repository_path
from pcb.storage.writing import writing_alone

LOCAL = "local"  # the profile for this machine

SNAKEMAKE = "PCB_SNAKEMAKE"  # environment variable: process ID of a job's Snakemake
GRACE = 30  # seconds in which a job must end its kernel before the job is killed
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_PROFILES = Path("workflow", "profiles")
_until_the_end = ExitStack()  # holds the grid's lock
_gone = threading.Event()  # set in a job when its Snakemake process has died


def run_workflow(name: str, profile: str, gpus: int = 0) -> int:
    """Run the Snakemake workflow of a grid, and return the exit status of Snakemake.

    The current folder must be the root of the repository.

    Args:
        name: A grid file, or the name of a grid in ``workflow/grids/``.
        profile: Name of a folder in ``workflow/profiles/``.
        gpus: Maximum number of GPUs that all running jobs use together. Pass 0 on a cluster,
            because the cluster assigns GPUs to jobs.
    """
    limit = ["--resources", f"gpu={gpus}"] if gpus else []
    return _snakemake(["--profile", str(_PROFILES / profile), *limit, "--config", f"grid={name}"])


def check_profile(profile: str) -> None:
    """Check that a Snakemake profile exists in ``workflow/profiles/``.

    Raises:
        ValueError: The profile does not exist. The message suggests a similar name, or lists all
            profiles.
    """
    known = sorted(path.name for path in repository_path(_PROFILES).iterdir())
    if profile not in known:
        raise ValueError(f"there is no Snakemake profile {profile!r}; {suggestion(profile, known)}")


def begin(root: str | os.PathLike[str], notebooks: str | os.PathLike[str]) -> None:
    """Wait until no other process runs the grid, then lock the grid's folder.

    The lock is released when the calling process ends. This function prints messages about
    other processes of the grid and about notebooks that have uncommitted changes.

    Args:
        root: The grid's folder.
        notebooks: Folder of the notebooks that the grid runs.
    """
    root = Path(root)

    def wait_for(other: Writer) -> None:
        lines = [str(one) for one in running(root) if one.what != GRID]
        doing = f" At present, the grid runs:\n{_indent(lines)}" if lines else ""
        fallback = f"a process (host: {other.host})"
        [who] = [one.who for one in running(root) if one.what == GRID] or [fallback]
        _say(
            f"The grid in {root} is already being run by {who}. This command waits until that "
            "process ends, then produces the results that are still missing. Ctrl-C stops only "
            f"this command, not that process.{doing}"
        )

    _until_the_end.enter_context(writing_alone(root, GRID, wait_for))
    if left := [str(one) for one in running(root) if one.what != GRID]:
        _say(
            "An earlier command was killed, but some of its processes are still running. This "
            f"command waits until these processes end:\n{_indent(left)}"
        )
    if changed := changed_notebooks(notebooks):
        _say(f"The grid runs notebooks that have uncommitted changes: {', '.join(changed)}")


def changed_notebooks(folder: str | os.PathLike[str]) -> list[str]:
    """Return which notebooks in a folder have uncommitted changes.

    The result is [] if git is not installed, or if the folder is not in a git repository.
    """
    command = ["git", "-C", str(folder), "diff", "--name-only", "--relative", "HEAD"]
    try:
        diff = subprocess.run([*command, "--", "*.ipynb"], capture_output=True, text=True)
    except OSError:  # git is not installed
        return []
    return diff.stdout.splitlines() if diff.returncode == 0 else []


def check_machine(grid: Grid, gpus: int) -> None:
    """Check that this machine has enough GPUs for a grid.

    If the machine has too few CPU cores, this function only prints a note.

    Raises:
        ValueError: The grid needs more GPUs than this machine has.
    """
    if gpus and grid.gpus > gpus:
        raise ValueError(
            f"the grid sets `gpus` to {grid.gpus}, but this machine has only {gpus} "
            f"GPU{'s' * (gpus != 1)}. Reduce `gpus` in the grid file, or use a cluster "
            "(`--profile slurm`, or PROFILE=slurm with make)"
        )
    cores = len(os.sched_getaffinity(0))
    if grid.threads > cores:
        plural = "s" if cores > 1 else ""
        _say(
            f"The grid sets `threads` to {grid.threads}, but this machine has only {cores} CPU "
            f"core{plural}. Each job uses at most {cores} thread{plural}."
        )


def count_gpus() -> int:
    """Return the number of this machine's NVIDIA GPUs, without importing PyTorch."""
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    except OSError:
        return 0
    return len(listed.stdout.splitlines()) if listed.returncode == 0 else 0


def stop_with_jobs() -> None:
    """Set signal handlers that end all jobs when SIGINT, SIGTERM or SIGHUP stops Snakemake.

    Call this function in the Snakemake process. Signals that are already ignored stay ignored.
    """

    def stop(number: int, frame: object) -> NoReturn:
        _ignore_signals()
        jobs = _jobs(psutil.Process())
        _send(jobs, signal.SIGTERM)
        last = threading.Timer(GRACE, _send, [jobs, signal.SIGKILL])
        last.daemon = True
        last.start()
        raise KeyboardInterrupt

    _handle_signals(stop)


def end_with_snakemake() -> None:
    """Make the calling job stop on SIGINT, SIGTERM or SIGHUP, or if Snakemake dies.

    The job stops with a ``KeyboardInterrupt``, as after Ctrl-C.
    """

    def stop(number: int, frame: object) -> NoReturn:
        _ignore_signals()  # a second signal must not interrupt the clean-up
        raise KeyboardInterrupt

    def watch(process: int) -> None:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(process).wait()
        _gone.set()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(1)

    _handle_signals(stop)
    if process := os.environ.get(SNAKEMAKE):
        threading.Thread(target=watch, args=[int(process)], daemon=True).start()


def snakemake_is_gone() -> bool:
    """Return whether the Snakemake process that started this job has died."""
    return _gone.is_set()


def _snakemake(arguments: list[str]) -> int:
    # Call Snakemake in this process, so that a user has to stop only one process.
    from snakemake.cli import main as snakemake

    try:
        snakemake(arguments)
    except SystemExit as ended:
        return int(ended.code or 0)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _jobs(snakemake: psutil.Process) -> list[psutil.Process]:
    """Return the processes that execute the scripts of Snakemake's running jobs."""
    group = os.getpgid(snakemake.pid)  # Jupyter kernels and training processes are not in it
    found = []
    for process in snakemake.children(recursive=True):
        try:
            if os.getpgid(process.pid) == group:
                found.append((process, process.ppid()))
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    # Leave out the shells that run the scripts: a terminated shell does not wait for its script.
    parents = {parent for _, parent in found}
    return [process for process, _ in found if process.pid not in parents]


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _handle_signals(handler: Callable[[int, object], NoReturn]) -> None:
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
    _repeat_discarded_interrupts()


def _repeat_discarded_interrupts() -> None:
    """Raise a ``KeyboardInterrupt`` again when Python discards it.

    Python discards exceptions raised in ``__del__`` methods and in callbacks of weak references.
    """
    report = sys.unraisablehook

    def interrupt(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    def repeat(discarded: sys.UnraisableHookArgs) -> None:
        if issubclass(discarded.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0.01)  # by then, the method has ended
        else:
            report(discarded)

    signal.signal(signal.SIGALRM, interrupt)
    sys.unraisablehook = repeat


def _ignore_signals() -> None:
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)


def _indent(lines: Iterable[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)


def _say(text: str) -> None:
    say(text, sys.stderr)
