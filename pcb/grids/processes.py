"""Running a grid: one process at a time, which ends whatever it started, and says what it found.

``python -m pcb.grids.processes demo`` is ``make grid GRID=demo``. Snakemake runs in the same
process, so that there is one process to stop, and nothing to pass a signal on. The Snakefile and
the scripts of its jobs call the functions of this module, so that all of it holds where Snakemake
is called directly, too.
"""

from __future__ import annotations

import argparse
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

from pcb.grids.grid import Grid, check_options, grid_root, read_grid
from pcb.messages.lines import say
from pcb.messages.terminal import outliving_terminal
from pcb.runs.running import GRID, running
from pcb.storage.locks import Writer, writing_alone

SNAKEMAKE = "PCB_SNAKEMAKE"  # environment variable: the Snakemake process that started a job
GRACE = 30  # seconds in which a job that is told to end hands back its kernel
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_until_the_end = ExitStack()  # holds the grid's lock
_gone = threading.Event()  # set in a job whose Snakemake has died


@outliving_terminal()
def main(arguments: list[str] | None = None) -> int:
    """Check a grid, run it, and print its table, where its page is and what failed."""
    parser = argparse.ArgumentParser(prog="python -m pcb.grids.processes", description=main.__doc__)
    parser.add_argument("grid", help="a file, or the name of one in workflow/grids/")
    parser.add_argument("--profile", default="local", help="folder of workflow/profiles/")
    given = parser.parse_args(arguments)
    profile = Path("workflow", "profiles", given.profile)
    is_local = given.profile == "local"
    try:
        if not profile.is_dir():
            known = sorted(path.name for path in profile.parent.iterdir())
            raise ValueError(f"no profile {given.profile!r}; there are: {', '.join(known)}")
        grid = read_grid(given.grid)
        check_options(grid)
        gpus = _count_gpus() if is_local else 0
        if is_local:
            check_machine(grid, gpus)
    except (OSError, ValueError) as error:
        parser.exit(1, f"{error}\n")
    # No two trainings share a GPU; a cluster sees to that by itself.
    limit = ["--resources", f"gpu={gpus}"] if gpus else []
    status = _snakemake(["--profile", str(profile), *limit, "--config", f"grid={given.grid}"])
    root = grid_root(given.grid)
    if root.is_dir():
        from pcb.grids import report

        report.main([str(root)])
    return status


def begin(root: str | os.PathLike[str], notebooks: str | os.PathLike[str]) -> None:
    """Be the one process that runs a grid, until this process ends.

    Prints who runs it before it waits for them; what still runs of an earlier call; and which
    notebooks are not as they were committed.

    Args:
        root: the grid's folder.
        notebooks: the folder of the notebooks that it runs.
    """
    root = Path(root)

    def wait_for(other: Writer) -> None:
        lines = [str(one) for one in running(root) if one.what != GRID]
        doing = f" It is at:\n{_listed(lines)}" if lines else ""
        [who] = [one.who for one in running(root) if one.what == GRID] or [other.host]
        _say(
            f"{root} is being run by {who}: waiting for its end, then going on with what is "
            f"missing. Ctrl-C stops the waiting, not the other.{doing}"
        )

    _until_the_end.enter_context(writing_alone(root, GRID, wait_for))
    if left := [str(one) for one in running(root) if one.what != GRID]:
        _say(
            "Still running of an earlier call, which was killed; its trainings are followed, its "
            f"notebooks waited for:\n{_listed(left)}"
        )
    if changed := changed_notebooks(notebooks):
        _say(f"Not as in the last commit: {', '.join(changed)}. The grid runs them as they are.")


def changed_notebooks(folder: str | os.PathLike[str]) -> list[str]:
    """Return the notebooks in a folder that differ from the last commit; none outside of git."""
    command = ["git", "-C", str(folder), "diff", "--name-only", "--relative", "HEAD"]
    try:
        told = subprocess.run([*command, "--", "*.ipynb"], capture_output=True, text=True)
    except OSError:  # no git
        return []
    return told.stdout.splitlines() if told.returncode == 0 else []


def check_machine(grid: Grid, gpus: int) -> None:
    """Check what a grid asks of this machine; says what it gets where that is less.

    Raises:
        ValueError: it asks for more GPUs than there are.
    """
    if gpus and grid.gpus > gpus:
        raise ValueError(
            f"gpus is {grid.gpus}, but this machine has {gpus}: lower it, or use a cluster "
            "(PROFILE=slurm)"
        )
    cores = len(os.sched_getaffinity(0))
    if grid.threads > cores:
        _say(f"threads is {grid.threads}; this machine has {cores} cores, so that is what it uses")


def stop_with_jobs() -> None:
    """Let a signal that asks this process to stop, also one to it alone, end its jobs first.

    Snakemake by itself lets running jobs go on: to their end when it is terminated, without it when
    it is killed. A signal that is ignored stays so: `make grid` goes on when its terminal closes.
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
    """In a job: stop like from Ctrl-C when asked to, once, or when the job's Snakemake is gone."""

    def stop(number: int, frame: object) -> NoReturn:
        _ignore_signals()  # a second one must not cut short how the first one is obeyed
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
    """In a job: whether it ends because its Snakemake has died, not because it was asked to."""
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
    """The scripts of running jobs; kernels and trainings belong to groups of their own.

    Not the shells that Snakemake puts between: a shell that is terminated waits for nobody.
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


def _count_gpus() -> int:
    try:
        told = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    except OSError:
        return 0
    return len(told.stdout.splitlines()) if told.returncode == 0 else 0


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)


def _say(text: str) -> None:
    say(text, sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
