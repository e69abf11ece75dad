"""Unusual values in detection results: what has one meaning is read, and the rest is refused."""

import copy
import json
import re

import numpy as np
import pytest
from pycocotools import mask as run_length

from pcb.datasets import ResultsError, read_annotations, read_compact_results, read_results

SQUARE = [[10, 10, 30, 10, 30, 30, 10, 30]]
RLE = {"size": [40, 60], "counts": "P[2"}


@pytest.fixture
def annotations(tmp_path):
    """Images of which two have the same stem; the ids of some are the file names of others."""
    names = {1: "val2017/1.jpg", 7: "000000000042.jpg", 8: "a/same.jpg", 9: "b/same.jpg"}
    names |= {30: "0031.png", 31: "thirty-one.png", "six": "6.png", 6: "six.png", 5: "8.png"}
    path = tmp_path / "gt.json"
    images = [{"id": i, "file_name": n, "width": 60, "height": 40} for i, n in names.items()]
    categories = [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}]
    box = {"bbox": [1, 2, 3, 4], "area": 12, "segmentation": copy.deepcopy(SQUARE)}
    objects = [{"id": 1, "image_id": 1, "category_id": 3, **box}]
    path.write_text(
        json.dumps({"images": images, "annotations": objects, "categories": categories})
    )
    return read_annotations(path)


def detection(**changes):
    result = {"image_id": 1, "category_id": 3, "score": 0.5, "bbox": [1, 2, 3, 4]}
    return {**result, "segmentation": dict(RLE), **changes}


def read_all(results, annotations, tmp_path):
    """Read results as a list and as a file with both readers, and return the dicts and arrays."""
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results))
    before = copy.deepcopy(results)
    for source in (results, file):
        annotations.logged.clear()
        found = read_results(source, annotations)
        for iou_type in ("bbox", "segm"):
            if not all(RLE_KEY[iou_type] in result for result in found):
                continue
            compact = read_compact_results(source, annotations, iou_type)
            images = [annotations.images[index]["id"] for index in compact.images]
            assert images == [result["image_id"] for result in found]
            classes = [annotations.category_ids[label] for label in compact.labels]
            assert classes == [result["category_id"] for result in found]
            assert compact.scores.tolist() == [result["score"] for result in found]
            if iou_type == "segm":
                assert compact.masks == [result["segmentation"] for result in found]
            else:
                assert compact.boxes.tolist() == [result["bbox"] for result in found]
    assert results == before
    return found


RLE_KEY = {"bbox": "bbox", "segm": "segmentation"}


@pytest.mark.parametrize(
    "change, read, said",
    [
        ({"image_id": "7"}, {"image_id": 7}, "image_id of 2 of 3 detections was text"),
        ({"image_id": "007"}, {"image_id": 7}, "text and was read as a number"),
        ({"image_id": "000000000042"}, {"image_id": 7}, "text and was read as a file name"),
        ({"image_id": "000000000042.jpg"}, {"image_id": 7}, "text and was read as a file name"),
        ({"image_id": "/data/000000000042.jpg"}, {"image_id": 7}, "was read as a file name"),
        ({"image_id": "data\\val2017\\1.jpg"}, {"image_id": 1}, "was read as a file name"),
        ({"image_id": "1.jpg"}, {"image_id": 1}, "was read as a file name"),
        ({"image_id": "b/same"}, {"image_id": 9}, "was read as a file name"),
        ({"image_id": "31"}, {"image_id": 31}, "text and was read as a number"),
        ({"image_id": 7.0}, {"image_id": 7}, "image_id of 2 of 3 detections was a float"),
        ({"category_id": "5"}, {"category_id": 5}, "category_id of 2 of 3 detections was text"),
        ({"category_id": 5.0}, {"category_id": 5}, "category_id of 2 of 3 detections was a float"),
        ({"score": "0.25"}, {"score": 0.25}, "score of 2 of 3 detections was text"),
        ({"score": "1e-3"}, {"score": 0.001}, "score of 2 of 3 detections was text"),
    ],
)
def test_unusual_values_are_read_and_counted(annotations, tmp_path, caplog, change, read, said):
    results = [detection(), detection(**change), detection(**change)]
    found = read_all(results, annotations, tmp_path)
    assert found == [detection(), detection(**read), detection(**read)]
    assert type(found[1]["image_id"]) is int
    texts = [r.getMessage() for r in caplog.records if said in r.getMessage()]
    assert len(texts) == 2  # one line for the list and one for the file, by both readers together


def test_one_line_for_each_kind_of_reading(annotations, tmp_path, caplog):
    results = [detection(image_id="7", score="1")] * 3 + [detection(image_id="1.jpg")]
    read_results(results, annotations)
    assert [record.getMessage() for record in caplog.records] == [
        "results: image_id of 3 of 4 detections was text and was read as a number",
        "results: score of 3 of 4 detections was text and was read as a number",
        "results: image_id of 1 of 4 detections was text and was read as a file name",
    ]


