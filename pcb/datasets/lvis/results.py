"""Read and check detection results in COCO format."""

import os
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from pcb.datasets.lvis.annotations import Annotations
from pcb.datasets.lvis.boxes import record_warning
from pcb.datasets.lvis.files import decode, load_json
from pcb.datasets.lvis.notes import source_of
from pcb.datasets.lvis.readings import Readings
from pcb.datasets.lvis.rules import DETECTION_KEYS, DetectionRules
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

    Some values that differ from the format are read if they have only one meaning, for example ids
    and scores that are text; see :class:`~pcb.datasets.lvis.readings.Readings`. A warning states
    how many values were read in each way. Warnings are also logged if there are no detections, if
    scores are above 1, or if boxes look like corners ``[x1, y1, x2, y2]`` or like fractions of the
    image size.

    Args:
        results: A ``.json`` or ``.json.gz`` file, or its content: a list of dicts. Each dict has
            the keys ``image_id``, ``category_id`` and ``score``, and at least one of the keys
            ``bbox`` and ``segmentation``. A ``bbox`` is ``[x, y, width, height]`` in pixels. A
            ``segmentation`` is a run-length encoding or a list of polygons. Other keys are ignored.
        annotations: The ground truth for the detections.
        iou_type: The IoU type or types to evaluate: 'bbox', 'segm' or both. None if unknown.

    Returns:
        The list of detections, with compressed run-length encodings. A list that was passed as
        ``results`` is returned itself if its values follow the format; it is never changed.

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
    reader = DetectionReader(source, annotations, iou_type, results[0] if results else None)
    run_lengths = run_length_check(source)
    given = results
    for index, result in enumerate(given):
        read = reader.read(index, result)
        if read is not result:
            results = list(given) if results is given else results
            results[index] = read
        run_lengths.add(index, read.get("segmentation"))
    reader.log_readings(len(given))
    run_lengths.finish()
    warnings = [NO_DETECTIONS]
    if results:
        scores = np.fromiter((result["score"] for result in results), float, len(results))
        warnings = [record_warning(results, annotations.image_of), score_warning(scores)]
    for warning in filter(None, warnings):
        annotations.log(warning, source)
    return results


def score_warning(scores: np.ndarray) -> str | None:
    """Return a warning if detections have scores (n,) above 1, which may be percentages.

    Example:
        >>> score_warning(np.array([0.5, 87.5, 99.0]))
        '2 of 3 scores are above 1 (up to 99). AP does not depend on their scale, but thresholds \
do: a threshold of 0.3 means 0.3, not 30%'
    """
    above = np.count_nonzero(scores > 1)
    if not above:
        return None
    return (
        f"{above:,} of {len(scores):,} scores are above 1 (up to {scores.max():g}). AP does not"
        " depend on their scale, but thresholds do: a threshold of 0.3 means 0.3, not 30%"
    )


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


def evaluated_keys(iou_type: str) -> tuple[str, ...]:
    """Return the keys of detections that an evaluation needs.

    The sizes of masks are the areas of the boxes if there are boxes; see
    :func:`pcb.evaluation.evaluate`.

    Example:
        >>> evaluated_keys("bbox")
        ('image_id', 'category_id', 'score', 'bbox')
    """
    return DETECTION_KEYS if iou_type == "segm" else DETECTION_KEYS[:-1]


def has_boxes(first: Any) -> bool:
    """Return whether the first detection of results has a box. If so, all detections must."""
    return isinstance(first, dict) and first.get("bbox") is not None


def default_iou_type(first: Any) -> str:
    """Return the IoU type of results: 'segm' if the first detection has only a mask, else 'bbox'.

    Args:
        first: The first detection; None if there are no detections.

    Example:
        >>> default_iou_type({"bbox": None, "segmentation": {"size": [1, 1], "counts": "01"}})
        'segm'
    """
    has_mask = isinstance(first, dict) and first.get("segmentation") is not None
    return "segm" if has_mask and not has_boxes(first) else "bbox"


def iou_type_of(results: str | os.PathLike | list) -> str:
    """Return the IoU type of a results file or list; see :func:`default_iou_type`.

    Raises:
        FileNotFoundError: The file does not exist.
        ResultsError: The content is not a list.
    """
    source, found = load_results(results, list[msgspec.Raw])
    return default_iou_type(next(decode(found[:1], source, ResultsError), None))


class DetectionReader:
    """A reader that checks detections one by one, and normalises those with unusual values.

    Args:
        source: Name of the results, for use in messages.
        annotations: The ground truth for the detections.
        iou_type: The IoU type or types to evaluate: 'bbox', 'segm' or both. None if unknown.
        first: The first detection. If it has a box, all detections must have one. Otherwise, no
            detection may have one.

    Attributes:
        rules: The rules that the detections must satisfy.
    """

    def __init__(
        self,
        source: str,
        annotations: Annotations,
        iou_type: str | Sequence[str] | None,
        first: Any,
    ) -> None:
        self.rules = DetectionRules(
            annotations.image_of, annotations.label_of, required_keys(iou_type), has_boxes(first)
        )
        self._source, self._readings = source, Readings(annotations)

    def read(self, index: int, result: Any) -> dict:
        """Return a detection in the COCO results format.

        A detection that satisfies the rules is returned itself, otherwise a normalised copy.

        Args:
            index: Position of the detection in the results, for use in messages.
            result: The detection; it may be of any type.

        Raises:
            ResultsError: The detection is invalid.
        """
        problem = self.rules.problem(result)
        if problem and isinstance(result, dict):
            result = self._readings.normalised(result)
            problem = self._readings.text_problem(result) or self.rules.problem(result)
        if problem:
            raise result_error(self._source, index, problem)
        return result

    def log_readings(self, total: int) -> None:
        """Log how many unusual values were normalised, out of ``total`` detections."""
        self._readings.log(self._source, total)


def result_error(source: str, index: int, problem: str) -> ResultsError:
    """Return the error to raise for a problem with the detection at ``index``."""
    return ResultsError(f"{source}: result {index}: {problem}")


def run_length_check(source: str) -> RunLengthCheck:
    """Return an object that checks the run-length encoded masks of detections."""

    def refuse(index: int, problem: str) -> None:
        raise result_error(source, index, problem)

    return RunLengthCheck(refuse)
