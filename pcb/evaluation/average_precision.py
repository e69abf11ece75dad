"""Compute average precision (AP) as LVIS defines it: overall, per class and per frequency group."""

import logging
import math
import os
from collections.abc import Sequence

import numpy as np

from pcb.datasets.lvis import IOU_TYPES, Annotations
from pcb.evaluation import fast
from pcb.evaluation.inputs import read_inputs
from pcb.metrics.numbers import METRICS

BACKENDS = ("fast", "lvis")


def evaluate(
    ground_truth: str | os.PathLike | Annotations,
    results: str | os.PathLike | list[dict],
    iou_types: str | Sequence[str] | None = IOU_TYPES,
    backend: str = "fast",
    federated: bool | None = None,
) -> dict[str, dict[str, float]]:
    """Compute the 13 official LVIS metrics for detections in COCO's results format.

    In federated data, each image was checked only for some classes: those annotated in the image or
    listed as absent (``neg_category_ids``). A detection does not count if its class was not
    checked in the image. If a class is not annotated completely in an image
    (``not_exhaustive_category_ids``), unmatched detections of this class in this image do not
    count, because they may be correct.

    In exhaustive data, every image was checked for every class. AP then agrees with the AP of COCO,
    with two exceptions. LVIS counts the 300 detections with the highest scores in an image (COCO
    counts 100 per class). LVIS also leaves out objects and detections with area 0.

    APs, APm and APl (small, medium and large objects) also depend on the sizes of the detections.
    As in the lvis package, the size of a detection is the area of its ``bbox``, or of its mask if
    the detection has no ``bbox``.

    Args:
        ground_truth: Annotation file, or the result of ``read_annotations``.
        results: A file or a list of detections in COCO's results format. A list is not changed.
        iou_types: 'bbox', 'segm' or both; None to use all types that the results contain.
        backend: 'fast' (the package hotcoco) or 'lvis' (the reference implementation, two orders of
            magnitude slower). Both return the same numbers.
        federated: True for federated data, False for exhaustive data; None to let
            ``read_annotations`` decide.

    Returns:
        ``{iou_type: {metric: value}}``. The values are fractions. A metric is NaN if it is
        undefined, for example if the ground truth has no large objects or the class frequencies are
        unknown.

    Raises:
        FileNotFoundError: The annotation file or the results file does not exist.
        AnnotationError: The ground truth is invalid; see ``read_annotations``.
        ResultsError: The results are invalid; see ``read_results``.
        ValueError: The IoU type or the backend is unknown.

    Example:
        >>> from pcb.datasets import Annotations
        >>> from pcb.metrics import format_metric
        >>> image = {"id": 1, "height": 50, "width": 50}
        >>> image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
        >>> classes = [{"id": 1, "name": "cat", "frequency": "r"}]
        >>> classes += [{"id": 2, "name": "dog", "frequency": "f"}]
        >>> cat = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10]}
        >>> truth = Annotations("", [image], [{**cat, "id": 1, "area": 100}], classes)
        >>> metrics = evaluate(truth, [{**cat, "score": 0.9}], "bbox")["bbox"]
        >>> [format_metric(metrics[name]) for name in ("AP", "APr", "APf")]
        ['100.0', '100.0', 'n/a']
    """
    iou_types = (iou_types,) if isinstance(iou_types, str) else iou_types
    if backend not in BACKENDS:
        raise ValueError(f"backend must be {' or '.join(map(repr, BACKENDS))}, got {backend!r}")
    annotations, results, iou_types = read_inputs(ground_truth, results, iou_types, federated)
    if not annotations.has_groups:
        text = (
            "APr, APc and APf are n/a, because the categories lack 'frequency' and 'image_count':"
            " pass the training annotations (--train in pcb evaluate; Annotations.with_counts_of in"
            " Python)"
        )
        annotations.log(text, level=logging.INFO)
    if backend == "fast":
        run = fast.run
    elif annotations.crowds:
        raise ValueError(
            f"{annotations.path} has {len(annotations.crowds):,} crowd regions, which the lvis"
            " package does not support: use backend='fast', or read crowds as objects"
        )
    else:
        from pcb.evaluation.reference import run
    return {
        iou_type: _defined(run(annotations, results, iou_type).get_results(), annotations)
        for iou_type in iou_types
    }