@pytest.mark.parametrize(
    "segmentation, said",
    [
        (SQUARE, "segmentation of 1 of 1 detection was a list of polygons and was encoded"),
        ({"size": [40, 60], "counts": [410, 20] + [20, 20] * 19 + [1210]}, "uncompressed RLE"),
    ],
)
def test_masks_are_encoded(annotations, tmp_path, caplog, segmentation, said):
    (found,) = read_all([detection(segmentation=segmentation)], annotations, tmp_path)
    assert isinstance(found["segmentation"]["counts"], str)
    mask = run_length.decode(found["segmentation"])
    assert mask.shape == (40, 60) and mask.sum() == 400
    if isinstance(segmentation, list):
        assert mask[10:30, 10:30].all()
    assert any(said in record.getMessage() for record in caplog.records)


def test_null_is_absent(annotations, tmp_path, caplog):
    boxes = read_all([detection(segmentation=None)] * 2, annotations, tmp_path)
    assert all("segmentation" not in result for result in boxes)
    masks = read_all([detection(bbox=None)] * 2, annotations, tmp_path)
    assert all("bbox" not in result for result in masks)
    assert not caplog.records
    for source in ([detection(bbox=None, segmentation=None)],):
        with pytest.raises(ResultsError, match="neither 'bbox' nor 'segmentation'"):
            read_results(source, annotations)
        with pytest.raises(ResultsError, match="no 'bbox'"):
            read_compact_results(source, annotations, None)


def test_the_kind_of_the_results_is_the_default(annotations):
    assert read_compact_results([detection()], annotations, None).masks is None
    for alone in (detection(bbox=None), {k: v for k, v in detection().items() if k != "bbox"}):
        assert read_compact_results([alone], annotations, None).boxes is None
    assert read_compact_results([], annotations, None).boxes.shape == (0, 4)


def test_numpy_floats_are_integers(annotations):
    results = [detection(image_id=np.float32(7), category_id=np.float64(5))]
    (found,) = read_results(results, annotations)
    assert (found["image_id"], found["category_id"]) == (7, 5)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"image_id": "99"}, "image_id is text, '99', and no image of the annotation file has"),
        ({"image_id": "same"}, "image_id is text, 'same', and several images have this id or file"),
        ({"image_id": "0031"}, "image_id is text, '0031', and several images have this id or"),
        ({"image_id": "train2017/1.jpg"}, "no image of the annotation file has this id or file"),
        ({"image_id": "1.png"}, "no image of the annotation file has this id or file name"),
        ({"image_id": "six"}, "image_id is text, 'six', and several images have this id or file"),
        ({"image_id": "8"}, "write the id of the image as a number"),
        ({"image_id": ""}, "image_id is text, '', and no image"),
        ({"image_id": "9" * 5000}, "no image of the annotation file has"),
        ({"image_id": 7.5}, "image_id 7.5 is not the id of any image"),
        ({"image_id": True}, "image_id True is not"),
        (
            {"category_id": "dog"},
            "'dog', and class names are not read: write the id of the category (5) as a number",
        ),
        (
            {"category_id": "0"},
            "category_id 0 is not the id of any category in the annotation file"
            " (ids 3 to 5): write category ids, not labels",
        ),
        ({"score": "high"}, "score must be a finite number, got 'high'"),
        ({"score": "nan"}, "score must be a finite number, got 'nan'"),
        ({"score": "inf"}, "score must be a finite number, got 'inf'"),
        ({"score": "1_0"}, "score must be a finite number, got '1_0'"),
        ({"segmentation": [SQUARE[0], [1, 2]]}, "segmentation must be polygons"),
        ({"segmentation": []}, "segmentation must be polygons"),
        ({"segmentation": {"size": [40, 60], "counts": [1.5]}}, "segmentation must be polygons"),
        (
            {"segmentation": {"size": [40, 60], "counts": "b'P[2'"}},
            "the counts of the segmentation are the text of a Python bytes object",
        ),
    ],
)
@pytest.mark.parametrize("of_file", [True, False])
def test_ambiguous_values_are_refused(annotations, tmp_path, change, message, of_file):
    results = [detection(), detection(**change)]
    if of_file:
        (tmp_path / "results.json").write_text(json.dumps(results))
        results = tmp_path / "results.json"
    with pytest.raises(ResultsError, match=r"result 1: .*" + re.escape(message)):
        read_results(results, annotations)
    with pytest.raises(ResultsError, match=r"result 1: .*" + re.escape(message)):
        read_compact_results(results, annotations, "segm")
