"""LVIS and COCO, odd ids, names and boxes: the numbers are right, and the log reports oddities."""

import json
import logging

import numpy as np
import pytest
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pcb.cli import main as cli
from pcb.datasets import (
    AnnotationError,
    read_annotations,
    read_compact_annotations,
    read_compact_results,
    read_results,
)
from pcb.datasets.lvis.boxes import box_warning
from pcb.evaluation import count_detections, evaluate, per_class_ap
from tests.support.inputs import POLYGON, RIGHT, as_corners, detections, plain_coco, truth

CONFUSION = [[2, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [2, 3, 3, 0]]  # score 0.3, IoU 0.5
BACKENDS = pytest.mark.parametrize("backend", ["fast", "lvis"])


@pytest.fixture
def write(tmp_path):
    """Function that writes JSON and returns its path as text."""

    def write(content, name="gt.json") -> str:
        (tmp_path / name).write_text(json.dumps(content))
        return str(tmp_path / name)

    return write


def lines(caplog, *words: str) -> list[str]:
    """Return the log lines that contain all words."""
    return [r.getMessage() for r in caplog.records if all(w in r.getMessage() for w in words)]


def coco_ap(content: dict, results: list[dict], iou_type: str) -> tuple[float, np.ndarray]:
    """Return the AP of COCO's own evaluation, and that of each class."""
    ground_truth = COCO()
    ground_truth.dataset = content
    ground_truth.createIndex()
    evaluation = COCOeval(ground_truth, ground_truth.loadRes(results), iou_type)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, -1].mean(axis=(0, 1))
    return evaluation.stats[0], np.where(precision < 0, np.nan, precision)


@BACKENDS
@pytest.mark.parametrize("empty", [True, False])
def test_exhaustive_data_is_evaluated_as_by_coco(write, caplog, backend, empty):
    content = truth(neg_category_ids=[]) if empty else plain_coco()
    caplog.set_level(logging.INFO, logger="pcb")
    annotations = read_annotations(write(content))
    assert not annotations.federated
    assert len(lines(caplog, "every class", "evaluated in every image")) == 1
    metrics = evaluate(annotations, detections(), "bbox", backend)["bbox"]
    assert metrics["AP"] == pytest.approx(RIGHT)
    assert np.isnan(metrics["APr"]) != empty
    assert len(lines(caplog, "APr, APc and APf are n/a")) == (not empty)
    counts = count_detections(annotations, detections())
    np.testing.assert_array_equal(counts.confusion, CONFUSION)
    assert not counts.left_out.any() and not lines(caplog, "do not count")


@BACKENDS
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize("seed", range(3))
def test_ap_of_exhaustive_data_is_cocos(make_lvis, write, backend, iou_type, seed):
    content, results = make_lvis(seed)
    for image in content["images"]:
        image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 0
    annotations = read_annotations(write(content))
    ap, by_class = coco_ap(content, [dict(result) for result in results], iou_type)
    ours = evaluate(annotations, results, iou_type, backend)[iou_type]["AP"]
    assert 0 < ours == pytest.approx(ap, abs=1e-9)
    federated = evaluate(annotations, results, iou_type, backend, federated=True)[iou_type]["AP"]
    assert federated > ap + 0.01
    np.testing.assert_allclose(per_class_ap(annotations, results, iou_type), by_class, atol=1e-9)


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize("seed", range(3))
def test_ap_with_crowds_is_cocos(make_lvis, write, caplog, iou_type, seed):
    content, results = make_lvis(seed, images=12)
    for image in content["images"]:
        del image["neg_category_ids"], image["not_exhaustive_category_ids"]
    for number, annotation in enumerate(content["annotations"]):
        annotation["iscrowd"] = int(number % 5 == 0)
    path = write(content)  # before COCO's tools add to the content
    annotations = read_annotations(path, crowds="ignore")
    assert lines(caplog, "read as regions to ignore", "(iscrowd)")
    ap, by_class = coco_ap(content, [dict(result) for result in results], iou_type)
    ours = evaluate(annotations, results, iou_type)[iou_type]["AP"]
    assert 0 < ours == pytest.approx(ap, abs=1e-9)
    np.testing.assert_allclose(per_class_ap(annotations, results, iou_type), by_class, atol=1e-9)
    without = read_annotations(path, crowds="ignore")
    without.crowds.clear()
    assert evaluate(without, results, iou_type)[iou_type]["AP"] != pytest.approx(ap, abs=1e-4)
    with pytest.raises(ValueError, match=r"crowd regions, which the lvis.* package does not"):
        evaluate(annotations, results, iou_type, "lvis")


