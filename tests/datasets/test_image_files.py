"""Images are found in folders, once each, with names that tell them apart."""

import os

import pytest

from pcb.datasets.image_files import find_images


@pytest.fixture
def folder(tmp_path):
    for name in ("b/fox.JPG", "a/fox.jpg", "a/deep/yak.png", "a/notes.txt", "a/LICENSE"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_folders_are_searched_and_other_files_are_counted(folder):
    found = find_images([folder])
    assert found.folder == folder
    assert found.names == ["a/deep/yak.png", "a/fox.jpg", "b/fox.JPG"]
    assert found.notes == ["2 files in folders are no images: no ending (1), .txt (1)"]


def test_names_are_relative_to_the_common_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert find_images(["a/fox.jpg"]).names == ["fox.jpg"]
    assert find_images(["a/deep", "b/fox.JPG"]).names == ["a/deep/yak.png", "b/fox.JPG"]


def test_a_file_may_have_any_name_and_counts_once(folder):
    found = find_images([folder / "a", folder / "a/LICENSE", folder / "a/fox.jpg"])
    assert found.names == ["LICENSE", "deep/yak.png", "fox.jpg"]
    assert "images that were named more than once count once: 1" in found.notes


def test_output_folder_is_left_out(folder):
    found = find_images([folder], leave_out=folder / "a")
    assert found.names == ["b/fox.JPG"]
    assert found.notes == [f"images in the output folder {folder / 'a'} are left out: 2"]
    with pytest.raises(ValueError, match="contains no image outside the output folder"):
        find_images([folder / "a"], leave_out=folder / "a")


def test_links_are_followed_but_not_in_a_circle(folder):
    os.symlink(folder, folder / "a" / "back")
    os.symlink(folder / "b", folder / "a" / "linked")
    names = find_images([folder / "a"]).names
    assert {"fox.jpg", "linked/fox.JPG", "back/b/fox.JPG"} & set(names) >= {"fox.jpg"}
    assert len(names) < 5


def test_faults_are_named_together(folder):
    with pytest.raises(FileNotFoundError, match=r"2 of 3 paths do not exist: .*x, .*y; correct"):
        find_images([folder / "x", folder / "a", folder / "y"])
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="empty contains no image: choose another folder"):
        find_images([folder / "empty"])
    with pytest.raises(ValueError, match="name at least one"):
        find_images([])
