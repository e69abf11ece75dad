"""The measured confusion matrix: detections matched to ground truth."""

import os

import hotcoco
import numpy as np

from pcb.datasets.lvis import Annotations
from pcb.metrics.inputs import read_inputs


def detection_confusion(
    ground_truth: str | os.PathLike | Annotations,
    results: str | os.PathLike | list[dict],
    iou_type: str = "bbox",
    iou_threshold: float = 0.5,
    score_threshold: float = 0.3,
) -> np.ndarray:
    """Count which class was detected where which class is.

    In each image the detections that score at least `score_threshold` choose in turn, highest
    score first: each takes the ground truth, *of whatever class*, that overlaps it most among
    those still free, if the IoU is at least `iou_threshold`. So a true instance is matched at
    most once, and further detections of it count as detections on background.

    Every detection counts, also of a class about which LVIS says nothing in that image
    (`neg_category_ids`, `not_exhaustive_category_ids`): in a federated dataset part of the last
    row is no error.

    Args:
        ground_truth: LVIS annotation file, or what `read_annotations` returned.
        results: COCO results, a file or a list; not changed.
        iou_type: Overlap of 'bbox' or of masks, 'segm'.
        iou_threshold: Least IoU of a match, in (0, 1].
        score_threshold: Least score of a detection that counts.

    Returns:
        Counts, shape (C + 1, C + 1), int64. `[i, j]`: true class i detected as class j; the last
        row counts detections on background, the last column missed ground truth. Each row but the
        last sums to the number of instances of its class.

    Raises:
        FileNotFoundError, AnnotationError, ResultsError: See `read_annotations`, `read_results`.
        ValueError: Unknown IoU type, or an IoU threshold out of range.

    Example: a cat taken for a dog, and a second detection of it.
        >>> from pcb.datasets import Annotations
        >>> image = {"id": 1, "height": 50, "width": 50}
        >>> image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
        >>> classes = [{"id": 1, "name": "cat", "frequency": "r"}]
        >>> classes += [{"id": 2, "name": "dog", "frequency": "f"}]
        >>> cat = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10]}
        >>> truth = Annotations("", [image], [{**cat, "id": 1, "area": 100}], classes)
        >>> dog = {**cat, "category_id": 2}
        >>> detection_confusion(truth, [{**dog, "score": 0.9}, {**cat, "score": 0.8}])
        array([[0, 1, 0],
               [0, 0, 0],
               [1, 0, 0]])
    """
    if not 0 < iou_threshold <= 1:
        raise ValueError(f"iou_threshold must lie in (0, 1], got {iou_threshold}")
    annotations, results = read_inputs(ground_truth, results, (iou_type,))
    truth = hotcoco.COCO(annotations.to_dict())
    evaluation = hotcoco.COCOeval(truth, truth.load_res(results), iou_type)
    confusion = evaluation.confusion_matrix(
        iou_thr=iou_threshold,
        min_score=score_threshold,
        max_det=max(len(results), 1),  # otherwise 100 an image
    )
    return confusion["matrix"].astype(np.int64)
