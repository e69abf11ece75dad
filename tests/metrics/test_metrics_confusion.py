"""The measured confusion matrix, on cases worked out by hand."""

import copy
import json

import numpy as np
import pytest
from pycocotools import mask

from pcb.datasets import read_annotations
from pcb.metrics import detection_confusion

SIZE = 200
A, B, C, BACKGROUND = 0, 1, 2, 3  # labels; the file lists the categories as C, A, B
CATEGORY_ID = {A: 10, B: 20, C: 30}


def corners(x, y, width, height):
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def rle(box):
    encoded = mask.frPyObjects([corners(*box)], SIZE, SIZE)[0]
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def detection(image_id, label, box, score, mask_box=None):
    return {
        "image_id": image_id,
        "category_id": CATEGORY_ID[label],
        "bbox": box,
        "score": score,
        "segmentation": rle(mask_box or box),
    }


@pytest.fixture
def ground_truth(tmp_path):
    """Function that writes instances `(image id, label, box)` of three classes and reads them."""

    def make(*instances):
        dataset = {
            "images": [
                {
                    "id": image_id,
                    "file_name": f"{image_id}.png",
                    "height": SIZE,
                    "width": SIZE,
                    "neg_category_ids": [],
                    "not_exhaustive_category_ids": [],
                }
                for image_id in (2, 1)
            ],
            "categories": [
                {
                    "id": CATEGORY_ID[label],
                    "name": "ABC"[label],
                    "frequency": "f",
                    "image_count": 200,
                    "instance_count": 300,
                }
                for label in (C, A, B)
            ],
            "annotations": [
                {
                    "id": number,
                    "image_id": image_id,
                    "category_id": CATEGORY_ID[label],
                    "bbox": box,
                    "area": box[2] * box[3],
                    "segmentation": [corners(*box)],
                }
                for number, (image_id, label, box) in enumerate(instances, start=1)
            ],
        }
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(dataset))
        return read_annotations(path)

    return make


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_worked_out_by_hand(ground_truth, iou_type):
    annotations = ground_truth(
        (1, A, [0, 0, 40, 40]),  # found as A, and once more: a duplicate
        (1, B, [100, 0, 40, 40]),  # found as A with a high score and as B with a lower one
        (1, C, [100, 100, 40, 40]),  # missed: the only detection there scores too little
        (2, A, [0, 0, 40, 40]),  # overlaps the next one; both are found, one as C
        (2, A, [10, 0, 40, 40]),
        (2, B, [150, 150, 20, 20]),  # missed: the detection overlaps too little
    )
    results = [
        detection(1, A, [0, 0, 40, 40], 0.9),
        detection(1, A, [2, 0, 40, 40], 0.8),  # duplicate -> background
        detection(1, B, [100, 0, 40, 40], 0.6),  # comes second -> background
        detection(1, A, [102, 0, 40, 40], 0.7),  # B detected as A
        detection(1, C, [100, 100, 40, 40], 0.29),  # below the score threshold
        detection(2, C, [4, 0, 40, 40], 0.95),  # IoU 0.82 with the first, 0.74 with the second
        detection(2, A, [2, 0, 40, 40], 0.9),  # the first is taken; IoU 0.67 with the second
        detection(2, B, [165, 150, 20, 20], 0.8),  # IoU 0.14 -> background
        detection(2, C, [60, 100, 30, 30], 0.3),  # exactly at the score threshold; background
    ]
    before = copy.deepcopy(results)
    confusion = detection_confusion(annotations, results, iou_type)
    expected = [
        [2, 0, 1, 0],  # A: found twice, once taken for C
        [1, 0, 0, 1],  # B: once taken for A, once missed
        [0, 0, 0, 1],  # C: missed
        [1, 2, 1, 0],  # background
    ]
    np.testing.assert_array_equal(confusion, expected)
    assert confusion.dtype == np.int64
    assert results == before
    # Every instance is counted once, every detection that scores enough is counted once.
    assert confusion[:BACKGROUND].sum(axis=1).tolist() == [3, 2, 1]
    assert confusion[:, :BACKGROUND].sum() == 8


def test_iou_type_decides_the_overlap(ground_truth):
    annotations = ground_truth((1, A, [0, 0, 40, 40]))
    results = [detection(1, B, [0, 0, 40, 40], 0.9, mask_box=[0, 0, 40, 10])]
    assert detection_confusion(annotations, results, "bbox")[A, B] == 1
    confusion = detection_confusion(annotations, results, "segm")
    assert confusion[A, BACKGROUND] == confusion[BACKGROUND, B] == 1


def test_iou_threshold_is_included(ground_truth):
    annotations = ground_truth((1, A, [0, 0, 40, 40]))
    results = [detection(1, A, [0, 0, 40, 20], 0.9)]
    assert detection_confusion(annotations, results, iou_threshold=0.5)[A, A] == 1
    assert detection_confusion(annotations, results, iou_threshold=0.51)[A, A] == 0


def test_more_than_300_detections_in_an_image(ground_truth):
    annotations = ground_truth((1, A, [0, 0, 40, 40]))
    results = [detection(1, B, [100, 100, 5, 5], 0.9)] * 400
    results.append(detection(1, A, [0, 0, 40, 40], 0.5))
    confusion = detection_confusion(annotations, results)
    assert confusion[A, A] == 1
    assert confusion[BACKGROUND, B] == 400


def test_no_detections(ground_truth):
    annotations = ground_truth((1, A, [0, 0, 40, 40]), (2, C, [0, 0, 40, 40]))
    expected = np.zeros((4, 4), dtype=int)
    expected[[A, C], BACKGROUND] = 1
    np.testing.assert_array_equal(detection_confusion(annotations, []), expected)


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_row_sums_are_the_instances(make_lvis, tmp_path, iou_type):
    dataset, results = make_lvis(zero_area=True)
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(dataset))
    annotations = read_annotations(path)
    labels = [annotations.label_of[a["category_id"]] for a in annotations.annotations]
    count = np.bincount(labels, minlength=len(annotations.categories))
    confusion = detection_confusion(annotations, results, iou_type, score_threshold=0)
    np.testing.assert_array_equal(confusion[:-1].sum(axis=1), count)
    assert confusion[:, :-1].sum() == len(results)


def test_bad_threshold(ground_truth):
    annotations = ground_truth((1, A, [0, 0, 40, 40]))
    with pytest.raises(ValueError, match=r"iou_threshold must lie in \(0, 1\], got 50"):
        detection_confusion(annotations, [], iou_threshold=50)
