"""Read detection results into flat arrays to save memory in the evaluation.

With 300 detections per image, the LVIS validation set has about 6 million detections. Python
objects for these detections take about 5 GiB of memory, whereas arrays take 0.3 GiB.
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
from pcb.datasets.lvis.files import decode
from pcb.datasets.lvis.results import (
    NO_DETECTIONS,
    DetectionReader,
    ResultsError,
    default_iou_type,
    load_results,
    required_keys,
    run_length_check,
    score_warning,
)


@dataclass(frozen=True, eq=False)
class CompactResults:
    """Arrays of n checked detections, in the order of the results.

    Attributes:
        images: (n,) int64, image of each detection, as an index in ``Annotations.images``.
        labels: (n,) int64, label of each detection's class.
        scores: (n,) float64, score of each detection.
        boxes: (n, 4) float64, boxes ``[x, y, width, height]`` in pixels; None if masks were read.
        masks: n compressed run-length encodings; None if boxes were read.
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
    iou_type: str | None,
    score_threshold: float = -math.inf,
) -> CompactResults:
    """Read detections in COCO results format, check them, and store them in flat arrays.

    The returned detections have passed the checks of ``read_results``, and unusual values are read
    in the same way.

    Args:
        results: A ``.json`` or ``.json.gz`` file, or the content of such a file, as in
            ``read_results``.
        annotations: The ground truth for the detections.
        iou_type: 'bbox' to keep the boxes, 'segm' to keep the masks; None to keep the boxes if the
            first detection has one, and the masks otherwise.
        score_threshold: Detections with lower scores are dropped.

    Returns:
        The detections.

    Raises:
        FileNotFoundError: The file does not exist.
        ResultsError: The content is not a list, or a detection is invalid or does not match the
            annotations.
        ValueError: The IoU type is unknown.

    Example:
        >>> image, cat = {"id": 7, "height": 50, "width": 50}, {"id": 3, "name": "cat"}
        >>> annotations = Annotations("", [image], [], [cat])
        >>> good = {"image_id": 7, "category_id": 3, "score": 0.9, "bbox": [0, 0, 10, 10]}
        >>> poor = {**good, "score": 0.1}
        >>> kept = read_compact_results([good, poor], annotations, "bbox", score_threshold=0.5)
        >>> kept.labels, kept.scores, kept.boxes
        (array([0]), array([0.9]), array([[ 0.,  0., 10., 10.]]))
    """
    required_keys(iou_type)
    index_of = {image["id"]: index for index, image in enumerate(annotations.images)}
    images, labels, scores, boxes = array("q"), array("q"), array("d"), array("d")
    masks: list[dict] = []
    source, found = load_results(results, list[msgspec.Raw])
    first = next(decode(found[:1], source, ResultsError), None)
    iou_type = iou_type or default_iou_type(first)
    reader = DetectionReader(source, annotations, iou_type, first)
    run_lengths = run_length_check(source)
    for index, record in enumerate(_records(source, found, reader)):
        if record.score >= score_threshold:
            images.append(index_of[record.image_id])
            labels.append(annotations.label_of[record.category_id])
            scores.append(record.score)
            if iou_type == "bbox":
                boxes.extend(record.bbox)  # type: ignore[arg-type]  # the rules require it
            else:
                masks.append(record.segmentation)  # type: ignore[arg-type]  # the rules require it
                run_lengths.add(index, record.segmentation)
    total = len(found)
    reader.log_readings(total)
    run_lengths.finish()
    del found  # frees millions of objects before the arrays are made
    image_index = np.array(images, np.int64)
    if not total:
        annotations.log(NO_DETECTIONS, source)
    elif not images:
        annotations.log(
            f"no detection has a score of at least {score_threshold:g} (number of detections:"
            f" {total:,}): lower the score threshold",
            source,
        )
    warnings = [score_warning(np.frombuffer(scores, np.float64))]
    if iou_type == "bbox":
        warnings.append(_box_warning(annotations, image_index, boxes))
    for warning in filter(None, warnings):
        annotations.log(warning, source)
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
    """A detection, decoded and type-checked by msgspec."""

    image_id: int
    category_id: int
    score: float
    bbox: tuple[float, float, float, float] | msgspec.UnsetType = msgspec.UNSET
    segmentation: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


_decode_record = msgspec.json.Decoder(_Record).decode


def _records(source: str, results: list, reader: DetectionReader) -> Iterator[_Record]:
    """Check the detections, and yield each detection as a ``_Record``."""
    is_invalid = reader.rules.values_problem
    for index, result in enumerate(results):
        record = _record(result) if isinstance(result, msgspec.Raw) else None
        if record is None or is_invalid(
            record.image_id, record.category_id, record.score, record.bbox, record.segmentation
        ):
            # Read the detection again as a dict, to normalise it or to show the values in the file.
            (result,) = decode([result], source, ResultsError)
            result = reader.read(index, result)
            region = {key: result[key] for key in ("bbox", "segmentation") if key in result}
            record = _Record(result["image_id"], result["category_id"], result["score"], **region)
        yield record


def _record(result: msgspec.Raw) -> _Record | None:
    try:
        return _decode_record(result)
    except ValueError:
        return None
