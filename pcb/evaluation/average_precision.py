"""LVIS average precision: the 13 official metrics, per class, and by frequency group."""

import logging
import math
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pcb.datasets.lvis import Annotations
from pcb.datasets.lvis.notes import say
from pcb.evaluation import fast
from pcb.evaluation.inputs import IOU_TYPES, read_inputs
from pcb.metrics.numbers import METRICS

BACKENDS = ("fast", "lvis")


def evaluate(
    ground_truth: str | os.PathLike | Annotations,
    results: str | os.PathLike | list[dict],
    iou_types: str | Sequence[str] | None = IOU_TYPES,
    backend: str = "fast",
    federated: bool | None = None,
) -> dict[str, dict[str, float]]:
    """Compute the 13 LVIS metrics.

    On federated data the rules of LVIS apply: in an image only the classes that are annotated
    there, or known to be absent (`neg_category_ids`), count, and unmatched detections of classes
    annotated incompletely (`not_exhaustive_category_ids`) do not. On exhaustive data every class
    counts in every image, which gives COCO's AP as long as LVIS's limit, the 300 highest-scoring
    detections of an image (COCO: 100 of each class), and its leaving out of what has no area make
    no difference. The size of a detection (for APs, APm, APl) is that of its `bbox` if it has one,
    else of its mask, as in the lvis package. The log says how many detections were not judged, and
    warns if most were not.

    Args:
        ground_truth: Annotation file, or what `read_annotations` returned.
        results: COCO results, a file or a list; not changed. No detections at all give 0.
        iou_types: 'bbox', 'segm' or both; None for what the results hold.
        backend: 'fast' (hotcoco) or 'lvis' (the reference implementation, two orders of magnitude
            slower). They give the same numbers.
        federated: Whether the data is federated; None for what `read_annotations` found.

    Returns:
        `{iou_type: {metric: value}}`, values as fractions, nan where a metric is undefined (no
        large objects in the ground truth, say, or classes of which no frequency is known).

    Raises:
        FileNotFoundError, AnnotationError, ResultsError: See `read_annotations`, `read_results`.
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
        text = "APr, APc and APf are n/a: the categories state neither frequency nor image_count"
        say(annotations.said, annotations.path, text, logging.INFO)
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
    """Average precision of each class, as in the LVIS metric AP, which is the mean of these.

    Args:
        ground_truth: Annotation file, or what `read_annotations` returned.
        results: COCO results, a file or a list; not changed.
        iou_type: 'bbox' or 'segm'.
        federated: Whether the data is federated; None for what `read_annotations` found.

    Returns:
        Fractions in label order, shape (C,); nan for classes without ground truth.

    Raises:
        As `evaluate`.

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
    # (IoU thresholds, recalls, classes, object sizes, limits on detections); -1 where undefined
    precision = fast.run(annotations, results, iou_type).eval["precision"]
    ap = precision[:, :, :, 0, 0].mean(axis=(0, 1))  # size 0 is "all"
    # A class without ground truth is -1 throughout, any other nowhere.
    return np.where(ap < 0, np.nan, ap)


def group_means(values: ArrayLike, frequency: ArrayLike) -> dict[str, float]:
    """Mean of per-class values over rare, common and frequent classes, without the undefined.

    Args:
        values: One value a class, nan where undefined; shape (C,).
        frequency: Group of each class, 'r', 'c' or 'f' (`Annotations.frequency`).

    Returns:
        `{"r": mean, "c": mean, "f": mean}`; nan for a group without a defined value.

    Raises:
        ValueError: The two differ in length.

    Example:
        >>> group_means([0.1, 0.25, 0.75, float("nan")], ["r", "c", "c", "c"])
        {'r': 0.1, 'c': 0.5, 'f': nan}
    """
    values, frequency = np.asarray(values, dtype=float), np.asarray(frequency)
    if values.shape != frequency.shape:
        raise ValueError(
            f"values and frequency must have one entry a class, got {len(values)} and"
            f" {len(frequency)}"
        )
    means = {}
    for group in "rcf":
        defined = values[(frequency == group) & ~np.isnan(values)]
        means[group] = float(defined.mean()) if defined.size else math.nan
    return means


def _defined(results: dict[str, float], annotations: Annotations) -> dict[str, float]:
    metrics = {name: math.nan if results[name] == -1 else float(results[name]) for name in METRICS}
    if not annotations.has_groups:
        metrics |= dict.fromkeys(("APr", "APc", "APf"), math.nan)
    return metrics
