"""Files that are whole or not there, and folders that one process at a time writes into."""

import errno
import os
import signal
import socket
import subprocess
import sys

import pytest

from pcb.runs.folder import RunFolder
from pcb.storage.files import remove_unfinished, write_atomically
from pcb.storage.locks import holder, locked, writer, writing_alone

HOLD = """
import os, sys, time
from pcb.storage.locks import writing_alone
with writing_alone(sys.argv[1], "training"):
    if os.fork() == 0:  # as a data-loading worker, which outlives its process for a while
        time.sleep(3600)
        os._exit(0)
    print("holds", flush=True)
    time.sleep(3600)
"""


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    target = tmp_path / "metrics.json"
    write_atomically(target, "old")

    def full_disk(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match=r"No space left on device: make room .*metrics\.json"):
        write_atomically(target, "new")
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.json"]
    assert target.read_text() == "old"


def test_only_what_is_unfinished_is_removed(tmp_path):
    kept = [".lock", ".bbox.0.part", "metrics.json", ".mine", f"a.{32 * '0'}"]
    for name in (*kept, f".latest.pth.{32 * '0'}"):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(kept)


def test_second_writer_is_refused_until_the_first_has_died(tmp_path):
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert first.stdout.readline() == "holds\n"
        assert writer(tmp_path) == (socket.gethostname(), first.pid, "training")
        message = f"{tmp_path} is being written by process {first.pid}"
        with pytest.raises(ValueError, match=message), writing_alone(tmp_path, "prediction"):
            pass
        first.kill()
        first.wait()
        with writing_alone(tmp_path, "prediction"):  # though its child lives
            with writing_alone(tmp_path, "prediction"):
                pass
            assert writer(tmp_path) == (socket.gethostname(), os.getpid(), "prediction")
    finally:
        os.killpg(first.pid, signal.SIGKILL)
    assert writer(tmp_path) is None


def test_asking_refuses_nobody_and_gets_an_answer(tmp_path):
    """While one process takes the lock and gives it back, again and again."""
    code = (
        "import sys; from pcb.storage.locks import writing_alone\n"
        "for _ in range(300):\n"
        "    with writing_alone(sys.argv[1], 'training'): pass"
    )
    taking = subprocess.Popen([sys.executable, "-c", code, tmp_path])
    answers = set()
    while taking.poll() is None:
        answers.add(writer(tmp_path))
    assert taking.returncode == 0
    assert answers <= {None, (socket.gethostname(), taking.pid, "training")}


def test_what_two_processes_add_to_the_matrices_stays(tmp_path):
    code = (
        "import sys; from pcb.runs.folder import RunFolder\n"
        "for n in range(20): RunFolder(sys.argv[1]).write_confusion(**{f'{sys.argv[2]}{n}': [n]})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, tmp_path, name]) for name in "ab"]
    assert [process.wait() for process in writers] == [0, 0]
    assert len(RunFolder(tmp_path).read_confusion()) == 40


def test_the_holder_of_a_foreign_lock_is_unknown(tmp_path):
    lock = tmp_path / ".other.lock"
    lock.write_text("held by somebody\n")
    with locked(lock):
        assert holder(lock).host == "unknown"
