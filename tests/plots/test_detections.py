"""Pictures of detections are complete, of a useful size, and recognised later."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from pcb.plots.detections import draw_detections, is_drawing_of_detections


def draw(path, shape, count=2, masks=True, name="fox"):
    image = np.full((*shape, 3), 255, np.uint8)
    height, width = shape
    boxes = [[width / 4, height / 4, width / 2, height / 2]] * count
    mask = np.zeros(shape, bool)
    mask[height // 4 : height // 2, width // 4 : width // 2] = True
    draw_detections(path, image, boxes, [mask] * count * masks, [name] * count, [0.9] * count)
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.mark.parametrize("shape", [(60, 90), (1000, 700), (4000, 3000), (9, 400)])
def test_longer_side_is_readable(shape, tmp_path):
    drawn = draw(tmp_path / "sub" / "fox.png", shape)
    assert 750 <= max(drawn.shape) <= 1700
    assert (drawn != 255).any()
    assert not plt.get_fignums()


@pytest.mark.parametrize("masks", [True, False])
def test_picture_is_recognised(masks, tmp_path):
    draw(tmp_path / "fox.png", (40, 40), masks=masks)
    assert is_drawing_of_detections(tmp_path / "fox.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "photo.png")
    assert not is_drawing_of_detections(tmp_path / "photo.png")


def test_picture_differs_with_masks_names_and_detections(tmp_path):
    looks = [
        draw(tmp_path / "fox.png", (40, 40), **options).tobytes()
        for options in ({}, {"masks": False}, {"name": "yak"}, {"name": "лиса"}, {"count": 0})
    ]
    assert len(set(looks)) == 5
