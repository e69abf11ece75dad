"""The confusion matrix of detections on cases worked out by hand."""

import copy
import gzip
import json

import hotcoco
import numpy as np
import pytest
from pycocotools import mask

from pcb.datasets import ResultsError, read_annotations
from pcb.evaluation import count_detections, detection_confusion

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
    """Function that writes instances ``(image id, label, box)`` of three classes and reads them.

    Every image is complete for every class, unless ``negative`` or ``unfinished`` lists labels by
    image.
    """

    def make(*instances, negative=None, unfinished=None):
        dataset = {
            "images": [
                {
                    "id": image_id,
                    "file_name": f"{image_id}.png",
                    "height": SIZE,
                    "width": SIZE,
                    "neg_category_ids": [
                        CATEGORY_ID[label]
                        for label in (A, B, C)
                        if (image_id, label) not in {instance[:2] for instance in instances}
                        and label in (negative or {}).get(image_id, (A, B, C))
                    ],
                    "not_exhaustive_category_ids": [
                        CATEGORY_ID[label] for label in (unfinished or {}).get(image_id, ())
                    ],
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
        (1, C, [100, 100, 40, 40]),  # missed: the only detection scores too low
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
        [2, 0, 1, 0],  # A: found twice, once as C
        [1, 0, 0, 1],  # B: once found as A, once missed
        [0, 0, 0, 1],  # C: missed
        [1, 2, 1, 0],  # background
    ]
    np.testing.assert_array_equal(confusion, expected)
    assert confusion.dtype == np.int64
    assert results == before
    # Every instance and every detection that scores enough is counted once.
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
def test_federated_case_worked_out_by_hand(ground_truth, iou_type):
    annotations = ground_truth(
        (1, A, [0, 0, 40, 40]),  # found as A, and once more: a duplicate, A is not exhaustive
        (1, B, [100, 0, 40, 40]),  # found as B, and once more: a duplicate, B is complete
        (1, B, [100, 100, 40, 40]),  # found as C, for which the image is not complete
        (2, B, [0, 0, 40, 40]),  # one object with two labels, found as both,
        (2, C, [0, 0, 40, 40]),  # each by its own class
        (2, C, [100, 0, 40, 40]),  # missed
        (2, B, [0, 100, 40, 40]),  # overlapped by a detection of B and, more, by one of A
        negative={1: (), 2: (A,)},
        unfinished={1: (A,), 2: (C,)},
    )
    results = [
        detection(1, A, [0, 0, 40, 40], 0.9),
        detection(1, A, [2, 0, 40, 40], 0.8),  # left out: there may be more of A
        detection(1, B, [100, 0, 40, 40], 0.9),
        detection(1, B, [102, 0, 40, 40], 0.8),  # background
        detection(1, C, [100, 100, 40, 40], 0.9),  # B found as C: a match always counts
        detection(1, C, [0, 150, 40, 40], 0.8),  # left out: C may be there
        detection(2, C, [0, 0, 40, 40], 0.9),
        detection(2, B, [0, 0, 40, 40], 0.8),
        detection(2, A, [0, 100, 40, 40], 0.9),  # B found as A
        detection(2, B, [2, 100, 40, 40], 0.8),  # background: comes second
        detection(2, A, [150, 150, 40, 40], 0.7),  # background: known to be absent
        detection(2, C, [150, 100, 40, 40], 0.7),  # left out: there may be more of C
    ]
    counts = count_detections(annotations, results, iou_type)
    expected = [
        [1, 0, 0, 0],  # A
        [1, 2, 1, 0],  # B: once found as A, once as C
        [0, 0, 1, 1],  # C: once missed
        [1, 2, 0, 0],  # background
    ]
    np.testing.assert_array_equal(counts.confusion, expected)
    assert counts.left_out.tolist() == [1, 0, 2]
    assert counts.confusion[:BACKGROUND].sum(axis=1).tolist() == [1, 4, 2]
    assert counts.confusion[:, :BACKGROUND].sum() + counts.left_out.sum() == len(results)
    np.testing.assert_array_equal(detection_confusion(annotations, results, iou_type), expected)


@pytest.mark.parametrize("iou_type, masks_only", [("bbox", False), ("segm", False), ("segm", True)])
def test_matching_does_not_depend_on_completeness(make_lvis, tmp_path, iou_type, masks_only):
    dataset, results = make_lvis(seed=3, images=12, zero_area=True, masks_only=masks_only)
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(dataset))
    truth = hotcoco.COCO(read_annotations(path).to_dict())
    evaluation = hotcoco.COCOeval(truth, truth.load_res(results), iou_type)
    plain = evaluation.confusion_matrix(iou_thr=0.5, max_det=len(results))["matrix"]
    confusion, left_out = count_detections(path, results, iou_type, score_threshold=0)
    np.testing.assert_array_equal(confusion[:-1], plain[:-1])
    np.testing.assert_array_equal(confusion[-1, :-1] + left_out, plain[-1, :-1])
    assert left_out.sum() > 0


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize("scores", [(0.9, 0.8), (0.8, 0.9)])
@pytest.mark.parametrize("order", [1, -1])
def test_an_object_with_two_labels_is_found_as_both(ground_truth, iou_type, scores, order):
    box = [0, 0, 40, 40]
    annotations = ground_truth(*[(1, A, box), (1, B, box)][::order])
    results = [detection(1, A, [2, 0, 40, 40], scores[0]), detection(1, B, box, scores[1])]
    confusion = detection_confusion(annotations, results, iou_type)
    np.testing.assert_array_equal(confusion, np.diag([1, 1, 0, 0]))


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_on_complete_images_it_is_hotcocos_matrix(make_lvis, tmp_path, iou_type):
    dataset, results = make_lvis(seed=3)
    everything = [category["id"] for category in dataset["categories"]]
    for image in dataset["images"]:
        image |= {"neg_category_ids": everything, "not_exhaustive_category_ids": []}
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(dataset))
    annotations = read_annotations(path)
    truth = hotcoco.COCO(annotations.to_dict())
    evaluation = hotcoco.COCOeval(truth, truth.load_res(results), iou_type)
    theirs = evaluation.confusion_matrix(iou_thr=0.5, min_score=0.2, max_det=len(results))
    ours = count_detections(annotations, results, iou_type, score_threshold=0.2)
    np.testing.assert_array_equal(ours.confusion, theirs["matrix"])
    assert not ours.left_out.any()


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize("ending", [".json", ".json.gz"])
def test_file_and_list_give_the_same(make_lvis, tmp_path, iou_type, ending):
    dataset, results = make_lvis(seed=4, zero_area=True)
    truth, file = tmp_path / "annotations.json", tmp_path / f"results{ending}"
    truth.write_text(json.dumps(dataset))
    text = json.dumps(results).encode()
    file.write_bytes(gzip.compress(text) if ending.endswith("gz") else text)
    np.testing.assert_array_equal(
        detection_confusion(truth, file, iou_type), detection_confusion(truth, results, iou_type)
    )


