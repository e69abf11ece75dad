"""Readers of annotations and results on files that hypothesis generates."""

import copy
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as run_length

from pcb.datasets import (
    AnnotationError,
    ResultsError,
    read_annotations,
    read_compact_annotations,
    read_compact_results,
    read_results,
)
from pcb.datasets.lvis.corrections import Corrections

QUICK = settings(
    deadline=None,
    derandomize=True,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=8
).filter(lambda name: name != ".." and not name.startswith("COCO_"))
HUNDREDTHS = st.integers(-2000, 9000).map(lambda value: value / 100)
COORDINATES = st.one_of(HUNDREDTHS, st.floats(-1e6, 1e6))


def subset(ids: list[int]):
    return st.lists(st.sampled_from(ids), unique=True, max_size=3)


@st.composite
def run_lengths(draw, height: int, width: int) -> dict:
    """Draw a mask of a few rectangles, with its runs as text or as integers."""
    mask = np.zeros((height, width), np.uint8, order="F")
    for _ in range(draw(st.integers(0, 3))):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        mask[top : draw(st.integers(top, height)), left : draw(st.integers(left, width))] ^= 1
    if draw(st.booleans()):
        return {"size": [height, width], "counts": run_length.encode(mask)["counts"].decode()}
    ends = np.flatnonzero(np.diff(mask.flatten("F"), prepend=0))
    counts = np.diff([0, *ends, mask.size]).tolist()
    return {"size": [height, width], "counts": counts}


@st.composite
def datasets(draw) -> dict:
    """Draw a valid annotation file."""
    image_ids = draw(st.lists(st.integers(0, 2**63 - 1), unique=True, min_size=1, max_size=4))
    category_ids = draw(st.lists(st.integers(0, 5000), unique=True, min_size=1, max_size=4))
    count = st.integers(0, 10_000)
    images = [
        {
            "id": image_id,
            draw(st.sampled_from(["file_name", "coco_url"])): draw(NAMES),
            "width": draw(st.integers(1, 90)),
            "height": draw(st.integers(1, 90)),
            "neg_category_ids": draw(subset(category_ids)),
            "not_exhaustive_category_ids": draw(subset(category_ids)),
        }
        for image_id in image_ids
    ]
    annotations = []
    ids = draw(st.lists(st.integers(1, 2**63 - 1), unique=True, min_size=1, max_size=6))
    for annotation_id in ids:
        image = draw(st.sampled_from(images))
        points = st.integers(3, 6).flatmap(
            lambda n: st.lists(COORDINATES, min_size=2 * n, max_size=2 * n)
        )
        polygons = st.lists(points, min_size=1, max_size=3)
        size = st.floats(0, 1e6)
        annotations.append(
            {
                "id": annotation_id,
                "image_id": image["id"],
                "category_id": draw(st.sampled_from(category_ids)),
                "bbox": [draw(COORDINATES), draw(COORDINATES), draw(size), draw(size)],
                "area": draw(size),
                "segmentation": draw(
                    st.one_of(polygons, run_lengths(image["height"], image["width"]))
                ),
            }
        )
    categories = [
        {
            "id": category_id,
            "name": draw(NAMES),
            "frequency": draw(st.sampled_from("rcf")),
            "image_count": draw(count),
            "instance_count": draw(count),
        }
        for category_id in category_ids
    ]
    return {"images": images, "annotations": annotations, "categories": categories}


@st.composite
def detections(draw, dataset: dict) -> list[dict]:
    """Draw valid results on a dataset, all with boxes and masks."""
    results = []
    for _ in range(draw(st.integers(1, 5))):
        image = draw(st.sampled_from(dataset["images"]))
        mask = draw(run_lengths(image["height"], image["width"]))
        if isinstance(mask["counts"], list):
            mask = run_length.frPyObjects(mask, *mask["size"])
            mask = {"size": list(mask["size"]), "counts": mask["counts"].decode()}
        size = st.floats(0, 1e6)
        results.append(
            {
                "image_id": image["id"],
                "category_id": draw(st.sampled_from(dataset["categories"]))["id"],
                "score": draw(st.floats(0, 1)),
                "bbox": [draw(COORDINATES), draw(COORDINATES), draw(size), draw(size)],
                "segmentation": mask,
            }
        )
    return results


JUNK = st.sampled_from(
    [
        *(None, True, "", "7", "\0", "\ud83d", [], {}, [[]], [None], {"counts": 5}),
        *(0, -1, 7, 2**31, 2**63, 10**400, 0.5, 1e308, float("nan"), float("inf"), -float("inf")),
        *({"size": 5, "counts": "0"}, {"size": [1, 1], "counts": None}, [["a"] * 6], [[1e300] * 6]),
        "<deep>",
    ]
)
DEEP = '"<deep>"', "[" * 20_000 + "]" * 20_000


