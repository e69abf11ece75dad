"""The repository: its paths and its commit."""

import shutil
import subprocess

import pytest

from pcb.storage import repository
from pcb.storage.repository import commit


def test_paths_start_at_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = repository.repository_root()
    assert (root / "pcb" / "__init__.py").is_file()
    assert repository.repository_path("data/openmoji") == root / "data" / "openmoji"
    assert repository.repository_path(tmp_path) == tmp_path


def test_package_outside_its_repository_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr(repository, "__file__", str(tmp_path / "pcb" / "storage" / "repository.py"))
    with pytest.raises(FileNotFoundError, match="make setup"):
        repository.repository_root()


@pytest.fixture
def checkout(tmp_path):
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
    git("tag", "-a", "v1", "-m", "a tag, which is not the commit")
    return tmp_path, git("rev-parse", "HEAD")


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_commit_tells_whether_files_have_changed(checkout):
    root, head = checkout
    assert commit(root) == head
    (root / "file").write_text("2")
    assert commit(root) == f"{head}-dirty"


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_archive_inside_another_repository_has_no_commit(checkout):
    root, _ = checkout
    (root / "pcb-kit").mkdir()
    assert commit(root / "pcb-kit") is None


def test_machine_without_git_has_no_commit(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit(tmp_path) is None
