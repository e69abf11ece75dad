"""Reading LVIS files: the content of good ones, and the errors for bad ones."""

import copy
import gzip
import json
import re

import numpy as np
import pytest

from pcb.datasets import (
    AnnotationError,
    ResultsError,
    read_annotations,
    read_compact_annotations,
    read_compact_results,
    read_results,
)

RLE = {"size": [40, 60], "counts": "P[2"}


# Both readers check a file in the same way.
READERS = pytest.mark.parametrize("read", [read_annotations, read_compact_annotations])


@pytest.fixture
def dataset():
    """Two images and three classes; the ids do not start at 0 and are not sorted."""
    image = {"height": 40, "width": 60, "neg_category_ids": [], "not_exhaustive_category_ids": []}
    annotation = {"bbox": [1, 2, 10.5, 20], "area": 210.0, "segmentation": [[1, 2, 11, 2, 11, 22]]}
    return {
        "info": {"description": "made for a test"},
        "licenses": [{"id": 1, "name": "CC BY-SA 4.0"}],
        "images": [
            {"id": 7, "file_name": "7.png", **copy.deepcopy(image)},
            {"id": 3, "coco_url": "http://host/val2017/3.jpg", **copy.deepcopy(image)},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 9, **copy.deepcopy(annotation)},
            {"id": 2, "image_id": 3, "category_id": 5, **annotation, "segmentation": dict(RLE)},
        ],
        "categories": [
            {"id": 9, "name": "cat", "frequency": "f", "image_count": 300, "instance_count": 400},
            {"id": 5, "name": "dog", "frequency": "r", "image_count": 3, "instance_count": 4},
            {"id": 6, "name": "emu", "frequency": "c", "image_count": 30, "instance_count": 40},
        ],
    }


@pytest.fixture
def write(tmp_path):
    """Function that writes a dataset or results and returns the path of the file."""

    def write(dataset, name="annotations.json"):
        path = tmp_path / name
        path.write_text(json.dumps(dataset))
        return path

    return write


@pytest.fixture
def annotations(dataset, write):
    return read_annotations(write(dataset))


def detection(**changes):
    box = {"image_id": 7, "category_id": 9, "bbox": [1.0, 2.0, 3.0, 4.0], "score": 0.5}
    return {**box, "segmentation": dict(RLE), **changes}


def read_boxes(results, annotations):
    return read_compact_results(results, annotations, "bbox")


def read_masks(results, annotations):
    return read_compact_results(results, annotations, "segm")


RESULTS_READERS = pytest.mark.parametrize("read", [read_results, read_boxes, read_masks])


def assert_refused(error_type, parts, function, *arguments, **options):
    """Assert that a call raises an error that starts with the file's name and has all parts."""
    with pytest.raises(error_type) as caught:
        function(*arguments, **options)
    file_name, *rest = parts
    message = str(caught.value)
    assert re.match(rf"(.*/)?{re.escape(file_name)}: ", message), message
    for part in rest:
        assert part in message


def test_labels_follow_the_ids(annotations):
    assert annotations.category_ids == [5, 6, 9]
    assert annotations.class_names == ["dog", "emu", "cat"]
    assert annotations.label_of == {5: 0, 6: 1, 9: 2}
    assert annotations.frequency == ["r", "c", "f"]
    np.testing.assert_array_equal(annotations.image_count, [3, 30, 300])
    np.testing.assert_array_equal(annotations.instance_count, [4, 40, 400])


def test_content_is_kept_and_shared(annotations, dataset):
    content = annotations.to_dict()
    dataset["categories"].sort(key=lambda category: category["id"])
    assert content == dataset
    assert content["annotations"] is annotations.annotations
    assert "images" not in repr(annotations)  # a traceback must not show a million records


def test_gzip(dataset, annotations, tmp_path):
    path = tmp_path / "annotations.json.gz"
    path.write_bytes(gzip.compress(json.dumps(dataset).encode()))
    assert read_annotations(path).to_dict() == annotations.to_dict()
    results = tmp_path / "results.json.gz"
    results.write_bytes(gzip.compress(json.dumps([detection()]).encode()))
    assert read_results(results, annotations) == [detection()]


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json does not exist: check the path"):
        read_annotations(tmp_path / "nowhere.json")


