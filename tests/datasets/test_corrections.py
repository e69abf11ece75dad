"""Annotations as tools export them: what has one meaning is read, all else is reported at once."""

import json
from functools import partial

import pytest

from pcb.datasets import AnnotationError, read_annotations, read_compact_annotations
from pcb.datasets.lvis.ids import text_id
from pcb.evaluation import evaluate
from tests.support.inputs import RIGHT, SQUARE, detections, truth

READERS = pytest.mark.parametrize("read", [read_annotations, read_compact_annotations])


def text_ids(content):
    for category in content["categories"]:
        category["id"] = str(category["id"])
    for image in content["images"]:
        image["id"] = float(image["id"])
        image["neg_category_ids"] = [str(value) for value in image["neg_category_ids"]]
    for annotation in content["annotations"]:
        annotation |= {"category_id": f" {annotation['category_id']}.0 ", "image_id": "1"}
    for number, annotation in enumerate(content["annotations"], start=1):
        annotation["image_id"] = str(number)


def named(kind, number):
    """Text that some tools write as an id."""
    return f"{kind}-{number}e5"


def uuids(content):
    """Replace every id by text, also where other records refer to it."""
    for image in content["images"]:
        image["id"] = named("image", image["id"])
        image["neg_category_ids"] = [named("class", n) for n in image["neg_category_ids"]]
    for category in content["categories"]:
        category["id"] = named("class", category["id"])
    for annotation in content["annotations"]:
        annotation["id"] = "9" * 24 + str(annotation["id"])  # digits, but no number of 64 bits
        annotation["image_id"] = named("image", annotation["image_id"])
        annotation["category_id"] = named("class", annotation["category_id"])
    return content


def each(part, **values):
    """Function that sets values in each record; the value ``...`` removes the key."""

    def change(content):
        for record in content[part]:
            for key, value in values.items():
                record.pop(key, None) if value is ... else record.update({key: value})

    return change


CORRECTED = {
    "ids as text": (
        text_ids,
        "'category_id' is not an integer but could be converted: 4 of 4 annotations",
    ),
    "sizes as decimal numbers": (each("images", width=60.0, height="40"), "'height' is not an"),
    "no area": (each("annotations", area=...), "'area' is missing and was computed from the mask"),
    "area of null": (each("annotations", area=None), "computed from the mask: 4 of 4 annotations"),
    "area as text": (each("annotations", area="400.0"), "'area' is text that was converted"),
    "no box": (each("annotations", bbox=...), "'bbox' is missing and was computed from the mask"),
    "a box of text": (each("annotations", bbox=["10", 10, "20.0", 20]), "'bbox' contains text"),
    "a box of text alone": (
        each("annotations", bbox=["10", 10, "20.0", 20], area=..., segmentation=...),
        "'area' is missing and was computed from the box: 4 of 4 annotations",
    ),
    "no mask and no area": (
        each("annotations", segmentation=[], area=...),
        "'area' is missing and was computed from the box",
    ),
    "null for no crowd": (each("annotations", iscrowd=None, ignore=None), ""),
    "backslashes": (
        each("images", file_name="images\\1.png"),
        "file names contain backslashes, which are read as slashes: 4 of 4 images",
    ),
    "values that nobody reads": (
        lambda content: content.update(
            info=None,
            licenses=5,
            images=[image | {"date_captured": 0, "license": {}} for image in content["images"]],
        ),
        "",
    ),
}


@READERS
@pytest.mark.parametrize("name", CORRECTED)
def test_values_with_one_meaning_are_read(tmp_path, caplog, read, name):
    change, note = CORRECTED[name]
    content = truth()
    change(content)
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(content))
    annotations = read(path)
    if read is read_annotations:
        logged = caplog.messages
        assert annotations.info == {} and annotations.licenses == []
        assert annotations.annotations[0]["bbox"] == SQUARE
        metrics = evaluate(annotations, detections(), "bbox")["bbox"]
        assert metrics["AP"] == pytest.approx(RIGHT)
    else:
        logged = annotations.warnings
        assert annotations.boxes[0].tolist() == SQUARE and annotations.areas[0] == 400
        assert annotations.labels.tolist() == [0, 0, 1, 2]
    assert sum(note in text for text in logged) == 1 if note else not logged


@pytest.fixture
def write(tmp_path):
    """Function that writes JSON and returns the path."""

    def write(content, name="gt.json"):
        (tmp_path / name).write_text(json.dumps(content))
        return tmp_path / name

    return write


