"""Loaded images are whole, have the stated size, 8 bits and 3 channels."""

import io
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from pcb.cli import main as cli
from pcb.datasets.headers import check_images, truncation
from pcb.detection import LVISFormatDataset, load_config
from pcb.detection.checkpoint import save_checkpoint
from pcb.detection.engine.training import build_model
from pcb.detection.legacy.images import ImageError
from pcb.runs.folder import RunFolder

pytestmark = pytest.mark.slow

WIDTH, HEIGHT = 60, 40
CONFIG = "tests/configs/tiny_pcb.py"
LOAD = [{"type": "LoadImageFromFile"}]
PIXELS = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def encoded(kind: str, pixels: np.ndarray = PIXELS, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


JPEG, PNG = encoded("JPEG", quality=95), encoded("PNG")
DAMAGE = {
    "half of a JPEG": (JPEG[: len(JPEG) // 2], "is truncated"),
    "JPEG without its end": (JPEG[:-60], "is truncated"),
    "half of a PNG": (PNG[: len(PNG) // 2], "is truncated"),
    "PNG without its end": (PNG[:-30], "is truncated"),
    "nothing": (b"", "is empty"),
    "a web page": (b"<!DOCTYPE html><p>Not found", r"cannot be opened .*begins with b'<!DOCTYPE"),
    "half of a bitmap": (encoded("BMP")[:3000], "cannot be opened"),
}


@pytest.fixture
def dataset(tmp_path):
    """Function that returns a dataset of one image, which gets its content after the check."""

    def dataset(content: bytes, width: int = WIDTH, height: int = HEIGHT, **options):
        Image.new("RGB", (width, height)).save(tmp_path / "7.jpg")
        image = {"id": 7, "file_name": "7.jpg", "width": width, "height": height}
        image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
        square = {"bbox": [5, 5, 9, 9], "area": 81, "segmentation": [[5, 5, 14, 5, 14, 14, 5, 14]]}
        category = {"id": 1, "name": "fox", "frequency": "r"}
        annotations = {
            "images": [image],
            "annotations": [{"id": 1, "image_id": 7, "category_id": 1, **square}],
            "categories": [{**category, "image_count": 1, "instance_count": 1}],
        }
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(annotations))
        options = {"ann_file": str(path), "img_prefix": str(tmp_path), "pipeline": LOAD} | options
        dataset = LVISFormatDataset(**options)
        (tmp_path / "7.jpg").write_bytes(content)
        return dataset

    return dataset


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("test_mode", [False, True])
def test_corrupt_image_is_named(dataset, tmp_path, kind, test_mode):
    content, problem = DAMAGE[kind]
    with pytest.raises(ImageError, match=f"{tmp_path}/7.jpg {problem}.*; copy or download it"):
        dataset(content, test_mode=test_mode)[0]


def test_corrupt_image_is_named_in_one_line_from_a_worker(dataset, tmp_path):
    loader = DataLoader(dataset(b""), num_workers=1)
    with pytest.raises(ImageError) as caught:
        next(iter(loader))
    assert str(caught.value).startswith(f"{tmp_path}/7.jpg is empty; copy")
    assert "\n" not in str(caught.value)


def test_whole_images_pass(dataset):
    """For every kind of file, and even if a program has appended data."""
    for kind in ("JPEG", "PNG", "BMP", "WEBP", "TIFF"):
        content = encoded(kind)
        assert truncation(content) is None
        assert dataset(content)[0]["img"].shape == (HEIGHT, WIDTH, 3)
    for content in (JPEG + b"\0\0", PNG + b"more"):
        assert truncation(content) is None
        assert dataset(content)[0]["img"].shape == (HEIGHT, WIDTH, 3)


def test_16_bit_and_greyscale_images_load_like_their_8_bit_rgb_versions(dataset):
    def loaded(content: bytes) -> np.ndarray:
        sample = dataset(content)[0]
        assert sample["img"].dtype == np.uint8
        assert sample["img_shape"] == sample["ori_shape"] == (HEIGHT, WIDTH, 3)
        return sample["img"][..., ::-1].astype(int)  # BGR

    def png(pixels: np.ndarray) -> bytes:  # Pillow cannot write 16-bit colours
        return cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].tobytes()

    rng = np.random.default_rng(1)
    deep = np.minimum(PIXELS * np.uint16(257) + rng.integers(-128, 128, PIXELS.shape), 65535)
    deep = np.maximum(deep, 0).astype(np.uint16)
    grey, deep_grey = PIXELS[..., 0], deep[..., 0]
    np.testing.assert_array_equal(loaded(PNG), PIXELS)
    assert np.abs(loaded(png(deep)) - PIXELS).max() <= 1
    np.testing.assert_array_equal(loaded(encoded("PNG", grey)), np.dstack([grey] * 3))
    assert np.abs(loaded(png(deep_grey)) - np.dstack([grey] * 3)).max() <= 1
    opaque = np.dstack([PIXELS, np.full((HEIGHT, WIDTH), 90, np.uint8)])
    np.testing.assert_array_equal(loaded(encoded("PNG", opaque)), PIXELS)


def test_image_of_another_size_than_the_annotations_is_named_with_both(dataset, tmp_path):
    message = f"{tmp_path}/7.jpg is 60x40 pixels, but its size in the annotations is 40x60"
    for test_mode in (False, True):
        with pytest.raises(ImageError, match=message):
            dataset(PNG, width=HEIGHT, height=WIDTH, test_mode=test_mode)[0]
    turned = Image.new("RGB", (1, 1)).getexif()
    turned[0x112] = 6  # displayed with a quarter turn, as it was annotated
    assert dataset(encoded("JPEG", exif=turned), width=HEIGHT, height=WIDTH)[0]["img"].shape == (
        (WIDTH, HEIGHT, 3)
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_commands_end_with_a_line_that_names_the_corrupt_image(
    tiny_openmoji, tiny_options, tmp_path, capsys, workers, monkeypatch
):
    """They also keep earlier predictions and remove unfinished ones."""
    monkeypatch.setattr(check_images, "__defaults__", (1,))  # which is not the corrupt image
    options = {**tiny_options, "data.workers_per_gpu": workers}
    for split in ("train", "val"):
        images = Path(shutil.copytree(tiny_openmoji / split, tmp_path / split))
        options[f"data.{split}.img_prefix"] = str(images)
        victim = sorted(images.iterdir())[-1]
        victim.write_bytes(victim.read_bytes()[:-40])
    run = RunFolder(tmp_path / "run").create()
    save_checkpoint(run.checkpoint, build_model(load_config(CONFIG, options)).state_dict())
    earlier = run.predictions("segm")
    earlier.parent.mkdir()
    earlier.write_text("[]")
    words = ["--device", "cpu", "--cfg-options", json.dumps(options)]
    for command, split in (
        (["test", CONFIG, str(run.checkpoint)], "val"),
        (["train", CONFIG, "--replace", "--work-dir", str(run.path)], "train"),
    ):
        assert cli.main([*command, *words]) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith(f"pcb: error: {tmp_path / split}/") and victim.suffix in last
        assert "is truncated" in last and "copy or download it again" in last
        if split == "val":
            assert [file.name for file in earlier.parent.iterdir()] == ["segm.json"]
            assert earlier.read_text() == "[]"
