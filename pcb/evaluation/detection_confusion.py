"""The confusion matrix of detections, which are matched to the ground truth."""

import os
from typing import NamedTuple

import numpy as np
from pycocotools import mask

from pcb.datasets.lvis import Annotations, CompactResults, read_compact_results
from pcb.datasets.lvis.notes import source_of
from pcb.datasets.masks import encode_mask
from pcb.evaluation.inputs import log_uncounted, read_ground_truth
from pcb.messages.ranges import IOU_THRESHOLD, SCORE_THRESHOLD


class DetectionCounts(NamedTuple):
    """A confusion matrix of C classes, and the detections that it leaves out.

    Attributes:
        confusion: (C + 1, C + 1) int64; see ``detection_confusion``.
        left_out: (C,) int64, number of unmatched detections of each class in images that do not
            annotate the class completely.
    """

    confusion: np.ndarray
    left_out: np.ndarray


def detection_confusion(
    ground_truth: str | os.PathLike | Annotations,
    results: str | os.PathLike | list[dict],
    iou_type: str = "bbox",
    iou_threshold: float = 0.5,
    score_threshold: float = 0.3,
    federated: bool | None = None,
) -> np.ndarray:
    """Count, for each true class, as which class its objects are detected.

    The detections of an image that score at least ``score_threshold`` are matched one by one,
    highest score first. Each takes, among the objects *of any class* that are still free, the one
    with the largest IoU, if that is at least ``iou_threshold``. Of two objects with equal IoU, it
    takes the one of its own class. An object is thus matched at most once, and further detections
    of it count as detections on background.

    On exhaustive data every image is *complete* for every class: whatever it shows of the class is
    annotated. An image of federated data (LVIS) is complete for a class that is annotated in it or
    listed as absent (``neg_category_ids``), unless the class is listed as annotated incompletely
    (``not_exhaustive_category_ids``). Where the image is not complete for its class, an unmatched
    detection may be right. It is left out, so the last row counts only classes for which the images
    are complete. A matched detection always counts, whatever its class: otherwise almost no
    confusion would be visible. This has a price. If an object rightly has two names and its image
    annotates one of them (toy, deer), a right detection can count as a confusion.

    Args:
        ground_truth: Annotation file, or the result of ``read_annotations``.
        results: COCO results, a file or a list; they are not changed. A file takes less memory.
        iou_type: 'bbox' for the IoU of boxes, 'segm' for that of masks.
        iou_threshold: Smallest IoU of a match, in (0, 1].
        score_threshold: Smallest score of a detection that counts, a finite number.
        federated: Whether the data is federated; None for what ``read_annotations`` found.

    Returns:
        (C + 1, C + 1) int64 counts. ``[i, j]``: objects of class i detected as class j. The last
        row counts detections on background, the last column missed objects. Each row but the last
        sums to the number of objects of its class.

    Raises:
        FileNotFoundError: See ``read_annotations`` and ``read_results``.
        AnnotationError: See ``read_annotations``.
        ResultsError: See ``read_results``.
        ValueError: Unknown IoU type, or a threshold out of range.

    Example:
        A cat is mistaken for a dog and detected a second time. Another dog is left out, because
        the image does not tell whether it shows dogs.

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
    iou_type: str = "bbox",
    iou_threshold: float = 0.5,
    score_threshold: float = 0.3,
    federated: bool | None = None,
) -> DetectionCounts:
    """Count as ``detection_confusion`` does, and also count what the matrix leaves out.

    Every detection that scores enough is in one of the two:
    ``confusion[:, :-1].sum() + left_out.sum()`` is their number. The log reports how many are left
    out. See ``detection_confusion`` for the arguments and errors.

    Example:
        A dog is left out, because the image does not tell whether it shows dogs.

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
    IOU_THRESHOLD.check("iou_threshold", iou_threshold)
    SCORE_THRESHOLD.check("score_threshold", score_threshold)
    annotations = read_ground_truth(ground_truth, federated)
    detections = read_compact_results(results, annotations, iou_type, score_threshold)

    images, labels = _images_and_labels(annotations)
    num_classes = len(annotations.categories)
    taken = _matches(annotations, images, labels, detections, iou_threshold)
    matched = taken >= 0
    missed = np.ones(len(labels), bool)
    missed[taken[matched]] = False
    complete = _complete(annotations, images, labels)[detections.images, detections.labels]
    confusion = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    np.add.at(confusion, (labels[taken[matched]], detections.labels[matched]), 1)
    np.add.at(confusion[:, -1], labels[missed], 1)
    np.add.at(confusion[-1], detections.labels[~matched & complete], 1)
    left_out = np.bincount(detections.labels[~matched & ~complete], minlength=num_classes)
    what = (
        "match no object and are left out of the matrix: their images do not annotate their classes"
        " completely (federated data)"
    )
    log_uncounted(annotations, source_of(results), int(left_out.sum()), len(detections), what)
    return DetectionCounts(confusion, left_out)


