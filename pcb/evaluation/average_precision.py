"""LVIS average precision: the 13 official metrics, per class, and by frequency group."""

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
    """Compute the 13 official LVIS metrics.

    On federated data the rules of LVIS apply. An image judges a class if the class is annotated in
    it or listed as absent (``neg_category_ids``). Detections of other classes do not count. If the
    class is annotated incompletely (``not_exhaustive_category_ids``), only matched detections
    count: an unmatched one may be right.

    On exhaustive data every image judges every class, which gives COCO's AP, with two exceptions:
    LVIS counts the 300 detections with the highest scores in an image (COCO: 100 of each class),
    and it leaves out what has no area.

    The size of a detection (for APs, APm and APl) is that of its ``bbox`` if it has one, otherwise
    that of its mask, as in the lvis package. The log reports how many detections are not judged.

    Args:
        ground_truth: Annotation file, or the result of ``read_annotations``.
        results: COCO results, a file or a list; they are not changed. Without any detection the
            metrics are 0.
        iou_types: 'bbox', 'segm' or both; None for what the results hold.
        backend: 'fast' (hotcoco) or 'lvis' (the reference implementation, two orders of magnitude
            slower). Both return the same numbers.
        federated: Whether the data is federated; None for what ``read_annotations`` found.

    Returns:
        ``{iou_type: {metric: value}}``. The values are fractions, and NaN if a metric is undefined,
        for example without large objects in the ground truth, or with unknown class frequencies.

    Raises:
        FileNotFoundError: See ``read_annotations`` and ``read_results``.
        AnnotationError: See ``read_annotations``.
        ResultsError: See ``read_results``.
        ValueError: Unknown IoU type or backend.

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
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    annotations, results, iou_types = read_inputs(ground_truth, results, iou_types, federated)
    if not annotations.has_groups:
        text = "APr, APc and APf are n/a: the categories have neither frequency nor image_count"
        annotations.log(text, level=logging.INFO)
    if backend == "fast":
        run = fast.run
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
    """Compute the average precision of each class; the LVIS metric AP is their mean.

    Args:
        ground_truth: Annotation file, or the result of ``read_annotations``.
        results: COCO results, a file or a list; they are not changed.
        iou_type: 'bbox' or 'segm'.
        federated: Whether the data is federated; None for what ``read_annotations`` found.

    Returns:
        (C,) fractions in label order; NaN for classes without ground truth.

    Raises:
        FileNotFoundError: See ``evaluate``.
        AnnotationError: See ``evaluate``.
        ResultsError: See ``evaluate``.
        ValueError: Unknown IoU type.

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
    # A class without ground truth is -1 everywhere, any other class nowhere.
    return np.where(ap < 0, np.nan, ap)


def group_means(values: Sequence[float], frequency: Sequence[str]) -> dict[str, float]:
    """Average values per class over the rare, common and frequent classes; NaN is left out.

    Args:
        values: (C,) one value per class, NaN if undefined.
        frequency: (C,) group of each class, 'r', 'c' or 'f' (``Annotations.frequency``).

    Returns:
        ``{"r": mean, "c": mean, "f": mean}``; NaN for a group without a defined value.

    Raises:
        ValueError: The two differ in length.

    Example:
        >>> group_means([0.1, 0.25, 0.75, float("nan")], ["r", "c", "c", "c"])
        {'r': 0.1, 'c': 0.5, 'f': nan}
    """
    numbers, groups = np.asarray(values, dtype=float), np.asarray(frequency)
    if numbers.shape != groups.shape:
        raise ValueError(
            f"values and frequency must have one entry per class, got {len(numbers)} and"
            f" {len(groups)}"
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
