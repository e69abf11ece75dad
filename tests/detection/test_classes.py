"""The names and ids of a detector's classes, from its checkpoint and from annotations."""

import json

import pytest

from pcb.detection.classes import detector_classes

HOT_DOG = [{"id": 12, "name": "hot_dog"}, {"id": 40, "name": "yak"}]


@pytest.fixture
def annotations(tmp_path):
    """An image list without annotations, with category ids 12 and 40."""
    path = tmp_path / "val.json"
    image = {"id": 1, "file_name": "1.png", "width": 8, "height": 8}
    path.write_text(json.dumps({"images": [image], "categories": HOT_DOG[::-1]}))
    return path


def checkpoint(*names):
    return {"meta": {"CLASSES": names}} if names else {"meta": {}}


def test_names_from_the_checkpoint_and_ids_from_annotations(annotations):
    found = detector_classes(2, checkpoint("hot dog", "yak"), annotations)
    assert found.names == ["hot dog", "yak"] and found.category_ids == [12, 40]
    assert found.source == f"class names from the checkpoint, category ids from {annotations}"


@pytest.mark.parametrize("names", [(), ("one", "too", "many"), (1, 2)])
def test_names_from_annotations(names, annotations):
    found = detector_classes(2, checkpoint(*names), annotations)
    assert found.names == ["hot_dog", "yak"] and found.category_ids == [12, 40]
    assert found.source == f"class names and category ids from {annotations}"


def test_annotations_with_other_classes_are_not_used_and_this_is_said(annotations):
    found = detector_classes(2, checkpoint("hot dog", "fox"), annotations)
    assert found.names == ["hot dog", "fox"] and found.category_ids == [1, 2]
    assert "because class 2 is 'yak' in" in found.source
    found = detector_classes(1, checkpoint("fox"), annotations)
    assert found.category_ids == [1] and "has 2 classes, but the detector has 1" in found.source


def test_unknown_names_are_refused_with_a_remedy(annotations, tmp_path):
    for source in (None, tmp_path / "missing.json"):
        with pytest.raises(ValueError, match=r"names are unknown: .*; set data.val.ann_file"):
            detector_classes(2, checkpoint(), source)
    with pytest.raises(ValueError, match=r"no class names, and .* has 2 classes, but .* has 3"):
        detector_classes(3, checkpoint(), annotations)


def test_required_categories_must_be_those_of_the_detector():
    found = detector_classes(2, checkpoint(), None, HOT_DOG)
    assert found.category_ids == [12, 40]
    with pytest.raises(ValueError, match="class 1 is 'hot dog' in the image list, but 'cat'"):
        detector_classes(2, checkpoint("cat", "yak"), None, HOT_DOG)
    with pytest.raises(ValueError, match="choose a list with the classes of the detector"):
        detector_classes(3, checkpoint(), None, HOT_DOG)