def _images_and_labels(annotations: Annotations) -> tuple[np.ndarray, np.ndarray]:
    """Return each object's image, as an index of ``Annotations.images``, and label; both (n,)."""
    image_index = {image["id"]: index for index, image in enumerate(annotations.images)}
    objects = annotations.annotations
    images = [image_index[record["image_id"]] for record in objects]
    labels = [annotations.label_of[record["category_id"]] for record in objects]
    return np.array(images, np.int64), np.array(labels, np.int64)


def _complete(annotations: Annotations, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return whether all objects of class c in image i are annotated, (I, C) bool.

    ``images`` and ``labels`` are those of the annotated objects.
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


def _matches(
    annotations: Annotations,
    images: np.ndarray,
    labels: np.ndarray,
    detections: CompactResults,
    iou_threshold: float,
) -> np.ndarray:
    """Return the object that each detection takes, -1 for none; (n,) int64."""
    found, objects, overlap = _overlapping(annotations, images, detections, iou_threshold)
    same = detections.labels[found] == labels[objects]
    # Highest score first, then the order of the results. For each detection, largest IoU first,
    # then its own class. (hotcoco prefers the class with the largest id instead, so that two right
    # detections of an object with two labels count as wrong.)
    order = np.lexsort((~same, -overlap, found, -detections.scores[found]))
    taken, is_free = [-1] * len(detections), [True] * len(labels)
    for detection, thing in zip(found[order].tolist(), objects[order].tolist(), strict=True):
        if is_free[thing] and taken[detection] < 0:
            taken[detection], is_free[thing] = thing, False
    return np.array(taken, np.int64)


def _overlapping(
    annotations: Annotations,
    images: np.ndarray,
    detections: CompactResults,
    iou_threshold: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the detections, the objects and the IoUs of all pairs that overlap enough; (p,)."""
    of_object, of_detection = _by_image(images), _by_image(detections.images)
    pairs: list[tuple[np.ndarray, ...]] = []
    for image in of_object.keys() & of_detection.keys():
        here, there = of_detection[image], of_object[image]
        records = [annotations.annotations[index] for index in there.tolist()]
        if detections.boxes is not None:
            ours = detections.boxes[here]
            theirs = np.array([record["bbox"] for record in records], np.float64)
        else:
            masks = detections.masks or []
            ours = [masks[index] for index in here.tolist()]
            size = [annotations.images[image][key] for key in ("height", "width")]
            theirs = [encode_mask(record["segmentation"], *size) for record in records]
        overlap = mask.iou(ours, theirs, [False] * len(records))
        rows, columns = np.nonzero(overlap >= iou_threshold)
        pairs.append((here[rows], there[columns], overlap[rows, columns]))
    if not pairs:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    return tuple(np.concatenate(column) for column in zip(*pairs, strict=True))


def _by_image(images: np.ndarray) -> dict[int, np.ndarray]:
    """Return the indices of each image's entries, in order."""
    if not len(images):
        return {}
    order = np.argsort(images, kind="stable")
    present, starts = np.unique(images[order], return_index=True)
    return dict(zip(present.tolist(), np.split(order, starts[1:]), strict=True))
