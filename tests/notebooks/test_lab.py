"""JupyterLab opens copies of the notebooks, and an edited copy is never overwritten."""

import sys
from pathlib import Path

import pytest

from pcb.cli.main import main
from pcb.notebooks import lab
from pcb.storage.repository import repository_root


@pytest.fixture
def notebooks(tmp_path) -> Path:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in ("00_dataset", "01_train"):
        (folder / f"{name}.ipynb").write_text(f"{name}, first version")
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {file.stem: file.read_text() for file in folder.glob("*.ipynb")}


def test_copies_are_made_once_and_updated_with_their_notebooks(notebooks, tmp_path, capsys):
    copies = tmp_path / "lab"
    assert lab.copy_notebooks(notebooks, copies) == {
        name: copies / f"{name}.ipynb" for name in ("00_dataset", "01_train")
    }
    assert contents(copies) == contents(notebooks)
    (notebooks / "01_train.ipynb").write_text("second version")
    lab.copy_notebooks(notebooks, copies)
    assert contents(copies) == contents(notebooks) and capsys.readouterr().out == ""


def test_edited_copy_is_kept_beside_the_newer_notebook(notebooks, tmp_path, capsys):
    copies = tmp_path / "lab"
    lab.copy_notebooks(notebooks, copies)
    (copies / "01_train.ipynb").write_text("my work")
    for _ in range(2):
        assert lab.copy_notebooks(notebooks, copies)["01_train"] == copies / "01_train.ipynb"
    assert capsys.readouterr().out == ""
    for version in (2, 3):
        (notebooks / "01_train.ipynb").write_text(f"version {version}")
        for _ in range(2):
            newest = lab.copy_notebooks(notebooks, copies)
        assert newest["01_train"] == copies / f"01_train-{version}.ipynb"
        printed = capsys.readouterr().out
        assert printed.count("\n") == 1 and "01_train.ipynb has changed" in printed
        newest["01_train"].write_text(f"more of my work, {version}")
    assert contents(copies) == {
        "00_dataset": "00_dataset, first version",
        "01_train": "my work",
        "01_train-2": "more of my work, 2",
        "01_train-3": "more of my work, 3",
    }


@pytest.mark.parametrize("record", [None, "", "{", "[]", "null"])
def test_copies_without_a_readable_record_are_kept(notebooks, tmp_path, record):
    copies = tmp_path / "lab"
    lab.copy_notebooks(notebooks, copies)
    (copies / ".copies.json").unlink()
    if record is not None:
        (copies / ".copies.json").write_text(record)
    (copies / "00_dataset.ipynb").write_text("my work")
    newest = lab.copy_notebooks(notebooks, copies)
    assert newest["00_dataset"].name == "00_dataset-2.ipynb"
    assert newest["01_train"].name == "01_train.ipynb"
    assert (copies / "00_dataset.ipynb").read_text() == "my work"


@pytest.mark.parametrize("user", [0, 1000])
def test_lab_has_the_repository_as_its_root_and_gets_the_arguments(user, monkeypatch, tmp_path):
    started = []
    monkeypatch.setattr(lab.os, "execv", lambda program, command: started.append(command))
    monkeypatch.setattr(lab.os, "geteuid", lambda: user)
    place = repository_root() / "runs" / "lab"
    monkeypatch.setattr(lab, "copy_notebooks", lambda *_: {lab.FIRST: place / "00_dataset.ipynb"})
    main(["lab", "--port", "9999", "--no-browser"])
    ((python, module, name, *options),) = started
    assert [python, module, name] == [sys.executable, "-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={repository_root()}" in options
    assert "--LabApp.default_url=/lab/tree/runs/lab/00_dataset.ipynb" in options
    assert ("--allow-root" in options) == (user == 0)
    assert options[-3:] == ["--port", "9999", "--no-browser"]
    ignored = (repository_root() / ".gitignore").read_text().splitlines()
    assert "/runs/" in ignored and lab.FOLDER.startswith("runs/")
