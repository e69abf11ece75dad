"""Read and check the ground truth and the detections for an evaluation."""

import dataclasses
import logging
import os
from collections import Counter
from collections.abc import Sequence

import numpy as np

from pcb.datasets.lvis import (
    AnnotationError,
    Annotations,
    read_annotations,
    read_compact_annotations,
    read_results,
)
from pcb.datasets.lvis.annotations import EXHAUSTIVE_HINT, keep_keys
from pcb.datasets.lvis.notes import source_of
from pcb.datasets.lvis.results import RESULT_KEYS

MOST_DETECTIONS = 300  # limit of the LVIS evaluation per image
COCOS_MOST = 100  # limit of the COCO evaluation per class and image


def read_ground_truth(
    ground_truth: str | os.PathLike | Annotations, federated: bool | None = None
) -> Annotations:
    """Return the ground truth as ``Annotations``; read the annotation file if a path is passed.

    Args:
        ground_truth: Annotation file, or the result of ``read_annotations``.
        federated: Whether the data is federated; None to let ``read_annotations`` decide.

    Raises:
        FileNotFoundError: The annotation file does not exist.
        AnnotationError: The ground truth is invalid; see ``read_annotations``.
    """
    if isinstance(ground_truth, Annotations):
        return ground_truth.as_federated(federated)
    return read_annotations(ground_truth, federated=federated)


def with_training_groups(
    annotations: Annotations, training: str | os.PathLike, crowds: str | None = None
) -> Annotations:
    """Return annotations whose frequency groups come from the training annotations.

    The group of a class depends on its number of training images. Groups and counts that
    ``annotations`` already has are replaced.

    Args:
        annotations: The ground truth.
        training: File with the training annotations, in LVIS or COCO format.
        crowds: How to read annotations marked as crowds; see ``read_annotations``.

    Raises:
        FileNotFoundError: The file does not exist.
        AnnotationError: The file is invalid, or lacks a category of the ground truth.
    """
    # The training annotations of LVIS as dicts would take several GB.
    found = read_compact_annotations(training, allow_short_polygons=True, crowds=crowds)
    images = np.repeat(found.image_ids, np.diff(found.first_instance)).tolist()
    labels = np.array(found.category_ids)[found.labels].tolist()
    records = [
        {"image_id": image, "category_id": category}
        for image, category in zip(images, labels, strict=True)
    ]
    # The groups in the file may come from other training data.
    categories = [keep_keys(c, c.keys() - {"frequency"}) for c in annotations.categories]
    plain = dataclasses.replace(annotations, categories=categories)
    return plain.with_counts_of(Annotations(found.path, [], records, found.categories))


