"""What is said of the machine and the commit that a run's numbers depend on."""

import platform
import shutil
import subprocess

import pytest

from pcb.runs.environment import cpu_model
from pcb.storage.repository import commit


def test_model_of_the_processor(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel\t\t: 17\nmodel name\t: Abacus 1 \nflags\t: x\n")
    assert cpu_model(cpuinfo) == "Abacus 1"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: \nCPU implementer\t: 0x41\n")  # as on ARM
    assert cpu_model(cpuinfo) == platform.machine()


@pytest.fixture
def repository(tmp_path):
    def git(*arguments: str) -> str:
        names = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        command = ["git", *names, *arguments]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.strip()

    git("init", "--quiet")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "--quiet", "-m", "first")
    git("tag", "-a", "v1", "-m", "a tag is not the commit's name")
    return tmp_path, git("rev-parse", "HEAD")


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_commit_and_whether_files_have_changed_since(repository):
    root, head = repository
    assert commit(root) == head
    (root / "file").write_text("2")
    assert commit(root) == f"{head}-dirty"


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_repository_further_up_says_nothing_of_an_unpacked_archive(repository):
    root, _ = repository
    (root / "pcb-kit").mkdir()
    assert commit(root / "pcb-kit") is None


def test_machine_without_git_trains_all_the_same(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit(tmp_path) is None
