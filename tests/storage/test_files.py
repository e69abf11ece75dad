"""Files appear whole or not at all."""

import errno
import os

import pytest

from pcb.storage.files import remove_unfinished, write_atomically


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


def test_only_unfinished_files_are_removed(tmp_path):
    kept = [".lock", ".bbox.0.part", "metrics.json", ".mine", f"a.{32 * '0'}"]
    for name in (*kept, f".latest.pth.{32 * '0'}"):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(kept)