@pytest.mark.parametrize("backend", ["fast", "lvis"])
@pytest.mark.parametrize("image_name", [partial(named, "image"), "val/{}.png".format, str])
def test_ids_that_are_text_connect_annotations_and_results(write, caplog, backend, image_name):
    annotations = read_annotations(write(uuids(truth())))
    for key, part in (
        *((key, "4 of 4 annotations") for key in ("id", "image_id", "category_id")),
        ("id", "4 of 4 images"),
        ("id", "3 of 3 categories"),
    ):
        note = f"{key!r} is text and was replaced by a number: {part}"
        assert sum(note in text for text in caplog.messages) == 1
    results = [
        r | {"image_id": image_name(r["image_id"]), "category_id": named("class", r["category_id"])}
        for r in detections()
    ]
    metrics = evaluate(annotations, write(results, "results.json"), "bbox", backend)["bbox"]
    assert metrics["AP"] == pytest.approx(RIGHT)
    assert "category_id of 12 of 12 detections was text and was read as an id" in caplog.text
    absent = [text_id(named("class", n)) for n in (2, 3)]
    assert annotations.images[0]["neg_category_ids"] == absent


def test_text_has_the_same_number_in_every_file(write):
    content = uuids(truth())
    both = [read_compact_annotations(write(content))]
    for part in ("images", "annotations", "categories"):
        content[part].reverse()
    both.append(read_compact_annotations(write(content, "reversed.json")))
    assert both[0].categories == both[1].categories and len(set(both[0].category_ids)) == 3
    assert set(both[0].image_ids) == set(both[1].image_ids)


@READERS
@pytest.mark.parametrize(
    "part, key, value, message",
    [
        ("annotations", "image_id", "image-9e5", "no image of the annotation file has this id"),
        ("annotations", "category_id", "class-9e5", "no category of the annotation file has this"),
        ("images", "id", "image-2e5", "image id image-2e5 occurs 2 times"),
        ("images", "id", "  ", "image '  ': id must be a non-negative integer or text"),
        ("images", "width", 0, "image 'image-1e5': width and height must be integers"),
        ("images", "neg_category_ids", ..., "image image-2e5 has no 'neg_category_ids'"),
        ("annotations", "segmentation", {"size": [40, 60], "counts": "P0o"}, "annotation 99999999"),
    ],
)
def test_faults_name_ids_as_the_file_states_them(write, read, part, key, value, message):
    content = uuids(truth())
    if value is ...:
        del content[part][1][key]
    else:
        content[part][0][key] = value
    with pytest.raises(AnnotationError, match=message) as error:
        read(write(content))
    if part == "images" and key == "width":  # the annotation of this image has no fault of its own
        assert "annotation " not in str(error.value)


def test_equal_numbers_as_different_text_are_refused(write):
    content = truth()
    content["images"][0]["id"], content["images"][1]["id"] = "007", "7.0"
    content["annotations"] = content["annotations"][2:]
    with pytest.raises(AnnotationError, match="image id 7 occurs 2 times"):
        read_annotations(write(content))


def test_paths_with_backslashes_lead_to_the_images(tmp_path):
    (tmp_path / "images").mkdir()
    content = truth()
    for image in content["images"]:
        image["file_name"] = f"images\\{image['id']}.png"
        (tmp_path / "images" / f"{image['id']}.png").touch()
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(content))
    assert len(read_annotations(path, tmp_path).images) == 4
    (tmp_path / "images" / "2.png").rename(tmp_path / "2.PNG")
    message = r"lacks 1 of 4 images \(images/2.png; it contains 2.PNG\)"
    with pytest.raises(AnnotationError, match=message):
        read_annotations(path, tmp_path)


@READERS
def test_all_faults_of_a_file_are_reported_at_once(tmp_path, read):
    content = truth()
    content["images"][0]["width"] = 0
    for annotation in content["annotations"]:
        annotation["segmentation"] = annotation["segmentation"][0]  # one flat list
    content["annotations"][3]["bbox"] = [1, 2, 3]
    content["categories"][2]["name"] = ""
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(content))
    with pytest.raises(AnnotationError) as error:
        read(path)
    message = str(error.value)
    assert message.startswith(f"{path}: 3 faults: (1) category 3: name must be")
    assert "(2) image 1: width and height" in message
    # Annotations 1 and 4 belong to the faulty image and to the faulty category.
    assert "(3) annotation 2: segmentation must be a list of polygons" in message
    assert "(also in 1 other annotation: 3)" in message


@READERS
def test_text_of_bytes_is_named(tmp_path, read):
    content = truth()
    for annotation in content["annotations"]:
        annotation["segmentation"] = {"size": [40, 60], "counts": "b'P[2'"}
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match=r"text of a Python bytes object.*3 other annot"):
        read(path)


def test_damaged_run_lengths_are_not_decoded_to_compute_an_area(tmp_path):
    """pycocotools would loop for ever over a negative run."""
    content = truth()
    del content["annotations"][0]["area"]
    content["annotations"][0]["segmentation"] = {"size": [40, 60], "counts": "P0o"}
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match="annotation 1: no 'area'"):
        read_annotations(path)


@READERS
def test_a_file_without_annotations(tmp_path, read):
    content = truth()
    del content["annotations"]
    path = tmp_path / "test-dev.json"
    path.write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match="no list 'annotations'"):
        read(path)
    assert len(read(path, may_lack_annotations=True).class_names) == 3
