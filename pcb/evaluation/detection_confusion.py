"""Match detections to the ground truth, and compute the confusion matrix of the detections."""

import logging
import os
from typing import NamedTuple

import numpy as np

from pcb.datasets.lvis import Annotations, read_compact_results
from pcb.datasets.lvis.notes import log_once, source_of
from pcb.evaluation.inputs import log_uncounted, read_ground_truth, require_masks
from pcb.evaluation.matching import in_crowds, matches
from pcb.messages.ranges import IOU_THRESHOLD, SCORE_THRESHOLD

MATCHED_BY = {
    "bbox": "detections are matched by their boxes (bbox)",
    "segm": "detections are matched by their masks (segm)",
}


class DetectionCounts(NamedTuple):
    """A confusion matrix of C classes, and the number of detections that the matrix leaves out.

    Attributes:
        confusion: (C + 1, C + 1) int64, the matrix returned by ``detection_confusion``.
        left_out: (C,) int64, the number of left-out detections of each class. A detection is left
            out if it is unmatched, and its class is not fully annotated in the image or the
            detection lies in a crowd of its class.
    """

    confusion: np.ndarray
    left_out: np.ndarray


def detection_confusion(
    ground_truth: str | os.PathLike | Annotations,
    results: str | os.PathLike | list[dict],
    iou_type: str | None = None,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.3,
    federated: bool | None = None,
) -> np.ndarray:
    """Return a matrix that counts objects by true class and by detected class.

    Only detections with a score of at least ``score_threshold`` are used. The detections of an
    image are matched one by one, highest score first. Each detection is compared with the objects
    *of any class* that are not yet matched. It is matched to the object with the largest IoU, if
    this IoU is at least ``iou_threshold``. If several objects have the largest IoU, an object of
    the detection's own class is preferred. Each object is matched at most once.

    An image is *complete* for a class if all objects of this class in the image are annotated. In
    exhaustive data, every image is complete for every class. In federated data (LVIS), an image
    is complete for the classes that are annotated in it or listed in its ``neg_category_ids``.
    Classes that are listed in its ``not_exhaustive_category_ids`` are an exception.

    An unmatched detection counts as a detection on background if the image is complete for the
    detected class. Otherwise, the detection is left out, because it may be correct.

    An unmatched detection is also left out if it lies in a crowd of the detected class: a region
    that COCO marks with ``iscrowd``. The share of the detection that overlaps the region must be at
    least ``iou_threshold``.

    A matched detection always counts, even if the image is not complete for the detected class.
    For example, if a toy deer is annotated only as a toy, a detection of it as a deer counts as a
    confusion.

    Args:
        ground_truth: Annotation file, or the result of ``read_annotations``.
        results: Detections in COCO's results format, as a file or a list. A file needs less memory.
        iou_type: 'bbox' for the IoU of boxes, 'segm' for the IoU of masks. None to use boxes if the
            results have boxes, and masks otherwise; the log states which.
        iou_threshold: Minimum IoU of a match, in (0, 1].
        score_threshold: Minimum score of the detections that are used; a finite number.
        federated: Whether the data is federated; None to let ``read_annotations`` decide.

    Returns:
        (C + 1, C + 1) int64 counts. Entry ``[i, j]`` counts objects of class i that are detected as
        class j. The last row counts detections on background, and the last column counts missed
        objects. Each row except the last sums to the number of objects of its class.

    Raises:
        FileNotFoundError: The annotation file or the results file does not exist.
        AnnotationError: The ground truth is invalid; see ``read_annotations``.
        ResultsError: The results are invalid; see ``read_results``.
        ValueError: The IoU type is unknown, or a threshold is out of range.

    Example:
        A cat is detected as a dog and, with a lower score, as a cat. The detection of a cat counts
        as a detection on background, because the object is already matched. A detection of a dog at
        a different place is left out, because the image was not checked for dogs.

        >>> from pcb.datasets import Annotations
        >>> image = {"id": 1, "height": 50, "width": 50}
        >>> image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
        >>> classes = [{"id": 1, "name": "cat", "frequency": "r"}]
        >>> classes += [{"id": 2, "name": "dog", "frequency": "f"}]
        >>> cat = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10]}
        >>> truth = Annotations("", [image], [{**cat, "id": 1, "area": 100}], classes)
        >>> dog, other = {**cat, "category_id": 2}, [30, 30, 10, 10]
        >>> results = [{**dog, "score": 0.9}, {**cat, "score": 0.8}]
        >>> results += [{**dog, "bbox": other, "score": 0.7}]
        >>> detection_confusion(truth, results)
        array([[0, 1, 0],
               [0, 0, 0],
               [1, 0, 0]])
    """
    return count_detections(
        ground_truth, results, iou_type, iou_threshold, score_threshold, federated
    ).confusion


