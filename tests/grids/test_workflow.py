"""The processes of a grid under signals, kills, and a second call during the first.

The tests call `make grid` in a copy of the repository with stand-in notebooks. Notebook 01 starts a
stand-in for a training, in a session of its own like a real one, and waits for it.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pcb.grids.failures import find_failures, record_failure
from pcb.grids.grid import Grid
from pcb.grids.workflow import begin, changed_notebooks, check_machine
from pcb.runs.processes import notebook_lock, running
from pcb.storage.locks import holding
from tests.grids.test_grid import ROOT, STAND_INS, write_grid, write_notebook
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.slow

RUN = "openmoji/softmax/seed0"

TRAINING = """
import sys, time
from pathlib import Path
from pcb.storage.writing import writing_alone
folder = Path(sys.argv[1])
with writing_alone(folder, "training"):
    while not (folder / "trained").exists():
        time.sleep(0.05)
"""
TRAIN = f"""
import os, subprocess, sys, time
from pathlib import Path
from pcb.storage.writing import writer
folder = Path(work_dir)
(folder / "config.py").touch()
if not writer(folder) and not (folder / "trained").exists():
    command = [sys.executable, "-c", {TRAINING!r}, str(folder)]
    training = subprocess.Popen(command, start_new_session=True)
    while not writer(folder):
        time.sleep(0.05)
(folder / "kernel").write_text(str(os.getpid()))
while writer(folder):
    time.sleep(0.05)
"""


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """A copy of the repository with stand-in notebooks and a grid of one run; ends trainings."""
    folder = tmp_path / "clone"
    for name in ("pcb", "configs", "workflow"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    codes = {name: code for name, (_, code) in STAND_INS.items()} | {"01_train": TRAIN}
    for name, (parameters, _) in STAND_INS.items():
        write_notebook(folder / "notebooks" / f"{name}.ipynb", parameters, codes[name])
    write_grid(folder / "one.yaml", pcb=[False])
    yield folder
    for one in running(folder / "runs" / "one"):
        psutil.Process(one.process).kill()


def call(clone: Path) -> subprocess.Popen:
    """Start `make grid`; its output goes to a file."""
    command = ["make", "-o", ".venv/.ready", f"BIN={Path(sys.executable).parent}", "grid"]
    number = len(list(clone.glob("*.out")))
    with open(clone / f"{number}.out", "w") as output:
        return subprocess.Popen(
            [*command, "GRID=one.yaml"],
            cwd=clone,
            env=os.environ | {"PYTHONPATH": str(clone)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # A shell that runs the tests in the background ignores Ctrl-C, and grids inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def wait_until(said: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not said():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def processes(clone: Path) -> dict[str, psutil.Process]:
    """The processes of a grid that is training, by purpose."""
    kernel = clone / "runs" / "one" / RUN / "kernel"
    wait_until(kernel.is_file, "the training did not start")
    kernel_process = psutil.Process(int(kernel.read_text()))
    kernel.unlink()
    found = {
        one.what: psutil.Process(one.process)
        for one in running(clone / "runs" / "one")
        if one.where in (".", RUN)
    }
    assert set(found) == {"grid", "01_train", "training"}
    return found | {"kernel": kernel_process}


def assert_ended(*ended: psutil.Process) -> None:
    _, alive = psutil.wait_procs(ended, timeout=PATIENCE)
    assert alive == []


@pytest.mark.parametrize("target, number", [("make", signal.SIGTERM), ("grid", signal.SIGINT)])
def test_stopped_grid_leaves_nothing_behind(clone, target, number):
    make = call(clone)
    found = processes(clone)
    os.kill(make.pid if target == "make" else found["grid"].pid, number)
    assert make.wait(PATIENCE) != 0
    assert_ended(*found.values())  # also the training, which can resume
    failure = find_failures(clone / "runs" / "one")[-1]
    assert failure.executed.stem == "01_train"
    assert failure.line == "interrupted; run the same command again to continue"
    assert failure.line in (clone / "runs" / "one" / "index.html").read_text()
    assert "Traceback" not in (clone / "0.out").read_text()


@pytest.mark.parametrize("handle", ["stop_with_jobs", "end_with_snakemake"])
def test_signal_is_not_lost_in_a_destructor(handle):
    code = f"""
import signal, time
from pcb.grids.workflow import {handle}

class Interrupted:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)

{handle}()
try:
    Interrupted()  # is deleted at once
    time.sleep({PATIENCE})
except KeyboardInterrupt:
    print("stopped")
