"""Headers of image files are compared with the annotations before training."""

import json
import logging

import pytest
from PIL import Image

from pcb.datasets.headers import check_images
from pcb.detection import LVISFormatDataset
from pcb.detection.legacy.images import ImageError
from tests.support.inputs import IMAGES, truth

SIZE = (60, 40)


@pytest.fixture
def folder(tmp_path):
    """The images of ``truth()``, and its annotations in ``train.json``."""
    for number in range(1, IMAGES + 1):
        Image.new("RGB", SIZE).save(tmp_path / f"{number}.png")
    (tmp_path / "train.json").write_text(json.dumps(truth()))
    return tmp_path


def opened(folder):
    return LVISFormatDataset(
        ann_file=str(folder / "train.json"), img_prefix=str(folder), pipeline=[]
    )


def test_every_fault_of_the_files_is_found(tmp_path):
    Image.new("RGB", SIZE).save(tmp_path / "good.jpg")
    whole = (tmp_path / "good.jpg").read_bytes()
    (tmp_path / "appended.jpg").write_bytes(whole + b"\0\0")  # still whole
    (tmp_path / "cut.jpg").write_bytes(whole[:-200])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "page.jpg").write_text("<!DOCTYPE html>")
    Image.new("RGBA", SIZE).save(tmp_path / "alpha.png")
    Image.new("I;16", SIZE).save(tmp_path / "deep.png")
    Image.new("CMYK", (9, 7)).save(tmp_path / "print.jpg")
    turned = Image.new("RGB", (1, 1)).getexif()
    turned[0x112] = 6
    Image.new("RGB", SIZE).save(tmp_path / "turned.jpg", exif=turned)
    names = ["good.jpg", "appended.jpg", "cut.jpg", "empty.jpg", "page.jpg", "alpha.png"]
    names += ["deep.png", "print.jpg", "turned.jpg", "none.jpg"]
    found = check_images(names, [SIZE] * len(names), tmp_path)
    assert found.missing == ["none.jpg"]
    assert [text.partition(" ")[0] for text in found.damaged] == [
        "cut.jpg",
        "empty.jpg",
        "page.jpg",
    ]
    assert found.wrong_size == ["print.jpg: 9x7 instead of 60x40"]
    assert found.unturned == ["turned.jpg: 60x40 instead of 40x60"]
    assert found.modes == {"RGB": 3, "RGBA": 1, "I;16": 1, "CMYK": 1}


def test_all_wrong_images_are_refused_in_one_error_before_training(folder):
    for number in (1, 2):
        Image.new("RGB", (20, 30)).save(folder / f"{number}.png")
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:-40])
    with pytest.raises(ImageError) as caught:
        opened(folder)
    message = str(caught.value)
    assert message.startswith("train.json: 2 of 4 images do not have the size")
    assert "(1.png: 20x30 instead of 60x40, 2.png: 20x30 instead of 60x40)" in message
    assert "1 of 4 images cannot be read (3.png is truncated" in message


def test_a_partial_check_says_so(folder, monkeypatch, caplog):
    assert check_images([f"{n}.png" for n in (1, 2, 3)], [SIZE] * 3, folder, most=2).checked == 2
    opened(folder)
    assert not caplog.records
    monkeypatch.setattr(check_images, "__defaults__", (2,))
    opened(folder)
    (line,) = (r.getMessage() for r in caplog.records if r.levelno == logging.WARNING)
    assert line.startswith("train.json: the files of only 2 of 4 images were checked; `pcb doctor")
