"""Photographs with an EXIF orientation: applied everywhere, and reported."""

import io
import json
import logging

import mmcv
import numpy as np
import pytest
from PIL import Image

from pcb.datasets.headers import check_images
from pcb.datasets.pictures import read_pixels
from pcb.detection import LVISFormatDataset
from pcb.detection.legacy.images import ImageError
from pcb.study.data import open_dataset
from tests.support.inputs import IMAGES, truth

XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    'syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    'tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def encoded(kind: str = "JPEG", orientation: int = 1, **options) -> bytes:
    """Return a smooth image of 60 x 40 pixels with four different corners."""
    corners = Image.fromarray(np.array([[[0] * 3, [90] * 3], [[170] * 3, [255] * 3]], np.uint8))
    image = corners.resize((60, 40), Image.Resampling.BILINEAR)
    exif = image.getexif()
    if orientation > 1:
        exif[0x112] = orientation
    file = io.BytesIO()
    image.save(file, kind, exif=exif, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_show_what_the_detector_sees(tmp_path, kind, orientation):
    content = encoded(kind, orientation)
    (tmp_path / "1").write_bytes(content)
    seen, shown = mmcv.imfrombytes(content), read_pixels(tmp_path / "1")
    assert seen.shape == shown.shape
    assert np.abs(seen[..., ::-1].astype(int) - shown).max() < 12
    expected = (60, 40) if orientation < 5 else (40, 60)
    found = check_images(["1"], [expected], tmp_path)
    assert found.turned == (orientation > 1) and not found.size_faults


def test_an_orientation_in_other_metadata_is_ignored_by_both(tmp_path):
    content = encoded(xmp=XMP.encode())
    (tmp_path / "1").write_bytes(content)
    assert mmcv.imfrombytes(content).shape == read_pixels(tmp_path / "1").shape == (40, 60, 3)
    assert check_images(["1"], [(60, 40)], tmp_path).turn_warning is None


@pytest.fixture
def folder(tmp_path):
    """Images 1 to 4 in ``train``: two keep their size when oriented, one does not."""
    (tmp_path / "train").mkdir()
    for number, orientation in zip(range(1, IMAGES + 1), (1, 3, 2, 6), strict=True):
        file = tmp_path / "train" / f"{number}.png"
        file.write_bytes(encoded("PNG", orientation))
    return tmp_path


def annotate(folder, size=(40, 60)) -> str:
    """Write annotations of the images, with this size for the last."""
    content = truth()
    content["images"][-1] |= dict(zip(("width", "height"), size, strict=True))
    path = folder / "annotations" / "train.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.parametrize("test_mode", [False, True])
def test_training_and_prediction_report_oriented_images(folder, caplog, test_mode):
    path = annotate(folder)
    options = {"pipeline": [], "img_prefix": str(folder / "train"), "test_mode": test_mode}
    LVISFormatDataset(ann_file=path, **options)
    (line,) = (r.getMessage() for r in caplog.records if r.levelno == logging.WARNING)
    assert "train.json: EXIF data rotates or mirrors 3 of 4 images" in line
    assert "for 2 of these images, the size does not show" in line


def test_notebook_00_reports_them_too(folder, caplog):
    annotate(folder)
    open_dataset("", out=folder)
    assert ["mirrors 3 of 4 images" in r.getMessage() for r in caplog.records] == [True]


@pytest.mark.parametrize("test_mode", [False, True])
def test_annotations_of_the_stored_image_are_rejected_before_training(folder, test_mode):
    path = annotate(folder, size=(60, 40))
    message = (
        r"train\.json: for 1 of 4 images, the annotations state the size before the EXIF rotation "
        r"\(4\.png: 60x40 instead of 40x60\)\. Remove the orientation"
    )
    options = {"pipeline": [], "img_prefix": str(folder / "train"), "test_mode": test_mode}
    with pytest.raises(ImageError, match=message):
        LVISFormatDataset(ann_file=path, **options)


def test_some_of_many_images_are_checked(folder):
    names = [f"{number}.png" for number in (2, 1)] * 2500
    warning = check_images(names, [(60, 40)] * len(names), folder / "train").turn_warning
    assert "mirrors 834 of 1,667 checked images;" in warning
    assert check_images([], [], folder).turn_warning is None
    assert check_images(["missing.png"], [(60, 40)], folder).missing == ["missing.png"]


def test_exif_data_after_the_pixels_of_a_png_counts(tmp_path):
    """OpenCV applies it wherever it lies in the file."""
    content = encoded("PNG", 3)
    begin = content.index(b"eXIf") - 4
    end = begin + 12 + int.from_bytes(content[begin : begin + 4], "big")
    close = content.index(b"IEND") - 4
    moved = content[:begin] + content[end:close] + content[begin:end] + content[close:]
    (tmp_path / "late.png").write_bytes(moved)
    seen = mmcv.imread(str(tmp_path / "late.png"), channel_order="rgb")
    np.testing.assert_array_equal(read_pixels(tmp_path / "late.png"), seen)
    size = seen.shape[1::-1]
    assert "mirrors 1 of 1 images" in check_images(["late.png"], [size], tmp_path).turn_warning
