"""What every metric starts from: checked ground truth and checked detections."""

import logging
import os
from collections import Counter
from collections.abc import Sequence

from pcb.datasets.lvis import Annotations, read_annotations, read_results
from pcb.datasets.lvis.annotations import EXHAUSTIVE_HINT
from pcb.datasets.lvis.notes import say, source_of
from pcb.datasets.lvis.results import RESULT_KEYS

IOU_TYPES = tuple(RESULT_KEYS)
MOST_DETECTIONS = 300  # of an image that count, LVIS's limit
COCOS_MOST = 100  # of a class in an image that count in COCO's own evaluation


def read_ground_truth(
    ground_truth: str | os.PathLike | Annotations, federated: bool | None = None
) -> Annotations:
    """Read annotations unless they were read already.

    Args:
        ground_truth: Annotation file, or what `read_annotations` returned.
        federated: As for `read_annotations`; None leaves what was read as it is.

    Raises:
        FileNotFoundError, AnnotationError: See `read_annotations`.
    """
    if isinstance(ground_truth, Annotations):
        return ground_truth.judged_as(federated)
    return read_annotations(ground_truth, federated=federated)


def read_inputs(
    ground_truth: str | os.PathLike | Annotations,
    results: str | os.PathLike | list[dict],
    iou_types: Sequence[str] | None,
    federated: bool | None = None,
) -> tuple[Annotations, list[dict], Sequence[str]]:
    """Read both sides unless they were read already, and check that they fit.

    Args:
        ground_truth: Annotation file, or what `read_annotations` returned.
        results: COCO results, a file or a list.
        iou_types: What will be evaluated: 'bbox', 'segm' or both; None for what the results hold.
        federated: As for `read_annotations`.

    Returns:
        Both, and the IoU types.

    Raises:
        FileNotFoundError, AnnotationError, ResultsError: See `read_annotations`, `read_results`.
        ValueError: Unknown IoU type.
    """
    annotations = read_ground_truth(ground_truth, federated)
    checked = read_results(results, annotations, iou_types)
    source = source_of(results)
    if iou_types is None:
        iou_types = [kind for kind, key in RESULT_KEYS.items() if not checked or key in checked[0]]
    if flat := sum(not record["area"] for record in annotations.annotations):
        total = len(annotations.annotations)
        text = f"{flat:,} of {total:,} annotations have area 0 and are left out of AP"
        say(annotations.said, annotations.path, text)
    flat = sum("bbox" in record and not min(record["bbox"][2:]) for record in checked)
    if flat and "bbox" in iou_types:
        text = f"{flat:,} of {len(checked):,} boxes have area 0 and are left out of the AP of boxes"
        say(annotations.said, source, text)
    counts = Counter(record["image_id"] for record in checked)
    if dropped := sum(max(0, count - MOST_DETECTIONS) for count in counts.values()):
        text = f"{dropped:,} detections do not count, beyond the {MOST_DETECTIONS} best of an image"
        say(annotations.said, source, text, logging.INFO)
    if not annotations.federated:
        of_class = Counter((record["image_id"], record["category_id"]) for record in checked)
        if more := sum(max(0, count - COCOS_MOST) for count in of_class.values()):
            text = (
                f"{more:,} detections may count that COCO's own evaluation leaves out, beyond the"
                f" {COCOS_MOST} best of a class in an image"
            )
            say(annotations.said, source, text, logging.INFO)
    else:
        say_unjudged(annotations, source, _unjudged(annotations, checked), len(checked))
    return annotations, checked, iou_types


def say_unjudged(annotations: Annotations, source: str, unjudged: int, total: int) -> None:
    """Say how many detections are of classes that their images do not judge; warn if most are."""
    if not unjudged:
        return
    text = (
        f"{unjudged:,} of {total:,} detections ({unjudged / total:.0%}) are not judged and do not"
        " count: their images say nothing of their classes (federated data)"
    )
    if 2 * unjudged > total:
        text += (
            ", which is usual for LVIS; if every class is annotated in every image, use"
            f" {EXHAUSTIVE_HINT}"
        )
    say(annotations.said, source, text, logging.WARNING if 2 * unjudged > total else logging.INFO)


def _unjudged(annotations: Annotations, results: list[dict]) -> int:
    """Number of detections of classes that are neither annotated in their images nor absent."""
    judged = {(record["image_id"], record["category_id"]) for record in annotations.annotations}
    for image in annotations.images:
        judged.update((image["id"], absent) for absent in image.get("neg_category_ids", ()))
    return sum((record["image_id"], record["category_id"]) not in judged for record in results)