def per_class_ap(
    ground_truth: str | os.PathLike | Annotations,
    results: str | os.PathLike | list[dict],
    iou_type: str = "segm",
    federated: bool | None = None,
) -> np.ndarray:
    """Compute the average precision of each class.

    The mean of the values that are not NaN is the LVIS metric AP.

    Args:
        ground_truth: Annotation file, or the result of ``read_annotations``.
        results: A file or a list of detections in COCO's results format. A list is not changed.
        iou_type: 'bbox' or 'segm'.
        federated: True for federated data, False for exhaustive data; None to let
            ``read_annotations`` decide. See ``evaluate``.

    Returns:
        (C,) AP of each class as a fraction, in label order; NaN for classes without objects.

    Raises:
        FileNotFoundError: The annotation file or the results file does not exist.
        AnnotationError: The ground truth is invalid; see ``read_annotations``.
        ResultsError: The results are invalid; see ``read_results``.
        ValueError: The IoU type is unknown.

    Example:
        >>> from pcb.datasets import Annotations
        >>> image = {"id": 1, "height": 50, "width": 50}
        >>> image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
        >>> classes = [{"id": 1, "name": "cat", "frequency": "r"}]
        >>> classes += [{"id": 2, "name": "dog", "frequency": "f"}]
        >>> cat = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10]}
        >>> truth = Annotations("", [image], [{**cat, "id": 1, "area": 100}], classes)
        >>> per_class_ap(truth, [{**cat, "score": 0.9}], "bbox").round(3)
        array([ 1., nan])
    """
    annotations, results, _ = read_inputs(ground_truth, results, (iou_type,), federated)
    # (IoU thresholds, recalls, classes, object sizes, limits on detections); -1 if undefined
    precision = fast.run(annotations, results, iou_type).eval["precision"]
    ap = precision[:, :, :, 0, 0].mean(axis=(0, 1))  # size 0 is "all"
    # All values of a class are -1 if it has no ground truth; otherwise, none of them is -1.
    return np.where(ap < 0, np.nan, ap)


def group_means(values: Sequence[float], frequency: Sequence[str]) -> dict[str, float]:
    """Average values over the classes of each frequency group; NaN values are left out.

    Args:
        values: (C,) one value per class, NaN if undefined.
        frequency: (C,) group of each class, 'r', 'c' or 'f' (``Annotations.frequency``).

    Returns:
        ``{"r": mean, "c": mean, "f": mean}``; NaN for a group without defined values.

    Raises:
        ValueError: ``values`` and ``frequency`` have different lengths.

    Example:
        >>> group_means([0.1, 0.25, 0.75, float("nan")], ["r", "c", "c", "c"])
        {'r': 0.1, 'c': 0.5, 'f': nan}
    """
    numbers, groups = np.asarray(values, dtype=float), np.asarray(frequency)
    if numbers.shape != groups.shape:
        raise ValueError(
            f"`values` and `frequency` must have the same length, got {len(numbers)} and "
            f"{len(groups)}"
        )
    means = {}
    for group in "rcf":
        defined = numbers[(groups == group) & ~np.isnan(numbers)]
        means[group] = float(defined.mean()) if defined.size else math.nan
    return means


def _defined(results: dict[str, float], annotations: Annotations) -> dict[str, float]:
    metrics = {name: math.nan if results[name] == -1 else float(results[name]) for name in METRICS}
    if not annotations.has_groups:
        metrics |= dict.fromkeys(("APr", "APc", "APf"), math.nan)
    return metrics
