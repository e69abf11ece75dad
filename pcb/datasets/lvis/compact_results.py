"""Detection results as flat arrays.

LVIS keeps 300 detections an image. The 6 million of its validation set take about 5 GiB as records
and 0.3 GiB as arrays.
"""

import math
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from pcb.datasets.lvis.annotations import Annotations
from pcb.datasets.lvis.boxes import box_warning
from pcb.datasets.lvis.files import decoded
from pcb.datasets.lvis.notes import say
from pcb.datasets.lvis.results import (
    NO_DETECTIONS,
    ResultsError,
    is_compressed_rle,
    load_results,
    required_keys,
    result_check,
    run_length_check,
)


@dataclass(frozen=True, eq=False)
class CompactResults:
    """Validated detections, n in number, in the order of the results.

    Attributes:
        images: (n,) int64, place of each detection's image in `Annotations.images`.
        labels: (n,) int64.
        scores: (n,) float64.
        boxes: (n, 4) float64, x, y, width and height in pixels; None if masks were asked for.
        masks: n compressed RLE, as in the results; None if boxes were asked for.
    """

    images: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    scores: np.ndarray = field(repr=False)
    boxes: np.ndarray | None = field(default=None, repr=False)
    masks: list[dict] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.images)


def read_compact_results(
    results: str | os.PathLike | list[dict],
    annotations: Annotations,
    iou_type: str,
    score_threshold: float = -math.inf,
) -> CompactResults:
    """Read and check detections in COCO results format without keeping their records.

    Every detection is checked as by `read_results`, with the same errors and warnings; those below
    `score_threshold` are then dropped. The runs of masks are checked of what is kept, since that
    takes several times as long as all the rest.

    Args:
        results: A `.json` or `.json.gz` file, or its content, as for `read_results`.
        annotations: The ground truth that the detections belong to.
        iou_type: 'bbox' keeps the boxes, 'segm' the masks.
        score_threshold: Least score of a detection that is kept.

    Raises:
        FileNotFoundError, ResultsError, ValueError: See `read_results`.

    Example:
        >>> image, cat = {"id": 7, "height": 50, "width": 50}, {"id": 3, "name": "cat"}
        >>> annotations = Annotations("", [image], [], [cat])
        >>> good = {"image_id": 7, "category_id": 3, "score": 0.9, "bbox": [0, 0, 10, 10]}
        >>> poor = {**good, "score": 0.1}
        >>> kept = read_compact_results([good, poor], annotations, "bbox", score_threshold=0.5)
        >>> kept.labels, kept.scores, kept.boxes
        (array([0]), array([0.9]), array([[ 0.,  0., 10., 10.]]))
    """
    required_keys([iou_type])
    index_of = {image["id"]: index for index, image in enumerate(annotations.images)}
    images, labels, scores, boxes = array("q"), array("q"), array("d"), array("d")
    masks: list[dict] = []
    source, found = load_results(results, list[msgspec.Raw])
    run_lengths = run_length_check(source)
    for index, record in enumerate(_records(source, found, annotations, iou_type)):
        if record.score >= score_threshold:
            images.append(index_of[record.image_id])
            labels.append(annotations.label_of[record.category_id])
            scores.append(record.score)
            if iou_type == "bbox":
                boxes.extend(record.bbox)  # type: ignore[arg-type]
            else:
                masks.append(record.segmentation)  # type: ignore[arg-type]
                run_lengths.add(index, record.segmentation)
    run_lengths.finish()
    total = len(found)
    del found  # millions of objects, before there are arrays beside them
    image_index = np.array(images, np.int64)
    if not total:
        say(annotations.said, source, NO_DETECTIONS)
    elif not images:
        text = f"none of {total:,} detections scores at least {score_threshold:g}"
        say(annotations.said, source, text)
    if iou_type == "bbox" and (warning := _box_warning(annotations, image_index, boxes)):
        say(annotations.said, source, warning)
    return CompactResults(
        images=image_index,
        labels=np.array(labels, np.int64),
        scores=np.array(scores, np.float64),
        boxes=np.array(boxes, np.float64).reshape(-1, 4) if iou_type == "bbox" else None,
        masks=masks if iou_type == "segm" else None,
    )


def _box_warning(annotations: Annotations, images: np.ndarray, boxes: array) -> str | None:
    sizes = [(image["width"], image["height"]) for image in annotations.images]
    return box_warning(np.array(boxes).reshape(-1, 4), np.array(sizes)[images])


class _Record(msgspec.Struct, gc=False):
    """A detection, whose types msgspec checks, the finiteness of numbers among them."""

    image_id: int
    category_id: int
    score: float
    bbox: tuple[float, float, float, float] | msgspec.UnsetType = msgspec.UNSET
    segmentation: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


_decode = msgspec.json.Decoder(_Record).decode


def _records(
    source: str, results: list, annotations: Annotations, iou_type: str
) -> Iterator[_Record]:
    """The detections, each checked.

    Those of a file are decoded to what they should be. What does not fit, and what is in memory, is
    checked as plain Python, by the code that knows what to say.
    """
    first = next(decoded(results[:1], source, ResultsError), None)
    has_bbox = isinstance(first, dict) and "bbox" in first
    check = result_check(source, annotations, iou_type, has_bbox)
    for index, result in enumerate(results):
        record = _record(result) if isinstance(result, msgspec.Raw) else None
        if record is None or not _fits(record, annotations, iou_type, has_bbox):
            (result,) = decoded([result], source, ResultsError)
            check(index, result)
            region = {key: result[key] for key in ("bbox", "segmentation") if key in result}
            record = _Record(result["image_id"], result["category_id"], result["score"], **region)
        yield record


def _record(result: msgspec.Raw) -> _Record | None:
    try:
        return _decode(result)
    except ValueError:
        return None


def _fits(record: _Record, annotations: Annotations, iou_type: str, has_bbox: bool) -> bool:
    """Whether a decoded record passes every check."""
    box: Any = record.bbox  # either may be missing
    mask: Any = record.segmentation
    return (
        record.image_id in annotations.image_of
        and record.category_id in annotations.label_of
        and (box is not msgspec.UNSET) == has_bbox
        and (box[2] >= 0 <= box[3] and math.isfinite(sum(box)) if has_bbox else iou_type == "segm")
        and (
            iou_type == "bbox"
            if mask is msgspec.UNSET
            else is_compressed_rle(mask, annotations.image_of[record.image_id])
        )
    )
