"""What every metric starts from: checked ground truth and checked detections."""

import os
from collections.abc import Sequence

from pcb.datasets.lvis import Annotations, read_annotations, read_results

IOU_TYPES = ("bbox", "segm")


def read_ground_truth(ground_truth: str | os.PathLike | Annotations) -> Annotations:
    """Read LVIS annotations unless they were read already.

    Raises:
        FileNotFoundError, AnnotationError: See `read_annotations`.
    """
    if isinstance(ground_truth, Annotations):
        return ground_truth
    return read_annotations(ground_truth)


def read_inputs(
    ground_truth: str | os.PathLike | Annotations,
    results: str | os.PathLike | list[dict],
    iou_types: Sequence[str],
) -> tuple[Annotations, list[dict]]:
    """Read both sides unless they were read already, and check that they fit.

    Args:
        ground_truth: LVIS annotation file, or what `read_annotations` returned.
        results: COCO results, a file or a list.
        iou_types: What will be evaluated: 'bbox', 'segm' or both.

    Raises:
        FileNotFoundError, AnnotationError, ResultsError: See `read_annotations`, `read_results`.
        ValueError: Unknown IoU type.
    """
    annotations = read_ground_truth(ground_truth)
    return annotations, read_results(results, annotations, iou_types)
