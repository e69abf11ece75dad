"""Paths of the repository."""

import pytest

from pcb.storage import repository


def test_paths_start_at_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = repository.repository_root()
    assert (root / "pcb" / "__init__.py").is_file()
    assert repository.repository_path("data/openmoji") == root / "data" / "openmoji"
    assert repository.repository_path(tmp_path) == tmp_path


def test_installed_apart_from_the_repository_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr(repository, "__file__", str(tmp_path / "pcb" / "storage" / "repository.py"))
    with pytest.raises(FileNotFoundError, match="make setup"):
        repository.repository_root()