@st.composite
def mutated(draw, content):
    """Replace or remove one value at any depth."""
    content = copy.deepcopy(content)
    node, places = content, []
    while isinstance(node, (dict, list)) and node and (not places or draw(st.integers(0, 3))):
        keys = sorted(node) if isinstance(node, dict) else range(len(node))
        places.append((node, draw(st.sampled_from(keys))))
        node = node[places[-1][1]]
    holder, key = places[-1]
    if draw(st.integers(0, 4)) == 0:
        del holder[key]
    else:
        holder[key] = draw(JUNK)
    return content


@pytest.fixture
def file(tmp_path):
    """Function that writes JSON and returns the path."""

    def write(content, name="content.json"):
        path = tmp_path / name
        path.write_text(json.dumps(content).replace(*DEEP))
        return path

    return write


def assert_same(found, compact, dataset) -> None:
    """Assert that records and arrays equal the file."""
    categories = sorted(dataset["categories"], key=lambda category: category["id"])
    assert found.images == dataset["images"] and found.annotations == dataset["annotations"]
    assert found.categories == compact.categories == categories
    assert compact.image_ids.tolist() == [image["id"] for image in dataset["images"]]
    for index, image in enumerate(dataset["images"]):
        of_image = [a for a in dataset["annotations"] if a["image_id"] == image["id"]]
        rows = compact.instances_of(index)
        assert compact.image_sizes[index].tolist() == [image["width"], image["height"]]
        assert compact.boxes[rows].tolist() == [a["bbox"] for a in of_image]
        assert compact.areas[rows].tolist() == [a["area"] for a in of_image]
        assert compact.masks_of(index) == [a.get("segmentation", []) for a in of_image]
        labels = [found.label_of[a["category_id"]] for a in of_image]
        assert compact.labels[rows].tolist() == labels


@pytest.mark.slow
@QUICK
@given(dataset=datasets())
def test_both_readers_equal_a_valid_file(file, dataset):
    path = file(dataset)
    assert_same(read_annotations(path), read_compact_annotations(path), dataset)


@pytest.mark.slow
@settings(QUICK, max_examples=100)
@given(dataset=datasets().flatmap(mutated))
def test_one_wrong_value_is_an_annotation_error_or_read_by_its_meaning(file, dataset):
    path = file(dataset)
    try:
        found = read_annotations(path)
    except AnnotationError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017 (it may not be raised)
        with pytest.raises(AnnotationError):
            read_compact_annotations(path)
    else:
        correct = Corrections().correct
        images = [correct("image", image) for image in dataset["images"]]
        image_of = {image["id"]: image for image in images}
        meant = {
            "images": images,
            "annotations": [correct("annotation", a, image_of) for a in dataset["annotations"]],
            "categories": [correct("category", one) for one in dataset["categories"]],
        }
        ids = [annotation["id"] for annotation in meant["annotations"]]
        if 0 in ids or len(set(ids)) < len(ids):
            for number, annotation in enumerate(meant["annotations"], start=1):
                annotation["id"] = number
        assert_same(found, read_compact_annotations(path), meant)


@QUICK
@given(pair=datasets().flatmap(lambda d: st.tuples(st.just(d), detections(d))))
def test_both_readers_equal_valid_results(file, pair):
    dataset, results = pair
    annotations, path = read_annotations(file(dataset)), file(results, "results.json")
    assert read_results(path, annotations, ("bbox", "segm")) == results
    boxes, masks = (read_compact_results(path, annotations, kind) for kind in ("bbox", "segm"))
    for compact in (boxes, masks):
        ids = [annotations.images[index]["id"] for index in compact.images]
        assert ids == [result["image_id"] for result in results]
        labels = [annotations.label_of[result["category_id"]] for result in results]
        assert compact.labels.tolist() == labels
        assert compact.scores.tolist() == [result["score"] for result in results]
    assert boxes.boxes.tolist() == [result["bbox"] for result in results]
    assert masks.masks == [result["segmentation"] for result in results]


@pytest.mark.slow
@settings(QUICK, max_examples=100)
@given(pair=datasets().flatmap(lambda d: st.tuples(st.just(d), detections(d).flatmap(mutated))))
def test_one_wrong_value_is_a_results_error_or_read_unchanged(file, pair):
    dataset, results = pair
    annotations, path = read_annotations(file(dataset)), file(results, "results.json")
    for iou_type in ("bbox", "segm"):
        try:
            found = read_results(path, annotations, iou_type)
        except ResultsError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017 (it may not be raised)
            found = None
        try:
            compact = read_compact_results(path, annotations, iou_type)
        except ResultsError:
            # The runs of masks are checked only if masks are read.
            assert found is None
        else:
            assert iou_type == "bbox" or found is not None
            if found is not None:
                assert compact.scores.tolist() == [result["score"] for result in found]