def crowded() -> dict:
    """The usual annotations with a crowd of foxes that covers the right half of image 3."""
    content = truth()
    crowd = {
        "bbox": [30, 0, 30, 40],
        "area": 1200,
        "iscrowd": 1,
        "segmentation": [[30, 0, 60, 0, 60, 40, 30, 40]],
    }
    content["annotations"].append({"id": 9, "image_id": 3, "category_id": 1, **crowd})
    return content


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_confusion_leaves_out_detections_in_crowds(write, caplog, iou_type):
    caplog.set_level(logging.INFO, logger="pcb")
    found = detections()  # in image 3, a fox and a dog are detected in the crowd of foxes
    if iou_type == "segm":
        for result in found:
            x, y, width, height = result.pop("bbox")
            box = [x, y, x + width, y, x + width, y + height, x, y + height]
            encoded = mask.merge(mask.frPyObjects([box], 40, 60))
            result["segmentation"] = {**encoded, "counts": encoded["counts"].decode()}
    path = write(crowded())
    counts = count_detections(read_annotations(path, crowds="ignore"), found, iou_type)
    one_fewer = np.array(CONFUSION)
    one_fewer[-1, 0] -= 1
    np.testing.assert_array_equal(counts.confusion, one_fewer)
    assert counts.left_out.tolist() == [1, 0, 0]
    assert lines(caplog, "unmatched detections in crowd regions: 1")
    as_objects = count_detections(read_annotations(path, crowds="objects"), found, iou_type)
    assert as_objects.confusion[0].sum() == 3 and not as_objects.left_out.any()


def test_most_annotations_marked_as_crowds_are_asked_about(write):
    content = truth()
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    path = write(content)
    for read in (read_annotations, read_compact_annotations):
        with pytest.raises(AnnotationError, match=r"4 of 4 annotations .* --crowds objects"):
            read(path)
        with pytest.raises(ValueError, match="crowds must be 'ignore' or 'objects', got 'keep'"):
            read(path, crowds="keep")
    annotations = read_annotations(path, crowds="objects")
    assert evaluate(annotations, detections(), "bbox")["bbox"]["AP"] == pytest.approx(RIGHT)
    assert not read_annotations(path, crowds="ignore").annotations
    compact = read_compact_annotations(path, crowds="ignore")
    assert len(compact.labels) == 0 and "regions to ignore: 4 of 4" in compact.warnings[0]


def test_detections_that_coco_would_leave_out_are_reported(write, caplog):
    caplog.set_level(logging.INFO, logger="pcb")
    path, results = write(plain_coco()), detections() + detections()[:1] * 102
    evaluate(path, results, "bbox")
    assert lines(caplog, "100 with the highest scores per class and image (here 3)")
    caplog.clear()
    evaluate(path, results[:-3], "bbox")
    assert not lines(caplog, "100 with the highest scores per class and image")


@BACKENDS
def test_unneeded_members_do_not_matter(write, backend):
    """Lone surrogates in a name, text where COCO has numbers, additional members."""
    content, results, half = truth(), detections(), "\ud800"
    content["categories"][0] |= {"name": half, "synonyms": [half], "supercategory": 5}
    content["images"][0] |= {"file_name": f"{half}.png", "license": "CC", "flickr_url": half}
    content["annotations"][0] |= {"attributes": {half: half}, "score": "high", "iscrowd": False}
    content |= {"info": {"description": half}, "licenses": [{"id": "x", "name": half}]}
    results[0] |= {"id": "first", "area": "large", "note": half}
    path = write(content)
    for given in (results, write(results, "results.json")):
        ap = evaluate(path, given, "bbox", backend)["bbox"]["AP"]
        assert ap == pytest.approx(RIGHT)
        assert per_class_ap(path, given, "bbox").mean() == pytest.approx(RIGHT)


def test_every_metric_rejects_boxes_that_overflow(write):
    results = detections()
    results[0]["bbox"] = [1e308, 1e308, 1e308, 4]
    for given in (results, write(results, "results.json")):
        for metric in (evaluate, count_detections):
            with pytest.raises(ValueError, match="with finite numbers"):
                metric(write(truth()), given, "bbox")