@pytest.mark.parametrize(
    "change, message",
    [
        ({"image_id": 99}, "result 1: .*image_id 99"),
        ({"category_id": 7}, "result 1: .*category_id 7"),
        ({"category_id": 10.5}, "result 1: .*category_id"),
        ({"score": None}, "result 1: score must be a finite number, got None"),
        ({"score": float("nan")}, "result 1: score must be a finite number, got nan"),
        ({"score": "high"}, "result 1: score must be a finite number"),
        ({"bbox": [0, 0, -5, 5]}, "result 1: .*bbox"),
        ({"bbox": [0, 0, 5]}, "result 1: .*bbox"),
        ({"bbox": None}, "result 1: .*bbox"),
        ({"segmentation": {"size": [1, 1], "counts": "1"}}, "result 1: segmentation must be"),
    ],
)
@pytest.mark.parametrize("of_file", [False, True])
def test_bad_detection_is_named(ground_truth, tmp_path, change, message, of_file):
    annotations = ground_truth((1, A, [0, 0, 40, 40]))
    good = detection(1, A, [0, 0, 40, 40], 0.9)
    results = [good, good | change]
    if of_file:
        file = tmp_path / "results.json"
        file.write_text(json.dumps(results))
        results = file
    with pytest.raises(ResultsError, match=message):
        detection_confusion(annotations, results)


def test_file_that_holds_no_detections(ground_truth, tmp_path):
    annotations = ground_truth((1, A, [0, 0, 40, 40]))
    file = tmp_path / "results.json"
    file.write_text("{}")
    with pytest.raises(ResultsError, match="must be a list of detections, got an annotation file"):
        detection_confusion(annotations, file)
    file.write_text('[{"image_id": 1}]')
    with pytest.raises(ResultsError, match="result 0: no 'category_id', 'score'"):
        detection_confusion(annotations, file)
    file.write_text('[{"image_id": 1,')
    with pytest.raises(ResultsError, match="JSON"):
        detection_confusion(annotations, file)


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_row_sums_are_instance_counts(make_lvis, tmp_path, iou_type):
    dataset, results = make_lvis(zero_area=True)
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(dataset))
    annotations = read_annotations(path)
    labels = [annotations.label_of[a["category_id"]] for a in annotations.annotations]
    count = np.bincount(labels, minlength=len(annotations.categories))
    confusion, left_out = count_detections(annotations, results, iou_type, score_threshold=0)
    np.testing.assert_array_equal(confusion[:-1].sum(axis=1), count)
    assert left_out.sum() > 0
    assert confusion[:, :-1].sum() + left_out.sum() == len(results)


def test_bad_threshold(ground_truth):
    annotations = ground_truth((1, A, [0, 0, 40, 40]))
    with pytest.raises(ValueError, match=r"iou_threshold must lie in \(0, 1\], got 50"):
        detection_confusion(annotations, [], iou_threshold=50)
    for threshold in (float("nan"), float("inf"), "0.3", True):
        with pytest.raises(ValueError, match="score_threshold must be a finite number, got"):
            detection_confusion(annotations, [], score_threshold=threshold)