@READERS
def test_truncated(dataset, read, tmp_path):
    content = json.dumps(dataset).encode()
    for name, damaged in {
        "half.json": content[: len(content) // 2],
        "half.json.gz": gzip.compress(content)[:-20],
        "plain.json.gz": content,
        "binary.json": b"\xff\xfe\x00\x81",
        "latin.json": content.replace(b"7.png", b"\xe9.png"),  # a record in another encoding
    }.items():
        (tmp_path / name).write_bytes(damaged)
        parts = [name, "not valid JSON"]
        assert_refused(AnnotationError, parts, read, tmp_path / name)


def test_json_that_only_python_reads(dataset, annotations, tmp_path):
    """Numbers that are not finite, lone surrogates, other encodings."""
    images, info = dataset["images"], {"temperature": float("nan")}
    images[0]["note"] = "\ud83d"
    for name, text, encoding in (
        ("surrogate.json", json.dumps(dataset), "utf-8"),
        ("nan.json", json.dumps({**dataset, "info": info}), "utf-8"),
        ("mark.json", json.dumps(dataset), "utf-8-sig"),
        ("wide.json", json.dumps(dataset), "utf-16"),
    ):
        path = tmp_path / name
        path.write_text(text, encoding=encoding)
        found = read_annotations(path)
        assert found.images == images
        assert found.annotations == annotations.annotations


def test_compact_annotations_are_grouped_by_image(dataset, write):
    dataset["annotations"].append({**dataset["annotations"][0], "id": 3, "bbox": [5, 6, 7, 0.5]})
    compact = read_compact_annotations(write(dataset))
    assert compact.class_names == ["dog", "emu", "cat"]
    np.testing.assert_array_equal(compact.image_ids, [7, 3])
    np.testing.assert_array_equal(compact.image_sizes, [[60, 40], [60, 40]])
    np.testing.assert_array_equal(compact.image_names, ["7.png", "val2017/3.jpg"])
    np.testing.assert_array_equal(compact.first_instance, [0, 2, 3])
    np.testing.assert_array_equal(compact.labels, [2, 2, 0])
    np.testing.assert_array_equal(compact.boxes[:2], [[1, 2, 10.5, 20], [5, 6, 7, 0.5]])
    np.testing.assert_array_equal(compact.areas, [210, 210, 210])
    assert compact.masks_of(0) == [[[1, 2, 11, 2, 11, 22]]] * 2
    assert compact.masks_of(1) == [RLE]

    kept = compact.select(compact.boxes[:, 3] >= 1)
    np.testing.assert_array_equal(kept.first_instance, [0, 1, 2])
    assert kept.masks_of(0) == [[[1, 2, 11, 2, 11, 22]]] and kept.masks_of(1) == [RLE]


@pytest.mark.parametrize(
    "odd", [1 / 3, 1e-3, 9e6 + 1 / 8, -9e6], ids=["thirds", "thousandths", "large", "negative"]
)
def test_compact_coordinates_keep_every_digit(dataset, write, odd):
    """Even if a thousand polygons have two decimals and a later one has more."""
    template = dataset["annotations"][0]
    rng = np.random.default_rng(0)
    polygons = [rng.uniform(-5, 700, size=10).round(2).tolist() for _ in range(1000)]
    polygons += [[0.07, odd, 1.15, 2, 3, 640.29], *polygons[:10]]
    dataset["annotations"] = [
        {**template, "id": i, "segmentation": [polygon, polygons[0]]}
        for i, polygon in enumerate(polygons, start=1)
    ]
    compact = read_compact_annotations(write(dataset))
    assert compact.masks_of(0) == [[polygon, polygons[0]] for polygon in polygons]


def test_compact_coordinates_are_small(dataset, write):
    compact = read_compact_annotations(write(dataset))
    assert compact.segmentations.coordinates.itemsize == 4


def drop(key, part=None):
    def change(dataset):
        del (dataset if part is None else dataset[part][0])[key]

    return change


def set_value(part, key, value, index=0):
    def change(dataset):
        dataset[part][index][key] = value

    return change


@pytest.mark.parametrize(
    "change, parts",
    [
        (drop("images"), ["not an annotation file", "'images'"]),
        (drop("categories"), ["not an annotation file", "'categories'"]),
        (drop("frequency", "categories"), ["category 9", "'frequency'", "COCO format"]),
        (drop("image_count", "categories"), ["category 9", "'image_count'"]),
        (drop("neg_category_ids", "images"), ["image 7", "'neg_category_ids'"]),
        (drop("file_name", "images"), ["image 7", "'file_name'", "'coco_url'"]),
        (set_value("categories", "frequency", "often"), ["category 9", "'often'"]),
        (set_value("categories", "instance_count", -1), ["instance_count", "-1"]),
        (set_value("categories", "id", " "), ["id must be a non-negative", "' '"]),
        (set_value("categories", "id", "nine"), ["annotation 1", "category_id 9", "any category"]),
        (set_value("images", "width", 0), ["image 7", "0 x 40"]),
        (set_value("images", "neg_category_ids", None), ["image 7", "no 'neg_category_ids'"]),
        (set_value("images", "id", 3), ["image id 3 occurs 2 times"]),
        (set_value("categories", "id", 5), ["category id 5 occurs 2 times"]),
        (
            set_value("annotations", "id", [1]),
            ["annotation [1]", "id must be a non-negative", "[1]"],
        ),
        (set_value("annotations", "image_id", 8), ["annotation 1", "image_id 8", "of any image"]),
        (set_value("annotations", "category_id", 4), ["category_id 4", "any category", "5 to 9"]),
        (set_value("annotations", "bbox", [1, 2, 3]), ["annotation 1", "[1, 2, 3]"]),
        (set_value("annotations", "bbox", [1, 2, -3, 4]), ["negative", "[1, 2, -3, 4]"]),
        (set_value("annotations", "bbox", [1, 2, float("nan"), 4]), ["bbox", "nan"]),
        (set_value("annotations", "area", "big"), ["area", "'big'"]),
        (set_value("annotations", "segmentation", [[1, 2, 3, 4]]), ["polygons"]),
        (set_value("annotations", "segmentation", [[1, 2, 3, 4, 5, "6"]]), ["polygons", "'6'"]),
        (set_value("annotations", "segmentation", [[1, 2, 3, 4, 5, float("inf")]]), ["polygons"]),
        (set_value("annotations", "segmentation", {**RLE, "size": [60, 40]}), ["[40, 60]"]),
        (set_value("annotations", "iscrowd", 1), ["1 of 2 annotations", "--crowds objects"]),
        (set_value("annotations", "iscrowd", 2), ["annotation 1", "iscrowd must be 0 or 1, got 2"]),
        (set_value("annotations", "ignore", 1), ["annotation 1", "ignore", "remove"]),
        (lambda dataset: dataset["annotations"].insert(0, 5), ["annotation at index 0", "'id'"]),
        (lambda dataset: dataset.update(annotations=[]), ["'annotations' is empty"]),
        (lambda dataset: dataset.update(images=[]), ["'images' is empty"]),
        (lambda dataset: dataset.update(categories=[]), ["'categories' is empty"]),
    ],
)
@READERS
def test_bad_annotations(dataset, write, read, change, parts):
    change(dataset)
    parts = ["annotations.json", *parts]
    assert_refused(AnnotationError, parts, read, write(dataset))


def test_results_file_as_annotations(write):
    parts = ["annotations.json", "results second"]
    assert_refused(AnnotationError, parts, read_annotations, write([detection()]))


@READERS
def test_missing_images_are_named(dataset, write, read, tmp_path):
    folder = tmp_path / "images"
    (folder / "val2017").mkdir(parents=True)
    (folder / "7.png").touch()
    (folder / "val2017" / "3.jpg").touch()
    (folder / "unused.png").touch()
    read(write(dataset), image_dir=folder)

    dataset["images"] += [
        {**dataset["images"][0], "id": 100 + i, "file_name": f"none_{i}.png"} for i in range(5)
    ]
    (folder / "7.png").unlink()
    for image_dir, message in {
        folder: f"{folder} lacks 6 of 7 images (7.png, none_0.png, none_1.png, ...). Download",
        tmp_path / "elsewhere": "elsewhere lacks 7 of 7 images",
    }.items():
        parts = ["annotations.json", message]
        assert_refused(AnnotationError, parts, read, write(dataset), image_dir=image_dir)


def test_results_are_returned_as_they_are(annotations):
    results = [detection(), detection(score=np.float32(0.25), image_id=np.int64(3))]
    before = copy.deepcopy(results)
    assert read_results(results, annotations, ("bbox", "segm")) is results
    assert results == before
    assert read_results([], annotations) == []


def test_compact_results(annotations, write):
    results = [
        detection(),
        detection(image_id=3, category_id=5, score=0.25, bbox=[0, 0.5, 10, 20]),
        detection(score=1),
    ]
    for source in (results, write(results, "results")):
        boxes = read_compact_results(source, annotations, "bbox", score_threshold=0.5)
        assert boxes.images.tolist() == [annotations.images.index(annotations.image_of[7])] * 2
        assert boxes.labels.tolist() == [2, 2]
        assert boxes.scores.tolist() == [0.5, 1]
        assert boxes.boxes.tolist() == [[1, 2, 3, 4]] * 2
        assert boxes.masks is None
        masks = read_compact_results(source, annotations, "segm")
        assert masks.labels.tolist() == [2, 0, 2]
        assert masks.masks == [RLE] * 3
        assert masks.boxes is None
        assert len(masks) == 3
    empty = read_compact_results([], annotations, "bbox")
    assert len(empty) == 0 and empty.boxes.shape == (0, 4)


def test_compact_results_accept_numpy_and_nan(annotations, write):
    numpy = detection(score=np.float32(0.25), image_id=np.int64(3), bbox=np.array([1, 2, 3, 4]))
    (score,) = read_compact_results([numpy], annotations, "bbox").scores
    assert score == 0.25
    # Python writes NaN, which JSON does not have; here it is in a member that nobody reads.
    path = write([detection(logit=float("nan"))] * 2, "results.json")
    assert len(read_compact_results(path, annotations, "segm")) == 2


@RESULTS_READERS
@pytest.mark.parametrize(
    "changes, parts",
    [
        ({"image_id": 99}, ["image_id 99", "of any image"]),
        ({"image_id": 7.5}, ["image_id 7.5"]),
        ({"image_id": [7]}, ["image_id [7]"]),
        ({"category_id": 0}, ["category_id 0", "of any category", "label"]),
        ({"score": float("nan")}, ["score", "nan"]),
        ({"score": float("inf")}, ["score", "inf"]),
        ({"score": None}, ["score", "None"]),
        ({"bbox": [1, 2, float("inf"), 4]}, ["bbox", "inf"]),
        ({"bbox": [1, 2, -3, 4]}, ["bbox", "-3"]),
        ({"segmentation": [[1, 2, 11, 2]]}, ["polygons", "or an RLE", "pycocotools.mask"]),
        ({"segmentation": {"size": [40, 60], "counts": [2399]}}, ["or an RLE"]),
        ({"segmentation": {**RLE, "size": [60, 40]}}, ["[40, 60]"]),
    ],
)
def test_bad_results(annotations, write, read, changes, parts):
    results = [detection(), detection(**changes), detection()]
    parts = ["result 1: ", *parts]
    assert_refused(ResultsError, ["results", *parts], read, results, annotations)
    file = write(results, "bad.json")
    assert_refused(ResultsError, ["bad.json", *parts], read, file, annotations)


def test_results_without_the_evaluated_key(annotations, write):
    for key, iou_type in {"bbox": "bbox", "segmentation": "segm"}.items():
        results = [detection()]
        del results[0][key]
        assert read_results(results, annotations) == results
        parts = ["results", "result 0: ", f"no '{key}'"]
        assert_refused(ResultsError, parts, read_results, results, annotations, iou_type)
        assert_refused(ResultsError, parts, read_results, results, annotations, ("bbox", "segm"))
        file = write(results, "results")
        assert_refused(ResultsError, parts, read_compact_results, file, annotations, iou_type)
    with pytest.raises(ValueError, match="iou_type must be 'bbox' or 'segm', got 'box'"):
        read_results([], annotations, "box")


@RESULTS_READERS
def test_results_with_missing_keys(annotations, write, read):
    bare = {"image_id": 7, "category_id": 9, "score": 0.5}
    for key in ("image_id", "category_id", "score"):
        lacking = detection()
        del lacking[key]
        file = write([detection(), lacking], "results.json")
        parts = ["results.json", "result 1: ", f"no '{key}'"]
        assert_refused(ResultsError, parts, read, file, annotations)
    nothing = "neither 'bbox' nor" if read is read_results else "no '"
    mixed = [detection(), {**bare, "segmentation": dict(RLE)}]
    unlike = "no 'bbox'" if read is read_boxes else "for all or for none"
    for results, parts in (([bare], [nothing]), (mixed, ["result 1: ", unlike])):
        for source in (results, write(results, "results")):
            assert_refused(ResultsError, ["results", *parts], read, source, annotations)


@RESULTS_READERS
def test_results_that_are_not_a_list_of_detections(annotations, dataset, write, tmp_path, read):
    parts = ["annotations.json", "got an annotation file"]
    assert_refused(ResultsError, parts, read, write(dataset), annotations)
    assert_refused(ResultsError, ["results", "NoneType"], read, None, annotations)
    for source in ([3], write([3], "results")):
        assert_refused(ResultsError, ["results", "'image_id'"], read, source, annotations)
    truncated = tmp_path / "half.json"
    truncated.write_text('[{"image_id": 7')
    parts = ["half.json", "not valid JSON"]
    assert_refused(ResultsError, parts, read, truncated, annotations)
