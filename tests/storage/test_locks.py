"""One process at a time writes to a folder."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from pcb.storage.locks import holder, locked
from pcb.storage.writing import writer, writing_alone

HOLD = """
import os, sys, time
from pcb.storage.writing import writing_alone
with writing_alone(sys.argv[1], "training"):
    if os.fork() == 0:  # like a data-loading worker, which may outlive its process
        time.sleep(3600)
        os._exit(0)
    print("holds", flush=True)
    time.sleep(3600)
"""


def test_second_writer_is_refused_until_the_first_has_died(tmp_path):
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert first.stdout.readline() == "holds\n"
        assert writer(tmp_path) == (socket.gethostname(), first.pid, "training", "", 0)
        message = rf"process {first.pid} on .* \(training\) is writing to {tmp_path}: "
        with pytest.raises(ValueError, match=message), writing_alone(tmp_path, "prediction"):
            pass
        first.kill()
        first.wait()
        with writing_alone(tmp_path, "prediction"):  # though its child lives
            with writing_alone(tmp_path, "prediction"):
                pass
            assert writer(tmp_path) == (socket.gethostname(), os.getpid(), "prediction", "", 0)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
    assert writer(tmp_path) is None


def test_checking_a_lock_neither_blocks_its_holder_nor_fails(tmp_path):
    """While another process takes and releases the lock again and again."""
    code = (
        "import sys; from pcb.storage.writing import writing_alone\n"
        "for _ in range(300):\n"
        "    with writing_alone(sys.argv[1], 'training'): pass"
    )
    taking = subprocess.Popen([sys.executable, "-c", code, tmp_path])
    answers = set()
    while taking.poll() is None:
        answers.add(writer(tmp_path))
    assert taking.returncode == 0
    assert answers <= {None, (socket.gethostname(), taking.pid, "training", "", 0)}


def test_holder_that_the_file_does_not_name_is_unknown(tmp_path):
    lock = tmp_path / ".other.lock"
    lock.write_text("held by somebody\n")
    with locked(lock):
        assert holder(lock).host == "unknown"