"""
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert (ended.stdout, ended.stderr) == ("stopped\n", "")


def test_second_call_waits_and_takes_over_after_a_kill(clone):
    root = clone / "runs" / "one"
    first = call(clone)
    found = processes(clone)
    second = call(clone)
    out = clone / "1.out"
    shown = f"being run by process {found['grid'].pid} on {socket.gethostname()}, since 20"
    wait_until(lambda: shown in out.read_text(), "the second call does not name the first")
    wait_until(lambda: "training of " in out.read_text(), "the second call lists nothing")
    assert f"01_train of {RUN}: process {found['01_train'].pid} on" in out.read_text()
    assert find_failures(root) == []  # a running notebook has not failed

    found["grid"].kill()
    assert_ended(found["grid"], found["01_train"], found["kernel"])
    assert first.wait(PATIENCE) != 0 and found["training"].is_running()

    again = processes(clone)  # of the second call
    assert again["training"] == found["training"]
    shown = f"training of {RUN}: process {found['training'].pid} on"
    assert shown in out.read_text().partition("some of its processes are still running")[2]
    (root / RUN / "trained").touch()
    assert second.wait(PATIENCE) == 0, out.read_text()
    assert running(root) == [] and find_failures(root) == []
    assert "did not finish" not in (root / "index.html").read_text()
    _, title, end = out.read_text().partition("All notebooks and figures: runs/one/index.html")
    assert title and "Still running" not in end  # the reporting process is left out


def test_grid_continues_when_its_output_is_closed(clone):
    """As with `make grid | head`, or a closed terminal."""
    folder = clone / "runs" / "one" / RUN
    folder.mkdir(parents=True)
    (folder / "trained").touch()
    reader, writer = os.pipe()
    grid = subprocess.Popen(
        [sys.executable, "-m", "pcb", "grid", "run", "one.yaml"],
        cwd=clone,
        env=os.environ | {"PYTHONPATH": str(clone)},
        stdout=writer,
        stderr=writer,
    )
    os.close(writer)
    assert os.read(reader, 1)
    os.close(reader)
    grid.send_signal(signal.SIGHUP)
    assert grid.wait(PATIENCE) == 0
    assert find_failures(clone / "runs" / "one") == [] and (clone / "runs/one/index.html").is_file()


def test_a_grid_on_another_machine_is_named_and_waited_for(tmp_path, capfd):
    """As on a shared file system: the lock's file names its holder."""
    hold = (
        "import sys; from pcb.storage.writing import writing_alone\n"
        "import socket; socket.gethostname = lambda: 'login2'\n"
        "with writing_alone(sys.argv[1], 'grid'): print('holds', flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    other = subprocess.Popen(
        [sys.executable, "-c", hold, tmp_path / "runs"], stdin=pipe, stdout=pipe, text=True
    )
    assert other.stdout.readline() == "holds\n"
    [there] = running(tmp_path / "runs")
    assert (there.what, there.host, there.process) == ("grid", "login2", other.pid)
    code = f"from pcb.grids.workflow import begin; begin({str(tmp_path / 'runs')!r}, '.')"
    waiting = subprocess.Popen([sys.executable, "-c", code], stderr=pipe, text=True, cwd=tmp_path)
    shown = waiting.stderr.readline()
    assert f"is already being run by process {other.pid} on login2, since " in shown
    assert waiting.poll() is None
    other.communicate(timeout=PATIENCE)  # which ends it
    waiting.communicate(timeout=PATIENCE)
    assert other.returncode == 0 and waiting.returncode == 0


def test_processes_of_an_earlier_call_are_listed(tmp_path):
    code = f"from pcb.grids.workflow import begin; begin({str(tmp_path)!r}, {str(tmp_path)!r})"
    with holding(notebook_lock(tmp_path / RUN / "02_evaluate.ipynb"), "02_evaluate"):
        begun = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert begun.returncode == 0
    assert f"02_evaluate of {RUN}: process {os.getpid()} on" in begun.stderr
    begun = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert begun.returncode == 0 and begun.stderr == ""


def test_one_process_at_a_time_runs_a_notebook(tmp_path):
    executed = tmp_path / "01_train.ipynb"
    code = (
        "import sys; from pcb.grids.failures import record_failure\n"
        "with record_failure(sys.argv[1]): print('runs', flush=True)"
    )
    with record_failure(executed):
        other = subprocess.Popen(
            [sys.executable, "-c", code, executed], stdout=subprocess.PIPE, text=True
        )
        shown = other.stdout.readline()
        assert f"{executed} is already being run by process {os.getpid()} on" in shown
        assert find_failures(tmp_path) == []
    assert other.communicate(timeout=PATIENCE)[0] == "runs\n" and other.returncode == 0


def test_note_of_a_killed_notebook_is_in_plain_words(tmp_path):
    code = (
        "import os, sys; from pcb.grids.failures import record_failure\n"
        "with record_failure(sys.argv[1]): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "01_train.ipynb"])
    [failure] = find_failures(tmp_path)
    assert failure.line.startswith("The process ended without an error message: it was killed, or")


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A git checkout with two committed notebooks."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "a")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@example.org")
    folder = tmp_path / "checkout" / "notebooks"
    folder.mkdir(parents=True)
    for name in ("01_train", "02_evaluate"):
        (folder / f"{name}.ipynb").write_text(json.dumps({"cells": []}))
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "a"]):
        subprocess.run(["git", *arguments], cwd=folder.parent, check=True)
    return folder


def test_notebooks_with_uncommitted_changes_are_named(checkout, tmp_path, capfd):
    assert changed_notebooks(checkout) == []
    (checkout / "01_train.ipynb").write_text("{}")
    (checkout / "mine.ipynb").write_text("{}")
    assert changed_notebooks(checkout) == ["01_train.ipynb"]
    subprocess.run(["git", "add", "."], cwd=checkout)
    assert "01_train.ipynb" in changed_notebooks(checkout)
    begin(tmp_path / "runs", checkout)
    begin(tmp_path / "runs", checkout)
    shown = capfd.readouterr().err
    assert shown.startswith("The grid runs notebooks that have uncommitted changes: 01_train.ipynb")

    plain = tmp_path / "plain"
    shutil.copytree(checkout, plain)
    assert changed_notebooks(plain) == []


def test_grid_of_more_gpus_or_threads_than_there_are(capfd):
    grid = Grid("Test", ["openmoji"], ["softmax"], gpus=8, threads=10_000)
    with pytest.raises(ValueError, match="`gpus` to 8, but this machine has only 2 GPUs"):
        check_machine(grid, gpus=2)
    check_machine(grid, gpus=0)  # without GPUs, `gpus` counts processes
    assert capfd.readouterr().err.startswith(
        "The grid sets `threads` to 10000, but this machine has "
    )
