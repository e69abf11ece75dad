"""Read and check the ground truth and the detections that every metric starts from."""

import logging
import os
from collections import Counter
from collections.abc import Sequence

from pcb.datasets.lvis import Annotations, read_annotations, read_results
from pcb.datasets.lvis.annotations import EXHAUSTIVE_HINT
from pcb.datasets.lvis.notes import source_of
from pcb.datasets.lvis.results import RESULT_KEYS

MOST_DETECTIONS = 300  # LVIS's limit per image
COCOS_MOST = 100  # limit per class and image of COCO's own evaluation


def read_ground_truth(
    ground_truth: str | os.PathLike | Annotations, federated: bool | None = None
) -> Annotations:
    """Return annotations; read them if a file is given.

    Args:
        ground_truth: Annotation file, or the result of ``read_annotations``.
        federated: See ``read_annotations``; None leaves annotations that are given as they are.

    Raises:
        FileNotFoundError: See ``read_annotations``.
        AnnotationError: See ``read_annotations``.
    """
    if isinstance(ground_truth, Annotations):
        return ground_truth.as_federated(federated)
    return read_annotations(ground_truth, federated=federated)


def read_inputs(
    ground_truth: str | os.PathLike | Annotations,
    results: str | os.PathLike | list[dict],
    iou_types: Sequence[str] | None,
    federated: bool | None = None,
) -> tuple[Annotations, list[dict], Sequence[str]]:
    """Return ground truth and detections for AP; read those that are given as files.

    The log reports what AP leaves out.

    Args:
        ground_truth: Annotation file, or the result of ``read_annotations``.
        results: COCO results, a file or a list.
        iou_types: What will be evaluated: 'bbox', 'segm' or both; None for what the results hold.
        federated: See ``read_ground_truth``.

    Returns:
        The annotations, the detections and the IoU types.

    Raises:
        FileNotFoundError: See ``read_annotations``.
        AnnotationError: See ``read_annotations``.
        ResultsError: See ``read_results``.
        ValueError: Unknown IoU type.
    """
    annotations = read_ground_truth(ground_truth, federated)
    checked = read_results(results, annotations, iou_types)
    source = source_of(results)
    if iou_types is None:
        iou_types = [kind for kind, key in RESULT_KEYS.items() if not checked or key in checked[0]]
    if flat := sum(not record["area"] for record in annotations.annotations):
        total = len(annotations.annotations)
        annotations.log(f"{flat:,} of {total:,} annotations have area 0 and are left out of AP")
    flat = sum("bbox" in record and not min(record["bbox"][2:]) for record in checked)
    if flat and "bbox" in iou_types:
        text = f"{flat:,} of {len(checked):,} boxes have area 0 and are left out of the AP of boxes"
        annotations.log(text, source)
    counts = Counter(record["image_id"] for record in checked)
    if dropped := sum(max(0, count - MOST_DETECTIONS) for count in counts.values()):
        text = f"{dropped:,} detections do not count, beyond the {MOST_DETECTIONS} best of an image"
        annotations.log(text, source, logging.INFO)
    if annotations.federated:
        what = (
            "are not judged and do not count: their images neither annotate their classes nor list"
            " them as absent (federated data)"
        )
        unjudged = _count_unjudged(annotations, checked)
        log_uncounted(annotations, source, unjudged, len(checked), what)
    else:
        of_class = Counter((record["image_id"], record["category_id"]) for record in checked)
        if more := sum(max(0, count - COCOS_MOST) for count in of_class.values()):
            text = (
                f"{more:,} detections may count that COCO's own evaluation leaves out, beyond the"
                f" {COCOS_MOST} best of a class in an image"
            )
            annotations.log(text, source, logging.INFO)
    return annotations, checked, iou_types


def log_uncounted(annotations: Annotations, source: str, count: int, total: int, what: str) -> None:
    """Log how many detections do not count on federated data; warn if they are the majority.

    Args:
        annotations: The ground truth.
        source: The name of the results.
        count: Number of detections that do not count.
        total: Number of all detections.
        what: The predicate of the message, such as "are not judged".
    """
    if not count:
        return
    text = f"{count:,} of {total:,} detections ({count / total:.0%}) {what}"
    is_majority = 2 * count > total
    if is_majority:
        text += (
            ", which is usual for LVIS; if every class is annotated in every image, use"
            f" {EXHAUSTIVE_HINT}"
        )
    annotations.log(text, source, logging.WARNING if is_majority else logging.INFO)


def _count_unjudged(annotations: Annotations, results: list[dict]) -> int:
    """Count detections of classes that their image neither annotates nor lists as absent."""
    judged = {(record["image_id"], record["category_id"]) for record in annotations.annotations}
    for image in annotations.images:
        judged.update((image["id"], absent) for absent in image.get("neg_category_ids", ()))
    return sum((record["image_id"], record["category_id"]) not in judged for record in results)