def test_lvis_is_federated_and_unjudged_detections_are_reported(write, caplog):
    caplog.set_level(logging.INFO, logger="pcb")
    content = truth()
    content["images"][0]["neg_category_ids"] = [2]
    annotations = read_annotations(write(content))
    assert annotations.federated and not caplog.records
    assert evaluate(annotations, detections(), "bbox")["bbox"]["AP"] > RIGHT
    (line,) = caplog.records
    assert line.levelno == logging.INFO
    assert "do not count" in line.getMessage()
    assert "(1 of 12 detections, 8%)" in line.getMessage()


@BACKENDS
def test_a_warning_if_most_detections_do_not_count(write, caplog, backend):
    path = write(truth(neg_category_ids=[]))
    metrics = evaluate(path, detections(), "bbox", backend, federated=True)["bbox"]
    assert metrics["AP"] == pytest.approx(1)
    assert lines(caplog, "do not count", "(8 of 12 detections, 67%)", "--exhaustive")
    caplog.clear()
    annotations = read_annotations(path, federated=True)
    assert count_detections(annotations, detections()).left_out.tolist() == [2, 3, 3]
    assert len(lines(caplog, "8 of 12 detections", "the matrix leaves out", "--exhaustive")) == 1
    for _ in range(2):  # logged once
        evaluate(annotations, detections(), "bbox", backend)
    assert len(lines(caplog, "8 of 12 detections", "do not count", "--exhaustive")) == 1


def test_both_commands_obey_the_options(write, capsys):
    path, results = write(truth(neg_category_ids=[])), write(detections(), "results.json")
    words = {"evaluate": "do not count", "confusion": "the matrix leaves out"}
    for command, word in words.items():
        assert cli.main([command, path, results]) == 0
        said = capsys.readouterr()
        assert "every class is evaluated" in said.err and word not in said.err
        assert ("33.3" in said.out) == (command == "evaluate")
        assert cli.main([command, path, results, "--exhaustive"]) == 0
        assert capsys.readouterr() == (said.out, "")
        assert cli.main([command, path, results, "--federated"]) == 0
        error = capsys.readouterr().err
        assert word in error and "(8 of 12 detections, 67%)" in error
    coco = write(plain_coco(), "coco.json")
    for command in ("evaluate", "confusion"):
        assert cli.main([command, coco, results]) == 0
        assert "in COCO format" in capsys.readouterr().err
        assert cli.main([command, coco, results, "--federated"]) == 2
        assert "no image has 'neg_category_ids'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["evaluate", path, results, "--federated", "--exhaustive"])
    capsys.readouterr()


def test_federated_can_change_after_reading(write):
    lvis, coco = read_annotations(write(truth())), read_annotations(write(plain_coco(), "c.json"))
    assert lvis.as_federated(None) is lvis and not lvis.as_federated(False).federated
    assert evaluate(lvis, detections(), "bbox", federated=False)["bbox"]["AP"] == RIGHT
    with pytest.raises(AnnotationError, match="no image has 'neg_category_ids'"):
        evaluate(coco, detections(), "bbox", federated=True)


def test_groups_follow_from_training_counts(write):
    content = plain_coco()
    for category, count in zip(content["categories"], (101, 10, 100), strict=True):
        category["image_count"] = count
    annotations = read_annotations(write(content))
    assert annotations.frequency == ["f", "r", "c"]
    stated = evaluate(truth_file := write(truth(), "lvis.json"), detections(), "bbox")["bbox"]
    metrics = evaluate(annotations, detections(), "bbox")["bbox"]
    assert metrics["APr"] == stated["APr"] and metrics["APf"] == stated["APf"]
    bare = read_annotations(write(plain_coco()))
    with pytest.raises(ValueError, match="have no 'image_count'"):
        _ = bare.frequency
    training = read_annotations(truth_file)
    assert bare.with_counts_of(training).image_count.tolist() == [2, 1, 1]
    for category, number in zip(training.categories, (1, 2, 7), strict=True):
        category["id"] = number
    with pytest.raises(AnnotationError, match=r"lacks 1 of the 3 .*the first id is 3"):
        bare.with_counts_of(
            read_annotations(
                write(
                    {
                        **training.to_dict(),
                        "annotations": [
                            record for record in training.annotations if record["category_id"] != 3
                        ],
                    },
                    "other.json",
                )
            )
        )


@pytest.mark.parametrize("train", [None, ["a", "b"], {"ann_file": "absent.json"}, {"ann_file": []}])
def test_without_training_counts_there_are_no_groups(write, caplog, train):
    from pcb.study.data import read_validation

    path = write(plain_coco())
    annotations = read_validation({"val": {"ann_file": path}, "train": train})
    assert not annotations.has_counts and lines(caplog, path, "no frequency groups")


