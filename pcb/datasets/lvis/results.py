"""Read and check detection results in COCO format."""

import os
from collections.abc import Sequence
from typing import Any

from pcb.datasets.lvis.annotations import Annotations
from pcb.datasets.lvis.boxes import record_warning
from pcb.datasets.lvis.files import load_json
from pcb.datasets.lvis.notes import source_of
from pcb.datasets.lvis.rules import DetectionRules
from pcb.datasets.lvis.run_lengths import RunLengthCheck

NO_DETECTIONS = "there are no detections, so every object is missed"
RESULT_KEYS = {"bbox": "bbox", "segm": "segmentation"}  # the key that is read for each IoU type
IOU_TYPES = tuple(RESULT_KEYS)


class ResultsError(ValueError):
    """An error in detection results; the message says where the error is and how to correct it."""


def read_results(
    results: str | os.PathLike | list[dict],
    annotations: Annotations,
    iou_type: str | Sequence[str] | None = None,
) -> list[dict]:
    """Read and check detections in COCO results format.

    A warning is logged if there are no detections, or if boxes look like corners ``[x1, y1, x2,
    y2]`` or like fractions of the image size.

    Args:
        results: A ``.json`` or ``.json.gz`` file, or its content: a list of dicts. Each dict has
            the keys ``image_id``, ``category_id`` and ``score``, and at least one of the keys
            ``bbox`` and ``segmentation``. A ``bbox`` is ``[x, y, width, height]`` in pixels. A
            ``segmentation`` is a compressed run-length encoding.
        annotations: The ground truth for the detections.
        iou_type: The IoU type or types to evaluate: 'bbox', 'segm' or both. None if unknown.

    Returns:
        The list of detections; a list that was passed as ``results`` is not copied.

    Raises:
        FileNotFoundError: The file does not exist.
        ResultsError: The content is not a list, or a detection is invalid.
        ValueError: ``iou_type`` is invalid.

    Example:
        >>> image, cat = {"id": 7, "height": 50, "width": 50}, {"id": 3, "name": "cat"}
        >>> annotations = Annotations("", [image], [], [cat])
        >>> result = {"image_id": 7, "category_id": 3, "score": 0.9, "bbox": [0, 0, 10, 10]}
        >>> len(read_results([result], annotations))
        1
        >>> read_results([result], annotations, "segm")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        pcb.datasets.lvis.results.ResultsError: results: result 0: no 'segmentation'; ...
    """
    required_keys(iou_type)
    source, results = load_results(results)
    rules = detection_rules(annotations, iou_type, results[0] if results else None)
    run_lengths = run_length_check(source)
    for index, result in enumerate(results):
        if problem := rules.problem(result):
            raise result_error(source, index, problem)
        run_lengths.add(index, result.get("segmentation"))
    run_lengths.finish()
    warning = record_warning(results, annotations.image_of) if results else NO_DETECTIONS
    if warning:
        annotations.log(warning, source)
    return results


def load_results(results: str | os.PathLike | list, layout: Any = Any) -> tuple[str, list]:
    """Load detection results without checking the individual detections.

    Args:
        results: A ``.json`` or ``.json.gz`` file, or the content of such a file.
        layout: Type into which msgspec decodes the file.

    Returns:
        source: Name of the results, for use in messages.
        results: The list of detections.

    Raises:
        FileNotFoundError: The file does not exist.
        ResultsError: The content is not JSON or not a list.
    """
    source = source_of(results)
    if isinstance(results, (str, os.PathLike)):
        results = load_json(source, ResultsError, layout)
    if not isinstance(results, list):
        found = "an annotation file" if isinstance(results, dict) else type(results).__name__
        raise ResultsError(
            f"{source}: results must be a list of detections, got {found}. Pass the ground truth"
            " first and the results second"
        )
    return source, results


def required_keys(iou_type: str | Sequence[str] | None) -> list[str]:
    """Return the keys that each detection must have for an evaluation.

    Args:
        iou_type: The IoU type or types to evaluate: 'bbox', 'segm' or both. None if unknown.

    Raises:
        ValueError: ``iou_type`` is invalid.
    """
    iou_types = (iou_type,) if isinstance(iou_type, str) else tuple(iou_type or ())
    for name in iou_types:
        if name not in RESULT_KEYS:
            raise ValueError(
                f"iou_type must be {' or '.join(map(repr, RESULT_KEYS))}, got {name!r}"
            )
    return [RESULT_KEYS[name] for name in iou_types]


def detection_rules(
    annotations: Annotations, iou_type: str | Sequence[str] | None, first: Any
) -> DetectionRules:
    """Return the rules that detections in COCO results format must satisfy.

    Args:
        annotations: The ground truth for the detections.
        iou_type: The IoU type or types to evaluate: 'bbox', 'segm' or both. None if unknown.
        first: The first detection. If it has the key 'bbox', all detections must have this key.
            Otherwise, no detection may have it.
    """
    has_bbox = isinstance(first, dict) and "bbox" in first
    return DetectionRules(
        annotations.image_of, annotations.label_of, required_keys(iou_type), has_bbox
    )


def result_error(source: str, index: int, problem: str) -> ResultsError:
    """Return the error to raise for a problem with the detection at ``index``."""
    return ResultsError(f"{source}: result {index}: {problem}")


def run_length_check(source: str) -> RunLengthCheck:
    """Return an object that checks the run-length encoded masks of detections."""

    def refuse(index: int, problem: str) -> None:
        raise result_error(source, index, problem)

    return RunLengthCheck(refuse)
