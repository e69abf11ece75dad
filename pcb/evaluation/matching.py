"""Match detections to objects, and find detections in crowds."""

from collections import defaultdict

import numpy as np
from pycocotools import mask

from pcb.datasets.lvis import Annotations, CompactResults
from pcb.datasets.masks import encode_mask


def matches(
    annotations: Annotations,
    images: np.ndarray,
    labels: np.ndarray,
    detections: CompactResults,
    iou_threshold: float,
) -> np.ndarray:
    """Return, for each detection, the index of the matched object, or -1 if there is none."""
    found, objects, overlap = _overlapping(annotations, images, detections, iou_threshold)
    same = detections.labels[found] == labels[objects]
    # Detections with the highest score come first; ties keep the order of the results. For each
    # detection, objects with the largest IoU come first, and ties prefer the detection's own class.
    # (hotcoco prefers the class with the largest id instead. If an object has two labels, two
    # correct detections can then count as wrong.)
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
    """Find all overlapping detections and objects, image by image.

    A detection and an object overlap if their IoU is at least ``iou_threshold``.

    Returns:
        Three arrays with one entry per overlap: index of the detection, index of the object, IoU.
    """
    of_object, of_detection = _by_image(images), _by_image(detections.images)
    pairs: list[tuple[np.ndarray, ...]] = []
    for image in of_object.keys() & of_detection.keys():
        here, there = of_detection[image], of_object[image]
        records = [annotations.annotations[index] for index in there.tolist()]
        overlap = _overlap(detections, here, records, annotations.images[image])
        rows, columns = np.nonzero(overlap >= iou_threshold)
        pairs.append((here[rows], there[columns], overlap[rows, columns]))
    if not pairs:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    return tuple(np.concatenate(column) for column in zip(*pairs, strict=True))


def _overlap(
    detections: CompactResults,
    chosen: np.ndarray,
    records: list[dict],
    image: dict,
    in_crowds: bool = False,
) -> np.ndarray:
    """Return the IoU of n detections and m annotations of one image, as an (n, m) array.

    If ``in_crowds`` is True, the intersection is divided by the area of the detection instead.
    """
    if detections.boxes is not None:
        ours = detections.boxes[chosen]
        theirs = np.array([record["bbox"] for record in records], np.float64)
    else:
        masks = detections.masks or []
        ours = [masks[index] for index in chosen.tolist()]
        size = image["height"], image["width"]
        theirs = [encode_mask(_mask_of(record), *size) for record in records]
    return mask.iou(ours, theirs, [in_crowds] * len(records))


def _mask_of(record: dict) -> dict | list:
    """Return the mask of an annotation; for a crowd without a mask, its box as a polygon."""
    if "segmentation" in record:
        return record["segmentation"]
    x, y, width, height = record["bbox"]
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def in_crowds(
    annotations: Annotations, detections: CompactResults, iou_threshold: float
) -> np.ndarray:
    """Return which detections lie in a crowd region of their own class, as an (n,) bool array."""
    lies = np.zeros(len(detections), bool)
    if not annotations.crowds:
        return lies
    of_detection = _by_image(detections.images)
    regions = defaultdict(list)
    for record in annotations.crowds:
        regions[record["image_id"]].append(record)
    for index, image in enumerate(annotations.images):
        here, records = of_detection.get(index), regions.get(image["id"])
        if here is None or records is None:
            continue
        labels = np.array([annotations.label_of[record["category_id"]] for record in records])
        overlap = _overlap(detections, here, records, image, in_crowds=True)
        same = detections.labels[here][:, None] == labels
        lies[here] = (same & (overlap >= iou_threshold)).any(axis=1)
    return lies


def _by_image(images: np.ndarray) -> dict[int, np.ndarray]:
    """Return a dict from image index to the positions of this index in ``images``."""
    if not len(images):
        return {}
    order = np.argsort(images, kind="stable")
    present, starts = np.unique(images[order], return_index=True)
    return dict(zip(present.tolist(), np.split(order, starts[1:]), strict=True))