def test_boxes_of_area_0_are_reported(write, caplog):
    flat = [{**record, "bbox": [5, 5, 0, 10]} for record in detections()[:2]]
    evaluate(write(truth()), [*flat, *detections()[2:]], "bbox")
    assert lines(caplog, "AP leaves out detections whose box has area 0: 2 of 12")
    masked = [
        {**record, "segmentation": [[5, 5, 9, 5, 9, 9]]} for record in [*flat, *detections()[2:]]
    ]
    evaluate(write(truth()), masked, "segm")
    assert lines(caplog, "AP leaves out detections whose box has area 0, also for masks: 2 of 12")


def test_names_in_lists_of_absent_classes_are_refused(write):
    """A name that stood for no class would make detections of absent classes count for nothing."""
    with pytest.raises(AnnotationError, match=r"neg_category_ids must be a list of category ids"):
        evaluate(write(truth(neg_category_ids=["wolf", "dog"])), detections(), "bbox")


def test_scores_above_1_are_reported(write, caplog):
    percent = [{**record, "score": 100 * record["score"]} for record in detections()]
    plain = evaluate(write(truth()), detections(), "bbox")
    assert not lines(caplog, "above 1")
    np.testing.assert_equal(evaluate(write(truth()), percent, "bbox"), plain)
    count_detections(write(truth()), percent)
    assert len(lines(caplog, "12 of 12 scores are above 1 (up to")) == 2


def test_images_that_list_only_incomplete_classes_are_federated(write):
    content = truth(not_exhaustive_category_ids=[1])
    for image in content["images"]:
        del image["neg_category_ids"]
    path = write(content)
    assert read_annotations(path).federated and read_annotations(path, federated=True).federated


@pytest.mark.parametrize("part, key", [("images", "neg_category_ids"), ("categories", "frequency")])
@pytest.mark.parametrize("read", [read_annotations, read_compact_annotations])
def test_all_records_or_none_must_have_a_key(write, part, key, read):
    content = truth()
    del content[part][1][key]
    with pytest.raises(AnnotationError, match=f"2 has no '{key}', although another"):
        read(write(content))


@BACKENDS
@pytest.mark.parametrize(
    "ids, said",
    [
        ([0, 1, 2, 3], "an id is 0"),
        ([1, 1, 1, 1], "4 of 4 annotations"),
        ([0, 7, 0, 8], "2 of 4 annotations"),
    ],
)
def test_odd_annotation_ids_lose_no_match(write, caplog, backend, ids, said):
    content = truth()
    for annotation, number in zip(content["annotations"], ids, strict=True):
        annotation["id"] = number
    path = write(content)
    metrics = evaluate(path, detections(), "bbox", backend)["bbox"]
    assert metrics["AP"] == pytest.approx(RIGHT) and metrics["AR@300"] == 1
    assert len(lines(caplog, path, "annotation ids are renumbered", said)) == 1
    np.testing.assert_array_equal(count_detections(path, detections()).confusion, CONFUSION)
    assert len(read_compact_annotations(path).labels) == 4


def test_area_of_0_is_reported(write, caplog):
    content = truth()
    content["annotations"][0]["area"] = 0
    evaluate(write(content), detections(), "bbox")
    assert len(lines(caplog, "AP leaves out annotations with area 0 (1 of 4)")) == 1


def test_detections_beyond_the_limit_are_counted(write, caplog):
    caplog.set_level(logging.INFO, logger="pcb")
    evaluate(write(truth()), detections() * 101, "bbox")
    assert lines(caplog, "only the 300 detections with", "(detections that do not count: 12)")


def test_no_detections_are_reported(write, caplog):
    annotations = read_annotations(write(truth()))
    assert evaluate(annotations, [], "bbox")["bbox"]["AP"] == 0
    assert len(lines(caplog, "there are no detections")) == 1
    count_detections(annotations, detections(), score_threshold=2)
    assert lines(caplog, "no detection has a score of at least 2 (number of detections: 12)")


