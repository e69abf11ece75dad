"""Small random LVIS datasets with detections, as fixtures."""

import numpy as np
import pytest
from pycocotools import mask

SIZE = 160  # height and width of an image, in pixels


@pytest.fixture
def make_lvis():
    """Function that makes (LVIS annotations as a dict, COCO results); see ``_make_lvis``."""
    return _make_lvis


def _make_lvis(seed=0, images=5, classes=7, clutter=40, zero_area=False, masks_only=False):
    """Make a federated dataset with three groups of classes, and jittered, confused detections.

    The last class has no ground truth. Objects are diamonds, half of them stored as polygons and
    half as RLE. ``clutter`` is the number of detections per image that hit no object on purpose.
    ``zero_area`` gives a fifth of objects and detections no area. ``masks_only`` leaves out the
    boxes of detections.
    """
    rng = np.random.default_rng(seed)
    ids = [int(i) for i in 3 * rng.permutation(np.arange(1, classes + 1))]
    categories = [
        {
            "id": category_id,
            "name": f"class {category_id}",
            "frequency": "rcf"[label % 3],
            "image_count": (5, 50, 500)[label % 3],
            "instance_count": (6, 60, 600)[label % 3],
        }
        for label, category_id in enumerate(ids)
    ]
    image_list, annotations, detections = [], [], []
    for image_id in (int(i) for i in 10 + rng.permutation(images)):
        negative, unfinished = rng.choice(ids, 3, replace=False), rng.choice(ids, 1)
        image_list.append(
            {
                "id": image_id,
                "file_name": f"{image_id}.png",
                "height": SIZE,
                "width": SIZE,
                "neg_category_ids": negative.tolist(),
                "not_exhaustive_category_ids": unfinished.tolist(),
            }
        )
        for _ in range(rng.integers(2, 9)):
            box = _box(rng)
            category_id = int(rng.choice(ids[:-1]))
            flat = zero_area and rng.random() < 0.2
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": category_id,
                    "bbox": box,
                    "area": 0.0 if flat else box[2] * box[3] / 2,
                    "segmentation": [_diamond(box)] if rng.random() < 0.5 else _rle(box),
                }
            )
            for _ in range(2):
                jittered = np.maximum(np.array(box) + rng.normal(0, 4, 4), [0, 0, 1, 1]).tolist()
                confused = int(category_id if rng.random() < 0.7 else rng.choice(ids))
                detections.append((image_id, confused, jittered))
        detections += [(image_id, int(rng.choice(ids)), _box(rng)) for _ in range(clutter)]
    results = []
    for index in rng.permutation(len(detections)):
        image_id, category_id, box = detections[index]
        if zero_area and rng.random() < 0.2:
            box = [*box[:2], 0.0, box[3]]
        # Two digits, so that some scores are equal.
        score = round(float(rng.random()), 2)
        result = {"image_id": image_id, "category_id": category_id, "score": score, "bbox": box}
        result["segmentation"] = _rle(box)
        if masks_only:
            del result["bbox"]
        results.append(result)
    dataset = {"images": image_list, "annotations": annotations, "categories": categories}
    return dataset, results


def _box(rng):
    width, height = rng.uniform(6, 110, 2)
    x, y = rng.uniform(0, SIZE - width), rng.uniform(0, SIZE - height)
    return [round(float(value), 2) for value in (x, y, width, height)]


def _diamond(box):
    x, y, width, height = box
    return [
        x + width / 2,
        y,
        x + width,
        y + height / 2,
        x + width / 2,
        y + height,
        x,
        y + height / 2,
    ]


def _rle(box):
    rle = mask.merge(mask.frPyObjects([_diamond(box)], SIZE, SIZE))
    return {"size": rle["size"], "counts": rle["counts"].decode()}
