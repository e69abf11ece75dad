"""Images and their instances as arrays."""

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as run_length

from pcb.datasets import read_annotations
from pcb.datasets.masks import decode_mask
from pcb.datasets.pictures import by_image, load_picture, read_icons, read_pixels


def test_every_form_of_a_segmentation_gives_the_same_mask():
    mask = np.zeros((5, 7), dtype=np.uint8)
    mask[1:4, 2:6] = 1
    compressed = run_length.encode(np.asfortranarray(mask))
    text = {"size": [5, 7], "counts": compressed["counts"].decode("ascii")}
    runs = np.flatnonzero(np.diff(np.pad(mask.flatten("F"), 1))).tolist()
    counts = np.diff([0, *runs, mask.size]).tolist()
    uncompressed = {"size": [5, 7], "counts": counts}
    polygons = [[2, 1, 6, 1, 6, 4, 2, 4]]
    for segmentation in (compressed, text, uncompressed, polygons):
        np.testing.assert_array_equal(decode_mask(segmentation, 5, 7), mask.astype(bool))


def test_picture_equals_the_file(tiny_openmoji):
    annotations = read_annotations(tiny_openmoji / "annotations" / "val.json")
    records = by_image(annotations.annotations)
    for image in annotations.images[:3]:
        picture = load_picture(annotations, image, tiny_openmoji / "val", records[image["id"]])
        assert picture.image.shape == (image["height"], image["width"], 3)
        assert picture.masks.sum(axis=(1, 2)).tolist() == [r["area"] for r in records[image["id"]]]
        for (x, y, width, height), mask in zip(picture.boxes, picture.masks, strict=True):
            rows, columns = np.nonzero(mask)
            assert (x, y) == (columns.min(), rows.min())
            assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
        assert np.isnan(picture.scores).all()


def test_picture_without_instances_and_results_without_boxes(tiny_openmoji):
    annotations = read_annotations(tiny_openmoji / "annotations" / "val.json")
    image = annotations.images[0]
    empty = load_picture(annotations, image, tiny_openmoji / "val", [])
    assert empty.boxes.shape == (0, 4) and empty.masks.shape == (0, 128, 128)
    record = dict(by_image(annotations.annotations)[image["id"]][0], score=0.5)
    box = record.pop("bbox")
    picture = load_picture(annotations, image, tiny_openmoji / "val", [record])
    assert picture.boxes.tolist() == [box] and picture.scores.tolist() == [0.5]


def test_missing_image_is_named_and_missing_icons_are_none(tiny_openmoji, tmp_path):
    annotations = read_annotations(tiny_openmoji / "annotations" / "val.json")
    message = r"000001\.png \(image 1 in .*\) does not exist: copy the image"
    with pytest.raises(FileNotFoundError, match=message):
        load_picture(annotations, annotations.images[0], tmp_path, [])
    assert read_icons(tmp_path, [1]) is None
    icons = read_icons(tiny_openmoji / "icons", annotations.category_ids)
    assert len(icons) == 8 and icons[0].shape[2] == 4


def test_16_bit_greyscale_and_oriented_images_look_as_in_training(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (4, 6), dtype=np.uint8)
    path = tmp_path / "1.png"
    for pixels in (grey, grey.astype(np.uint16) * 257):
        Image.fromarray(pixels).save(path)
        np.testing.assert_array_equal(read_pixels(path), np.dstack([grey] * 3))
    turned = Image.fromarray(grey)
    exif = turned.getexif()
    exif[0x112] = 6
    turned.save(path, exif=exif)
    np.testing.assert_array_equal(read_pixels(path)[..., 0], np.rot90(grey, -1))


@pytest.mark.parametrize("content", [b"", b"<html>", "half"])
def test_corrupt_image_is_named(tmp_path, content):
    path = tmp_path / "1.jpg"
    Image.new("RGB", (60, 40)).save(path)
    path.write_bytes(path.read_bytes()[:-300] if content == "half" else content)
    with pytest.raises(
        OSError, match=f"{path} cannot be opened as an image .*: copy the file again"
    ):
        read_pixels(path)