def count_detections(
    ground_truth: str | os.PathLike | Annotations,
    results: str | os.PathLike | list[dict],
    iou_type: str | None = None,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.3,
    federated: bool | None = None,
) -> DetectionCounts:
    """Return the confusion matrix of detections, and how many detections the matrix leaves out.

    The matrix, the arguments and the errors are the same as for ``detection_confusion``. Every
    detection with a score of at least ``score_threshold`` is either counted in the matrix or left
    out. The total number of left-out detections is also logged.

    Example:
        The detection of a dog is left out, because the image was not checked for dogs.

        >>> from pcb.datasets import Annotations
        >>> image = {"id": 1, "height": 50, "width": 50}
        >>> image |= {"neg_category_ids": [1], "not_exhaustive_category_ids": []}
        >>> classes = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
        >>> truth = Annotations("", [image], [], classes)
        >>> dog = {"image_id": 1, "category_id": 2, "bbox": [0, 0, 10, 10], "score": 0.9}
        >>> counts = count_detections(truth, [dog])
        >>> counts.left_out, int(counts.confusion.sum())
        (array([0, 1]), 0)
    """
    counts, used = count_by_iou_type(
        ground_truth, results, iou_type, iou_threshold, score_threshold, federated
    )
    if iou_type is None:
        log_once(set(), source_of(results), MATCHED_BY[used], logging.INFO)
    return counts


def count_by_iou_type(
    ground_truth: str | os.PathLike | Annotations,
    results: str | os.PathLike | list[dict],
    iou_type: str | None = None,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.3,
    federated: bool | None = None,
) -> tuple[DetectionCounts, str]:
    """Return the result of ``count_detections``, and the IoU type by which detections are matched.

    The arguments and the errors are the same as for ``detection_confusion``.
    """
    IOU_THRESHOLD.check("iou_threshold", iou_threshold)
    SCORE_THRESHOLD.check("score_threshold", score_threshold)
    annotations = read_ground_truth(ground_truth, federated)
    if iou_type == "segm":
        require_masks(annotations)
    detections = read_compact_results(results, annotations, iou_type, score_threshold)
    if detections.boxes is None:
        require_masks(annotations)
    images, labels = _images_and_labels(annotations)
    num_classes = len(annotations.categories)
    taken = matches(annotations, images, labels, detections, iou_threshold)
    matched = taken >= 0
    missed = np.ones(len(labels), bool)
    missed[taken[matched]] = False
    complete = _complete(annotations, images, labels)[detections.images, detections.labels]
    in_crowd = ~matched & in_crowds(annotations, detections, iou_threshold)
    if in_crowd.any():
        what = "the matrix leaves out unmatched detections in crowd regions"
        annotations.log(f"{what}: {in_crowd.sum():,}", source_of(results), logging.INFO)
    complete &= ~in_crowd
    confusion = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    np.add.at(confusion, (labels[taken[matched]], detections.labels[matched]), 1)
    np.add.at(confusion[:, -1], labels[missed], 1)
    np.add.at(confusion[-1], detections.labels[~matched & complete], 1)
    left_out = np.bincount(detections.labels[~matched & ~complete], minlength=num_classes)
    what = (
        "in federated data, the matrix leaves out unmatched detections of classes that may be"
        " present in the image without annotation"
    )
    unjudged = int(left_out.sum() - in_crowd.sum())
    log_uncounted(annotations, source_of(results), unjudged, len(detections), what)
    used = "segm" if detections.boxes is None else "bbox"
    return DetectionCounts(confusion, left_out), used


def _images_and_labels(annotations: Annotations) -> tuple[np.ndarray, np.ndarray]:
    """Return two (n,) arrays: the index of each object's image, and the label of each object."""
    image_index = {image["id"]: index for index, image in enumerate(annotations.images)}
    objects = annotations.annotations
    images = [image_index[record["image_id"]] for record in objects]
    labels = [annotations.label_of[record["category_id"]] for record in objects]
    return np.array(images, np.int64), np.array(labels, np.int64)


def _complete(annotations: Annotations, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return, for each image and class, whether all objects of the class are annotated.

    The result is a bool array with one row per image and one column per class.
    """
    if not annotations.federated:
        return np.ones((len(annotations.images), len(annotations.categories)), bool)
    complete = np.zeros((len(annotations.images), len(annotations.categories)), bool)
    complete[images, labels] = True
    for row, image in zip(complete, annotations.images, strict=True):
        for key, value in (("neg_category_ids", True), ("not_exhaustive_category_ids", False)):
            listed = [c for c in image.get(key, ()) if c in annotations.label_of]
            row[[annotations.label_of[c] for c in listed]] = value
    return complete
