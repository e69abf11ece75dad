"""LVIS average precision: two implementations agree with each other and with known cases."""

import copy
import json
import logging
import math

import lvis.eval
import numpy as np
import pytest

from pcb.datasets import AnnotationError, ResultsError, read_annotations
from pcb.evaluation import evaluate, group_means, per_class_ap, reference
from pcb.metrics import METRICS


@pytest.fixture
def write(tmp_path):
    """Function that writes a dataset and returns the path of the file."""

    def write(dataset, name="annotations.json"):
        path = tmp_path / name
        path.write_text(json.dumps(dataset))
        return path

    return write


def perfect(dataset):
    return [
        {
            "image_id": a["image_id"],
            "category_id": a["category_id"],
            "bbox": a["bbox"],
            "score": 0.9,
        }
        for a in dataset["annotations"]
    ]


def assert_backends_agree(annotations, results, iou_types=("bbox", "segm")):
    fast = evaluate(annotations, results, iou_types, backend="fast")
    lvis_numbers = evaluate(annotations, results, iou_types, backend="lvis")
    for iou_type in iou_types:
        assert tuple(fast[iou_type]) == tuple(lvis_numbers[iou_type]) == METRICS
        np.testing.assert_allclose(
            list(fast[iou_type].values()), list(lvis_numbers[iou_type].values()), rtol=0, atol=1e-9
        )
    return fast


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"clutter": 400},
        {"zero_area": True},
        {"zero_area": True, "clutter": 400},
        {"masks_only": True, "zero_area": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", range(3))
def test_backends_agree(make_lvis, write, options, seed):
    dataset, results = make_lvis(seed, **options)
    annotations = read_annotations(write(dataset))
    iou_types = ("segm",) if options.get("masks_only") else ("bbox", "segm")
    metrics = assert_backends_agree(annotations, results, iou_types)
    for iou_type in iou_types:
        assert 0 < metrics[iou_type]["AP"] < 1  # neither all right nor all wrong


def test_only_the_300_best_detections_of_an_image_count(make_lvis, write):
    dataset, _ = make_lvis(images=1)
    annotations = read_annotations(write(dataset))
    image = dataset["images"][0]["id"]
    hits = [{**hit, "score": 0.5} for hit in perfect(dataset)]
    absent = next(c for c in annotations.category_ids if c not in {h["category_id"] for h in hits})
    clutter = {"image_id": image, "category_id": absent, "bbox": [0, 0, 5, 5], "score": 0.9}
    kept = assert_backends_agree(annotations, [clutter] * (300 - len(hits)) + hits, ("bbox",))
    assert kept["bbox"]["AP"] == pytest.approx(1)
    crowded_out = assert_backends_agree(annotations, [clutter] * 300 + hits, ("bbox",))
    assert crowded_out["bbox"]["AP"] == 0


def test_federated_rules(make_lvis, write):
    """Detections count only in images where their class is annotated or known to be absent."""
    dataset, _ = make_lvis(images=2, classes=3)
    first, second = (image["id"] for image in dataset["images"])
    a, b = dataset["categories"][0]["id"], dataset["categories"][1]["id"]
    template = dataset["annotations"][0]
    dataset["annotations"] = [
        {**template, "id": 1, "image_id": first, "category_id": a, "bbox": [10, 10, 20, 20]},
        {**template, "id": 2, "image_id": second, "category_id": b, "bbox": [10, 10, 20, 20]},
    ]
    wrong = {"image_id": second, "category_id": a, "bbox": [50, 50, 20, 20], "score": 0.95}

    def ap_of_a(negative, unfinished, wrong=wrong):
        for image in dataset["images"]:
            image["neg_category_ids"], image["not_exhaustive_category_ids"] = [], []
        dataset["images"][1]["neg_category_ids"] = negative
        dataset["images"][0]["not_exhaustive_category_ids"] = unfinished
        annotations = read_annotations(write(dataset), federated=True)
        results = [*perfect(dataset), wrong]
        assert_backends_agree(annotations, results, ("bbox",))
        return per_class_ap(annotations, results, "bbox")[annotations.label_of[a]]

    assert ap_of_a([], []) == pytest.approx(1)  # nothing is known about a in the second image
    assert ap_of_a([a], []) == pytest.approx(0.5)  # a is known to be absent there
    second_find = {**wrong, "image_id": first}
    assert ap_of_a([], [], second_find) == pytest.approx(0.5)
    assert ap_of_a([], [a], second_find) == pytest.approx(1)  # there may be more of a


def test_undefined_metrics_are_nan(make_lvis, write):
    dataset, _ = make_lvis()
    for annotation in dataset["annotations"]:
        annotation["area"] = 100.0
    rare = {c["id"] for c in dataset["categories"] if c["frequency"] == "r"}
    dataset["annotations"] = [a for a in dataset["annotations"] if a["category_id"] not in rare]
    for backend in ("fast", "lvis"):
        metrics = evaluate(write(dataset), perfect(dataset), "bbox", backend)["bbox"]
        undefined = {name for name, value in metrics.items() if math.isnan(value)}
        assert undefined == {"APm", "APl", "APr", "ARm@300", "ARl@300"}
        assert metrics["AP"] == pytest.approx(1)


def test_no_detections_give_zero(make_lvis, write):
    dataset, _ = make_lvis()
    annotations = read_annotations(write(dataset))
    for iou_type, metrics in assert_backends_agree(annotations, []).items():
        assert metrics["AP"] == metrics["AR@300"] == 0
        ap = per_class_ap(annotations, [], iou_type)
        assert np.nanmax(ap) == 0


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_per_class_ap(make_lvis, write, iou_type):
    dataset, results = make_lvis(seed=4)
    annotations = read_annotations(write(dataset))
    ap = per_class_ap(annotations, results, iou_type)

    precision = reference.run(annotations, results, iou_type).eval["precision"][:, :, :, 0]
    expected = np.array(
        [p.mean() if (p > -1).all() else np.nan for p in precision.transpose(2, 0, 1)]
    )
    np.testing.assert_allclose(ap, expected, rtol=0, atol=1e-12)

    present = {annotation["category_id"] for annotation in dataset["annotations"]}
    assert [not math.isnan(value) for value in ap] == [
        c in present for c in annotations.category_ids
    ]
    metrics = evaluate(annotations, results, iou_type)[iou_type]
    assert np.nanmean(ap) == pytest.approx(metrics["AP"], abs=1e-12)
    for group, mean in group_means(ap, annotations.frequency).items():
        assert mean == pytest.approx(metrics[f"AP{group}"], abs=1e-12)


@pytest.mark.parametrize("backend", ["fast", "lvis"])
def test_inputs_and_libraries_are_not_changed(make_lvis, write, capsys, caplog, backend):
    dataset, results = make_lvis()
    annotations = read_annotations(write(dataset))
    before = copy.deepcopy((annotations.to_dict(), results))
    caplog.set_level(logging.INFO, logger="lvis.results")
    evaluate(annotations, results, backend=backend)
    assert (annotations.to_dict(), results) == before
    assert lvis.eval.np is np
    assert not hasattr(np, "float")
    assert logging.getLogger("lvis.results").level == logging.INFO
    assert not caplog.records
    assert capsys.readouterr() == ("", "")


def test_files_and_lists_give_the_same(make_lvis, write):
    dataset, results = make_lvis()
    path = write(dataset)
    from_files = evaluate(path, write(results, "results.json"), "segm")["segm"]
    from_memory = evaluate(read_annotations(path), results, "segm")["segm"]
    assert from_files == pytest.approx(from_memory, rel=0, abs=0, nan_ok=True)


def test_bad_arguments(make_lvis, write):
    dataset, results = make_lvis()
    path = write(dataset)
    with pytest.raises(ValueError, match="backend must be 'fast' or 'lvis', got 'slow'"):
        evaluate(path, results, backend="slow")
    with pytest.raises(ValueError, match="iou_type must be 'bbox' or 'segm', got 'mask'"):
        evaluate(path, results, iou_types=("bbox", "mask"))
    with pytest.raises(ResultsError, match="no 'segmentation'"):
        evaluate(path, perfect(dataset), "segm")
    with pytest.raises(AnnotationError, match="pass the ground truth first"):
        evaluate(write(results, "results.json"), path)
    with pytest.raises(ValueError, match="same length, got 2 and 1"):
        group_means([0.1, 0.2], ["r"])
