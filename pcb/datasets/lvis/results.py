"""Detection results; format: https://cocodataset.org/#format-results."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from pcb.datasets.lvis.annotations import Annotations
from pcb.datasets.lvis.boxes import record_warning
from pcb.datasets.lvis.checks import (
    box_problem,
    id_problem,
    is_number,
    is_rle,
    missing_keys,
    quoted,
    shortened,
)
from pcb.datasets.lvis.files import load_json
from pcb.datasets.lvis.notes import say, source_of
from pcb.datasets.lvis.run_lengths import RunLengthCheck

NO_DETECTIONS = "no detections at all, so that every object is missed"
DETECTION_KEYS = ("image_id", "category_id", "score", "bbox", "segmentation")
RESULT_KEYS = {"bbox": "bbox", "segm": "segmentation"}  # what each kind of evaluation reads


class ResultsError(ValueError):
    """Detection results are not usable; says which file, which value and what to do."""


def read_results(
    results: str | os.PathLike | list[dict],
    annotations: Annotations,
    iou_type: str | Sequence[str] | None = None,
) -> list[dict]:
    """Read and check detections in COCO results format.

    The log says if there are none, and if boxes look like corners or shares of the image.

    Args:
        results: A `.json` or `.json.gz` file, or its content: a list of
            `{"image_id", "category_id", "score", "bbox" and/or "segmentation"}`, where `bbox` is
            `[x, y, width, height]` in pixels and `segmentation` a compressed RLE. It may be empty.
        annotations: The ground truth that the detections belong to.
        iou_type: What will be evaluated: 'bbox', 'segm' or several. None accepts detections that
            have either.

    Returns:
        The list of detections; the very list that was given, if it was one.

    Raises:
        FileNotFoundError: There is no such file.
        ResultsError: Not JSON, not a list, or a detection that does not fit the annotations.
        ValueError: Unknown IoU type.

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
    has_bbox = bool(results) and isinstance(results[0], dict) and "bbox" in results[0]
    check = result_check(source, annotations, iou_type, has_bbox)
    run_lengths = run_length_check(source)
    for index, result in enumerate(results):
        check(index, result)
        run_lengths.add(index, result.get("segmentation"))
    run_lengths.finish()
    warning = record_warning(results, annotations.image_of) if results else NO_DETECTIONS
    if warning:
        say(annotations.said, source, warning)
    return results


def load_results(results: str | os.PathLike | list, layout: Any = Any) -> tuple[str, list]:
    """What messages call the results, and the list of them, as yet unchecked.

    Args:
        results: A `.json` or `.json.gz` file, or its content.
        layout: What a file is decoded to if it fits; see `load_json`.

    Raises:
        FileNotFoundError: There is no such file.
        ResultsError: Not JSON, or not a list.
    """
    source = source_of(results)
    if isinstance(results, (str, os.PathLike)):
        results = load_json(source, ResultsError, layout)
    if not isinstance(results, list):
        hint = "an annotation file" if isinstance(results, dict) else type(results).__name__
        raise ResultsError(
            f"{source}: results must be a list of detections, got {hint}; the ground truth comes"
            " first, the results second"
        )
    return source, results


def required_keys(iou_type: str | Sequence[str] | None) -> list[str]:
    """The keys that evaluations of this type, of several or of None read; or a ValueError."""
    iou_types = (iou_type,) if isinstance(iou_type, str) else tuple(iou_type or ())
    for name in iou_types:
        if name not in RESULT_KEYS:
            raise ValueError(f"iou_type must be one of {', '.join(RESULT_KEYS)}, got {name!r}")
    return [RESULT_KEYS[name] for name in iou_types]


def result_check(
    source: str, annotations: Annotations, iou_type: str | Sequence[str] | None, has_bbox: bool
) -> Callable[[int, Any], None]:
    """Function of a detection's index and the detection that raises a ResultsError for a bad one.

    Args:
        source: What messages call the results.
        annotations: The ground truth that the detections belong to.
        iou_type: As for `read_results`.
        has_bbox: Whether the first detection has a 'bbox'; either all have one or none.
    """
    image_of, label_of = annotations.image_of, annotations.label_of
    required = required_keys(iou_type)

    def check(index: int, result: Any) -> None:
        problem = _result_problem(result, image_of, label_of, required, has_bbox)
        if problem:
            raise ResultsError(f"{source}: result {index}: {problem}")

    return check


def run_length_check(source: str) -> RunLengthCheck:
    """Check of the masks, to be given each with the index of its detection."""
    return RunLengthCheck(
        lambda index, problem: ResultsError(f"{source}: result {index}: {problem}")
    )


def is_compressed_rle(segmentation, image: dict) -> bool:
    """Whether this is a run-length encoded mask of the image's size, the run lengths as text."""
    return is_rle(segmentation, image) and isinstance(segmentation["counts"], (str, bytes))


def _result_problem(
    result, image_of: dict, label_of: dict, required: list[str], has_bbox: bool
) -> str | None:
    missing = missing_keys(result, ("image_id", "category_id", "score"))
    if missing:
        return f"no {quoted(missing)}; write it as in the COCO results format"
    missing = missing_keys(result, required)
    if missing:
        return f"no {quoted(missing)}; write it, or evaluate only what the results hold"
    problem = id_problem(result, image_of, label_of)
    if problem:
        return problem
    score = result["score"]
    if not is_number(score):
        return f"score must be a finite number, got {shortened(score)}; was the model's output NaN?"
    if "bbox" not in result and "segmentation" not in result:
        return "neither 'bbox' nor 'segmentation'; a detection needs one of them"
    if ("bbox" in result) != has_bbox:
        return "some results have a 'bbox' and some have none; write it for all or for none"
    problem = box_problem(result["bbox"]) if has_bbox else None
    if problem:
        return problem
    if "segmentation" in result:
        image, segmentation = image_of[result["image_id"]], result["segmentation"]
        if not is_compressed_rle(segmentation, image):
            return (
                "segmentation must be a compressed RLE {'size':"
                f" {[image['height'], image['width']]}, 'counts': string}}, got"
                f" {shortened(segmentation)}; encode it with pycocotools.mask"
            )
    return None