@pytest.mark.parametrize("second", ["fish", "fi_sh"])
def test_two_classes_with_one_name_stay_separate(write, caplog, capsys, tmp_path, second):
    content = truth()
    first = second.replace("_", " ")
    content["categories"][0]["name"], content["categories"][1]["name"] = first, second
    path, results = write(content), write(detections(), "results.json")
    annotations = read_annotations(path)
    names = [f"{first} (1)", f"{second} (2)", "dog"]
    assert annotations.class_names == names
    assert len(lines(caplog, path, f"share a name: '{first}'", "added to their names")) == 1
    compact = read_compact_annotations(path)
    assert compact.class_names == names and len(compact.warnings) == 1
    assert cli.main(["confusion", path, results, "--out", str(tmp_path / "matrix.csv")]) == 0
    rows = (tmp_path / "matrix.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == [*names, "background"]

    from pcb.study.data import DataView

    data = DataView(annotations, tmp_path)
    assert len(set(data.names)) == 3
    assert data.labels(data.names) == [0, 1, 2]
    with pytest.raises(ValueError, match=f"2 classes are called '{first}': use"):
        data.labels([first])


@pytest.mark.parametrize("door", ["evaluate", "confusion"])
def test_results_as_corners_are_reported(write, capsys, door):
    path, results = write(truth()), write(as_corners(detections()), "results.json")
    assert cli.main([door, path, results]) == 0
    error = capsys.readouterr().err
    assert (
        error.count("boxes extend beyond their images (8 of 12 boxes) and look like corners") == 1
    )
    assert cli.main([door, path, write(detections(), "good.json")]) == 0
    assert "boxes" not in capsys.readouterr().err


@pytest.mark.parametrize("door", ["evaluate", "confusion"])
def test_results_as_fractions_are_reported(write, capsys, door):
    shares = [
        {**d, "bbox": (np.divide(d["bbox"], [60, 40, 60, 40])).tolist()} for d in detections()
    ]
    assert cli.main([door, write(truth()), write(shares, "results.json")]) == 0
    assert "every box lies within the first pixel" in capsys.readouterr().err


@pytest.mark.parametrize("masks", [True, False])
def test_annotations_as_corners_are_reported(write, caplog, masks):
    content = truth()
    # In the second case the boxes fit into their images as corners, too: only masks reveal it.
    where = 0 if masks else 20
    for annotation in content["annotations"]:
        annotation["bbox"] = [10 + where, 10, 20, 20]
        annotation["segmentation"] = [[v + where * (i % 2 == 0) for i, v in enumerate(POLYGON)]]
    assert not read_compact_annotations(write(content)).warnings
    content["annotations"] = as_corners(content["annotations"])
    path = write(content)
    read_annotations(path)
    (line,) = lines(caplog, path, "look like corners x1, y1, x2, y2")
    assert ("compared with their masks" in line) == masks
    (warning,) = read_compact_annotations(path).warnings
    assert warning in line


@pytest.mark.parametrize("seed", range(5))
def test_boxes_that_leave_their_image_a_little_are_accepted(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(100, 700, (400, 2)).astype(float)
    start, end = np.sort(rng.uniform(-0.04, 1.04, (2, 400, 2)), axis=0) * sizes
    boxes = np.hstack([start, end - start])
    assert box_warning(boxes, sizes) is None
    assert "look like corners" in box_warning(np.hstack([start.clip(0), end]), sizes)
    assert "fractions" in box_warning(boxes.clip(0) / np.hstack([sizes, sizes]), sizes)
    assert "before it is resized" in box_warning(boxes * 3, sizes)
    assert box_warning(boxes[:0], sizes[:0]) is None


def test_real_boxes_give_no_warning(tiny_openmoji, caplog):
    path = tiny_openmoji / "annotations" / "train.json"
    annotations = read_annotations(path)
    results = [{**r, "score": 0.5} for r in annotations.annotations]
    read_results(results, annotations)
    read_compact_results(results, annotations, "bbox")
    assert annotations.federated and not caplog.records
    assert not read_compact_annotations(path).warnings


@BACKENDS
def test_text_and_other_members_do_not_change_the_numbers(write, caplog, backend):
    """What other programs export is read, and members that no evaluation needs are ignored."""
    extra = {"date_captured": 0, "attributes": {"seen": [None, {"by": 1}]}, "segmentation": None}
    results = [
        {**r, **extra, "image_id": f"val/{r['image_id']}.png", "score": str(r["score"])}
        for r in detections()
    ]
    path = write(truth())
    for given in (results, write(results, "results.json")):
        annotations = read_annotations(path)
        metrics = evaluate(annotations, given, "bbox", backend)
        assert metrics["bbox"]["AP"] == pytest.approx(RIGHT)
        np.testing.assert_array_equal(count_detections(annotations, given).confusion, CONFUSION)
        source = given if isinstance(given, str) else "results"
        said = f"{source}: image_id of 12 of 12 detections was text and was read as a file name"
        assert lines(caplog, "image_id")[-1:] == [said]
    assert len(lines(caplog, "image_id")) == 2  # one line for each annotations object


def with_masks(results: list[dict]) -> list[dict]:
    """Add a polygon with the corners of the box to each detection."""
    corners = [(x, y, x + w, y + h) for x, y, w, h in (result["bbox"] for result in results)]
    return [
        {**result, "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]]}
        for result, (x1, y1, x2, y2) in zip(results, corners, strict=True)
    ]


@BACKENDS
@pytest.mark.parametrize("null_box", [True, False])
def test_masks_without_boxes_need_no_option(write, capsys, backend, null_box):
    results = [{**result, "bbox": None} for result in with_masks(detections())]
    if not null_box:
        for result in results:
            del result["bbox"]
    path, file = write(truth()), write(results, "results.json")
    assert list(evaluate(path, file, None, backend)) == ["segm"]
    assert cli.main(["evaluate", path, file, "--backend", backend]) == 0
    assert cli.main(["confusion", path, file]) == 0
    said = capsys.readouterr()
    assert "right class 4" in said.out
    assert "detections are matched by their masks (segm)\n" in said.out
    expected = count_detections(path, results, "segm").confusion
    np.testing.assert_array_equal(count_detections(path, results).confusion, expected)


def test_the_kind_that_is_used_is_reported(write, caplog):
    caplog.set_level(logging.INFO, logger="pcb")
    both = with_masks(detections())
    path = write(truth())
    np.testing.assert_array_equal(count_detections(path, both).confusion, CONFUSION)
    assert len(lines(caplog, "matched by their boxes (bbox)")) == 1
    caplog.clear()
    count_detections(path, both, "segm")
    assert not lines(caplog, "matched by")


def test_masks_of_only_some_detections_are_reported(write, caplog):
    some = with_masks(detections()[:5]) + detections()[5:]
    assert list(evaluate(write(truth()), some, None)) == ["bbox"]
    assert lines(caplog, "only some detections have masks (5 of 12)", "only boxes are evaluated")


@pytest.mark.parametrize("command", ["evaluate", "confusion"])
@pytest.mark.parametrize("is_coco", [True, False])
def test_training_annotations_determine_the_groups(write, capsys, command, is_coco):
    training = truth()
    image, annotation = training["images"][0], training["annotations"][0]
    for number in range(100, 120):
        training["images"].append({**image, "id": number})
        training["annotations"].append({**annotation, "id": number, "image_id": number})
    path, train = write(plain_coco() if is_coco else truth()), write(training, "train.json")
    results = write(detections(), "results.json")
    assert cli.main([command, path, results, "--train", train]) == 0
    printed = capsys.readouterr().out
    assert f"frequency groups: from the images of each class in {train}\n" in printed
    if command == "confusion":
        # fox has 22 training images and is common; the other classes have one image each.
        assert "common classes 1: objects 2, right class 2, other class 0, missed 0" in printed
        assert "rare classes 2: objects 2" in printed and "frequent classes" not in printed
    else:
        head, row = (line.split() for line in printed.splitlines()[:2])
        assert row[1 + head.index("APf")] == "n/a" and row[1 + head.index("APc")] != "n/a"
    assert cli.main([command, path, results]) == 0
    listed = f"frequency groups: from 'frequency' in {path}\n"
    assert (listed in capsys.readouterr().out) == (not is_coco)


def test_training_annotations_must_have_the_same_categories(write, capsys):
    training = truth()
    training["categories"].pop()
    training["annotations"].pop()
    for image in training["images"]:
        image["neg_category_ids"] = []
    words = [write(truth()), write(detections(), "results.json")]
    words += ["--train", write(training, "train.json")]
    assert cli.main(["evaluate", *words]) != 0
    assert "train.json lacks 1 of the 3 categories" in capsys.readouterr().err


@pytest.mark.parametrize("command, suffix", [("evaluate", "json"), ("confusion", "csv")])
def test_out_never_overwrites_the_training_annotations(write, capsys, command, suffix):
    train = write(truth(), f"train.{suffix}")
    words = [command, write(truth()), write(detections(), "results.json"), "--train", train]
    assert cli.main([*words, "--out", train, "--force"]) == 2
    assert "--out" in capsys.readouterr().err
    with open(train) as file:
        assert json.load(file) == truth()