def read_inputs(
    ground_truth: str | os.PathLike | Annotations,
    results: str | os.PathLike | list[dict],
    iou_types: Sequence[str] | None,
    federated: bool | None = None,
) -> tuple[Annotations, list[dict], Sequence[str]]:
    """Read and check the ground truth and the detections for computing AP.

    The log states how many objects and detections are left out of AP.

    Args:
        ground_truth: Annotation file, or the result of ``read_annotations``.
        results: Detections in COCO results format: a file or a list.
        iou_types: 'bbox', 'segm' or both; None to use all types that the results contain.
        federated: Whether the data is federated; None to let ``read_annotations`` decide.

    Returns:
        The annotations, the detections and the IoU types.

    Raises:
        FileNotFoundError: The annotation file or the results file does not exist.
        AnnotationError: The ground truth is invalid; see ``read_annotations``.
        ResultsError: The results are invalid; see ``read_results``.
        ValueError: An IoU type is unknown.
    """
    annotations = read_ground_truth(ground_truth, federated)
    checked = read_results(results, annotations, iou_types)
    source = source_of(results)
    if iou_types is None:
        have = {kind: sum(key in r for r in checked) for kind, key in RESULT_KEYS.items()}
        iou_types = [kind for kind, count in have.items() if count == len(checked)]
        if 0 < have["segm"] < len(checked):
            text = f"only some detections have masks ({have['segm']:,} of {len(checked):,})"
            annotations.log(f"{text}, so only boxes are evaluated", source)
        if "segm" in iou_types and not annotations.has_masks:
            annotations.log("masks are not evaluated, because some objects have no mask")
            iou_types = [kind for kind in iou_types if kind != "segm"]
    if "segm" in iou_types:
        require_masks(annotations)
    if flat := sum(not record["area"] for record in annotations.annotations):
        total = len(annotations.annotations)
        annotations.log(f"AP leaves out annotations with area 0 ({flat:,} of {total:,})")
    if flat := sum("bbox" in record and not min(record["bbox"][2:]) for record in checked):
        # The lvis package takes the size of a mask from the box, if there is one.
        also = ", also for masks" if "segm" in iou_types else ""
        text = f"AP leaves out detections whose box has area 0{also}: {flat:,} of {len(checked):,}"
        annotations.log(text, source)
    counts = Counter(record["image_id"] for record in checked)
    if dropped := sum(max(0, count - MOST_DETECTIONS) for count in counts.values()):
        text = (
            f"only the {MOST_DETECTIONS} detections with the highest scores in an image count"
            f" (detections that do not count: {dropped:,})"
        )
        annotations.log(text, source, logging.INFO)
    if annotations.federated:
        what = (
            "in federated data, detections do not count if their class is neither annotated in the"
            " image nor listed as absent"
        )
        unjudged = _count_unjudged(annotations, checked)
        log_uncounted(annotations, source, unjudged, len(checked), what)
    else:
        of_class = Counter((record["image_id"], record["category_id"]) for record in checked)
        if more := sum(max(0, count - COCOS_MOST) for count in of_class.values()):
            text = (
                f"the COCO evaluation would ignore detections beyond the {COCOS_MOST} with the"
                f" highest scores per class and image (here {more:,}); this evaluation may count"
                " them"
            )
            annotations.log(text, source, logging.INFO)
    return annotations, checked, iou_types


def require_masks(annotations: Annotations) -> None:
    """Check that every object has a mask.

    Raises:
        AnnotationError: Some objects have no mask.
    """
    if not annotations.has_masks:
        records = annotations.annotations
        lacking = sum("segmentation" not in record for record in records)
        raise AnnotationError(
            f"{annotations.path}: {lacking:,} of {len(records):,} annotations have no mask, so"
            " masks cannot be evaluated. Evaluate boxes: --iou-type bbox (iou_type in Python)"
        )


def log_uncounted(annotations: Annotations, source: str, count: int, total: int, what: str) -> None:
    """Log how many detections do not count in an evaluation on federated data.

    The message is a warning if most of the detections do not count.

    Args:
        annotations: The ground truth.
        source: Name of the detection results, for the message.
        count: Number of detections that the evaluation ignores.
        total: Number of all detections.
        what: Which detections are ignored; the message begins with this text.
    """
    if not count:
        return
    text = f"{what} ({count:,} of {total:,} detections, {count / total:.0%})"
    is_majority = 2 * count > total
    if is_majority:
        text += (
            ". This is normal for LVIS; if every image was checked for every class, use"
            f" {EXHAUSTIVE_HINT}"
        )
    annotations.log(text, source, logging.WARNING if is_majority else logging.INFO)


def _count_unjudged(annotations: Annotations, results: list[dict]) -> int:
    """Count detections whose class is neither annotated in the image nor listed as absent."""
    annotated = [*annotations.annotations, *annotations.crowds]
    judged = {(record["image_id"], record["category_id"]) for record in annotated}
    for image in annotations.images:
        judged.update((image["id"], absent) for absent in image.get("neg_category_ids", ()))
    return sum((record["image_id"], record["category_id"]) not in judged for record in results)
