"""A training continues after its terminal has been closed."""

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from pcb.detection.checkpoint import read_checkpoint
from pcb.messages.terminal import outliving_terminal
from pcb.runs.folder import RunFolder
from pcb.storage.repository import repository_root
from tests.support.patience import PATIENCE
from tests.support.tiny import CONFIG

# A stand-in for hours of work: it prints, waits for a line, and prints more.
WORK = """
import sys
from pcb.messages.terminal import outliving_terminal

@outliving_terminal()
def work(folder):
    print("begun", flush=True)
    sys.stdin.readline()
    for _ in range(3):
        print("x" * 100_000, flush=True)
        print("y", file=sys.stderr, flush=True)
    with open(folder + "/done", "w") as file:
        file.write("whole")

work(sys.argv[1])
"""


def start(tmp_path, **streams) -> subprocess.Popen:
    command = [sys.executable, "-c", WORK, str(tmp_path)]
    return subprocess.Popen(
        command, cwd=repository_root(), stdin=subprocess.PIPE, text=True, **streams
    )


def test_closed_pipes(tmp_path):
    process = start(tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == "begun\n"
    process.stdout.close()
    process.stderr.close()
    process.communicate("go on\n", timeout=PATIENCE)
    assert process.returncode == 0 and (tmp_path / "done").read_text() == "whole"


def test_closed_terminal(tmp_path):
    """Its hang-up signal is ignored, and so are failing writes."""
    own, theirs = pty.openpty()
    process = start(tmp_path, stdout=theirs, stderr=theirs)
    os.close(theirs)
    assert b"begun" in os.read(own, 100)
    process.send_signal(signal.SIGHUP)
    os.close(own)
    process.communicate("go on\n", timeout=PATIENCE)
    assert process.returncode == 0 and (tmp_path / "done").read_text() == "whole"


def test_streams_that_are_closed_at_the_start(tmp_path):
    """The next opened files must not get their numbers, and with them the output."""
    command = f'exec {sys.executable} -c "$0" {tmp_path} >&- 2>&-'
    subprocess.run(
        ["bash", "-c", command, WORK],
        cwd=repository_root(),
        input=b"\n",
        timeout=PATIENCE,
        check=True,
    )
    assert (tmp_path / "done").read_text() == "whole"


def test_streams_and_signals_are_restored():
    before = sys.stdout, sys.stderr, signal.getsignal(signal.SIGHUP)
    with outliving_terminal(), outliving_terminal():
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    assert before == (sys.stdout, sys.stderr, signal.getsignal(signal.SIGHUP))


def test_other_errors_of_printing_are_raised():
    class Broken:
        closed = False

        def write(self, text):
            raise UnicodeEncodeError("ascii", text, 0, 1, "x")

        def flush(self):
            pass

    before = sys.stdout
    sys.stdout = Broken()
    try:
        with pytest.raises(UnicodeEncodeError), outliving_terminal():
            print("é")
    finally:
        sys.stdout = before


@pytest.mark.slow
def test_training_and_test_run_to_their_end(tmp_path, tiny_options):
    run = RunFolder(tmp_path / "run")
    options = [f"{key}={value}" for key, value in tiny_options.items()]
    train = [sys.executable, "-m", "pcb", "train", CONFIG, "--work-dir", str(run.path)]
    test = [sys.executable, "-m", "pcb", "test", str(run.path), str(run.checkpoint)]
    for command in ([*train, "--device", "cpu", "--cfg-options", *options], test):
        process = subprocess.Popen(
            command, cwd=repository_root(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        process.stdout.close()  # before anything is printed
        process.stderr.close()
        if command is not test:
            while not run.path.exists() and process.poll() is None:
                time.sleep(0.1)
            process.send_signal(signal.SIGHUP)
        assert process.wait(PATIENCE) == 0
    assert read_checkpoint(run.checkpoint)["meta"]["epoch"] == 2
    assert len(run.read_log()) == 6 and run.read_metrics()
