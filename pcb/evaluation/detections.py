"""The measured confusion matrix: detections matched to ground truth."""

import os
from typing import NamedTuple

import numpy as np
from pycocotools import mask

from pcb.datasets.lvis import Annotations, CompactResults, read_compact_results
from pcb.datasets.lvis.notes import source_of
from pcb.datasets.masks import encode_mask
from pcb.evaluation.inputs import read_ground_truth, say_unjudged
from pcb.messages.ranges import IOU_THRESHOLD, SCORE_THRESHOLD


class DetectionCounts(NamedTuple):
    """What became of the detections of C classes.

    Attributes:
        confusion: (C + 1, C + 1) int64, see `detection_confusion`.
        left_out: (C,) int64, unmatched detections of each class in images that do not judge it.
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
    """Count which class was detected where which class is.

    In each image the detections that score at least `score_threshold` choose in turn, highest
    score first: each takes the ground truth, *of whatever class*, that overlaps it most among
    those still free, if the IoU is at least `iou_threshold`; of two that overlap it equally, the
    one of its own class. So a true instance is matched at most once, and further detections of it
    count as detections on background.

    On exhaustive data every image *judges* every class. LVIS is federated: an image judges only
    the classes that are annotated there or known to be absent (`neg_category_ids`), without those
    that are annotated incompletely (`not_exhaustive_category_ids`). An unmatched detection of
    another class may well be right, so it is left out: the last row counts detections of judged
    classes alone. A matched one counts whichever class it says: without that, few confusions would
    be seen at all. So where one thing
    may rightly have two names of which the image judges one (toy, deer), a right detection can
    count as a confusion.

    Args:
        ground_truth: LVIS annotation file, or what `read_annotations` returned.
        results: COCO results, a file or a list; not changed. A file takes less memory.
        iou_type: Overlap of 'bbox' or of masks, 'segm'.
        iou_threshold: Least IoU of a match, in (0, 1].
        score_threshold: Least score of a detection that counts, a finite number.
        federated: Whether the data is federated; None for what `read_annotations` found.

    Returns:
        Counts, shape (C + 1, C + 1), int64. `[i, j]`: true class i detected as class j; the last
        row counts detections on background, the last column missed ground truth. Each row but the
        last sums to the number of instances of its class.

    Raises:
        FileNotFoundError, AnnotationError, ResultsError: See `read_annotations`, `read_results`.
        ValueError: Unknown IoU type, or a threshold out of range.

    Example: a cat mistaken for a dog, a second detection of it, and a dog where nobody looked for
    dogs, which is left out.
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
    """Count as `detection_confusion` does, and also what it leaves out.

    Every detection that scores enough is in one of the two: `confusion[:, :-1].sum() +
    left_out.sum()` is their number. The log warns if most are left out. Arguments and errors are
    those of `detection_confusion`.

    Example: a dog where nobody looked for dogs.
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
    taken = _matches(annotations, images, labels, detections, iou_type, iou_threshold)
    matched = taken >= 0
    missed = np.ones(len(labels), bool)
    missed[taken[matched]] = False
    judged = _judged(annotations, images, labels)[detections.images, detections.labels]
    confusion = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    np.add.at(confusion, (labels[taken[matched]], detections.labels[matched]), 1)
    np.add.at(confusion[:, -1], labels[missed], 1)
    np.add.at(confusion[-1], detections.labels[~matched & judged], 1)
    left_out = np.bincount(detections.labels[~matched & ~judged], minlength=num_classes)
    say_unjudged(annotations, source_of(results), int(left_out.sum()), len(detections))
    return DetectionCounts(confusion, left_out)


def _images_and_labels(annotations: Annotations) -> tuple[np.ndarray, np.ndarray]:
    """Place of each object's image in `Annotations.images`, and its label; both (n,)."""
    image_index = {image["id"]: index for index, image in enumerate(annotations.images)}
    objects = annotations.annotations
    images = [image_index[record["image_id"]] for record in objects]
    labels = [annotations.label_of[record["category_id"]] for record in objects]
    return np.array(images, np.int64), np.array(labels, np.int64)


def _judged(annotations: Annotations, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether image i shows nothing of class c but what is annotated, (I, C) bool.

    `images` and `labels` are those of the annotated objects.
    """
    if not annotations.federated:
        return np.ones((len(annotations.images), len(annotations.categories)), bool)
    judged = np.zeros((len(annotations.images), len(annotations.categories)), bool)
    judged[images, labels] = True
    for row, image in zip(judged, annotations.images, strict=True):
        for key, value in (("neg_category_ids", True), ("not_exhaustive_category_ids", False)):
            listed = [c for c in image.get(key, ()) if c in annotations.label_of]
            row[[annotations.label_of[c] for c in listed]] = value
    return judged


def _matches(
    annotations: Annotations,
    images: np.ndarray,
    labels: np.ndarray,
    detections: CompactResults,
    iou_type: str,
    iou_threshold: float,
) -> np.ndarray:
    """The object that each detection takes, -1 for none; (n,) int64."""
    found, objects, overlap = _overlapping(annotations, images, detections, iou_type, iou_threshold)
    same = detections.labels[found] == labels[objects]
    # The best score comes first, among equals the first in the results; then the largest overlap,
    # among equals the own class. (hotcoco's matrix takes the class with the largest id there, and
    # so calls two right detections of a thing that has two labels wrong.)
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
    iou_type: str,
    iou_threshold: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of a detection and an object that overlap enough, and their IoU; each (p,)."""
    of_object, of_detection = _by_image(images), _by_image(detections.images)
    pairs: list[tuple[np.ndarray, ...]] = []
    for image in of_object.keys() & of_detection.keys():
        here, there = of_detection[image], of_object[image]
        records = [annotations.annotations[index] for index in there.tolist()]
        if iou_type == "bbox":
            ours = detections.boxes[here]  # type: ignore[index]
            theirs = np.array([record["bbox"] for record in records], np.float64)
        else:
            ours = [detections.masks[index] for index in here.tolist()]  # type: ignore[index]
            size = [annotations.images[image][key] for key in ("height", "width")]
            theirs = [encode_mask(record["segmentation"], *size) for record in records]
        overlap = mask.iou(ours, theirs, [False] * len(records))
        rows, columns = np.nonzero(overlap >= iou_threshold)
        pairs.append((here[rows], there[columns], overlap[rows, columns]))
    if not pairs:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    return tuple(np.concatenate(column) for column in zip(*pairs, strict=True))


def _by_image(images: np.ndarray) -> dict[int, np.ndarray]:
    """Indices of the entries of each image, in their order."""
    if not len(images):
        return {}
    order = np.argsort(images, kind="stable")
    present, starts = np.unique(images[order], return_index=True)
    return dict(zip(present.tolist(), np.split(order, starts[1:]), strict=True))
