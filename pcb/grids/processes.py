"""The processes of a grid: one of them runs it, and ends whatever it started.

``pcb grid run`` calls Snakemake in its own process, so that there is a single process to stop and
no signal to pass on. The Snakefile and the scripts of its jobs call the functions of this module,
so that all this also holds if Snakemake is called directly.
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
from pcb.storage.locks import Writer, writing_alone
from pcb.storage.repository import repository_path

LOCAL = "local"  # the profile for this machine

SNAKEMAKE = "PCB_SNAKEMAKE"  # environment variable: the Snakemake process that started a job
GRACE = 30  # seconds for a job to end its kernel before it is killed
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_PROFILES = Path("workflow", "profiles")
_until_the_end = ExitStack()  # holds the grid's lock
_gone = threading.Event()  # set in a job whose Snakemake has died


def run_workflow(name: str, profile: str, gpus: int = 0) -> int:
    """Run the Snakemake workflow on a grid, from the repository root, and return its exit status.

    Args:
        name: the grid, as :func:`pcb.grids.grid.read_grid` takes it.
        profile: folder of ``workflow/profiles/``.
        gpus: GPUs of this machine. No two trainings share one; a cluster ensures that itself.
    """
    limit = ["--resources", f"gpu={gpus}"] if gpus else []
    return _snakemake(["--profile", str(_PROFILES / profile), *limit, "--config", f"grid={name}"])


def check_profile(profile: str) -> None:
    """Check that a profile exists.

    Raises:
        ValueError: there is no such profile; the message names the nearest, or all.
    """
    known = sorted(path.name for path in repository_path(_PROFILES).iterdir())
    if profile not in known:
        raise ValueError(f"no profile {profile!r}; {suggestion(profile, known)}")


def begin(root: str | os.PathLike[str], notebooks: str | os.PathLike[str]) -> None:
    """Be the only process that runs a grid, until this process ends.

    If another process runs the grid, print its name and wait for its end. Then print which
    processes of an earlier call are still running, and which notebooks have uncommitted changes.

    Args:
        root: the grid's folder.
        notebooks: folder of the notebooks that it runs.
    """
    root = Path(root)

    def wait_for(other: Writer) -> None:
        lines = [str(one) for one in running(root) if one.what != GRID]
        doing = f" It is running:\n{_indent(lines)}" if lines else ""
        [who] = [one.who for one in running(root) if one.what == GRID] or [other.host]
        _say(
            f"{root} is being run by {who}: waiting for its end, then running what is missing. "
            f"Ctrl-C stops this call and not that process.{doing}"
        )

    _until_the_end.enter_context(writing_alone(root, GRID, wait_for))
    if left := [str(one) for one in running(root) if one.what != GRID]:
        _say(
            "An earlier call was killed, and some of its processes are still running. This call "
            f"follows its trainings and waits for its notebooks:\n{_indent(left)}"
        )
    if changed := changed_notebooks(notebooks):
        _say(f"Uncommitted changes in {', '.join(changed)}: the grid runs them as they are.")


def changed_notebooks(folder: str | os.PathLike[str]) -> list[str]:
    """Return the notebooks in a folder with uncommitted changes; [] outside a git repository."""
    command = ["git", "-C", str(folder), "diff", "--name-only", "--relative", "HEAD"]
    try:
        diff = subprocess.run([*command, "--", "*.ipynb"], capture_output=True, text=True)
    except OSError:  # git is not installed
        return []
    return diff.stdout.splitlines() if diff.returncode == 0 else []


def check_machine(grid: Grid, gpus: int) -> None:
    """Check that this machine has the GPUs of a grid, and warn if it has fewer cores.

    Raises:
        ValueError: the grid asks for more GPUs than there are.
    """
    if gpus and grid.gpus > gpus:
        raise ValueError(
            f"gpus is {grid.gpus}, but this machine has {gpus}: lower it, or use a cluster "
            "(PROFILE=slurm)"
        )
    cores = len(os.sched_getaffinity(0))
    if grid.threads > cores:
        _say(f"threads is {grid.threads}, but this machine has {cores} cores: {cores} are used")


def count_gpus() -> int:
    """Return the number of this machine's NVIDIA GPUs, without importing PyTorch."""
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    except OSError:
        return 0
    return len(listed.stdout.splitlines()) if listed.returncode == 0 else 0


def stop_with_jobs() -> None:
    """End the jobs of this process first when a signal asks it to stop.

    Snakemake by itself does not stop running jobs, neither when it is terminated nor when it is
    killed. Ignored signals stay ignored: ``make grid`` continues when its terminal closes.
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
    """In a job: stop as with Ctrl-C when a signal asks for it, or when the job's Snakemake dies."""

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
    """In a job: whether it ends because its Snakemake has died, and not because of a signal."""
    return _gone.is_set()


def _snakemake(arguments: list[str]) -> int:
    from snakemake.cli import main as snakemake

    try:
        snakemake(arguments)
    except SystemExit as ended:
        return int(ended.code or 0)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _jobs(snakemake: psutil.Process) -> list[psutil.Process]:
    """The scripts of running jobs. Kernels and trainings are in process groups of their own.

    The shells that Snakemake starts in between are left out, because a terminated shell does not
    wait for its children.
    """
    group = os.getpgid(snakemake.pid)
    found = []
    for process in snakemake.children(recursive=True):
        try:
            if os.getpgid(process.pid) == group:
                found.append((process, process.ppid()))
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
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


def _ignore_signals() -> None:
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)


def _indent(lines: Iterable[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)


def _say(text: str) -> None:
    say(text, sys.stderr)
