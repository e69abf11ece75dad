"""Measure what a detector predicts at the ground-truth boxes.

The result can be compared with the confusion matrix that Pairwise Class Balance (PCB) learns during
training.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from mmdet.core import bbox2roi, bbox_mapping
from mmdet.models.roi_heads import StandardRoIHead
from torch import Tensor, nn

from pcb.confusion import batch_confusion
from pcb.distributed import sum_over_processes
from pcb.losses import EQLv2Loss


class GroundTruthConfusion(AbstractContextManager):
    """Context manager that averages the predictions at the ground-truth boxes of each class.

    Inside the ``with`` block, let the detector process images as usual, and call :meth:`add` after
    each batch. :meth:`add` applies the box head to the ground-truth boxes, with the feature maps of
    the batch.

    If the RoI head refines its predictions iteratively, only the final predictions are used.
    Predictions that are not finite are skipped. If :func:`class_activation` returns None for the
    detector, nothing is measured.

    Args:
        model: An mmdet detector in evaluation mode.
        dataset: The mmdet dataset that contains the images and their ground truth.
    """

    def __init__(self, model: nn.Module, dataset: Any) -> None:
        self.dataset = dataset
        self._model = model
        self.activation = class_activation(model)
        self._extractor = model.neck if getattr(model, "with_neck", False) else model.backbone
        self._features: Sequence[Tensor] | None = None
        if self.activation is not None:
            self._num_classes = classes = model.roi_head.bbox_head.num_classes
            # The last column contains the counts, so that one collective operation sums them, too.
            self._sums = next(model.parameters()).new_zeros(
                (classes, classes + 1), dtype=torch.float32
            )

    def __enter__(self) -> "GroundTruthConfusion":
        self._hook = self._extractor.register_forward_hook(self._keep)
        return self

    def __exit__(self, *_error: Any) -> None:
        self._hook.remove()
        self._features = None

    def _keep(self, _module: nn.Module, _inputs: Any, features: Sequence[Tensor]) -> None:
        if self._features is None:  # use only the first version of a test-time augmentation
            self._features = features

    @torch.no_grad()
    def add(self, img_metas: Sequence[dict[str, Any]], indices: Sequence[int]) -> None:
        """Measure the predictions at the ground-truth boxes of the current batch.

        Call this method after the model has processed the batch.

        Args:
            img_metas: mmdet's metadata of each image, with the size and the scale of the image.
            indices: The index of each image in the dataset.
        """
        features, self._features = self._features, None
        if self.activation is None:
            return
        boxes, labels = [], []
        for meta, index in zip(img_metas, indices, strict=True):
            truth = self.dataset.get_ann_info(index)
            scaled = bbox_mapping(
                torch.as_tensor(truth["bboxes"]),
                meta["img_shape"],
                meta["scale_factor"],
                meta["flip"],
                meta["flip_direction"],
            )
            boxes.append(scaled.to(self._sums.device))
            labels.append(torch.as_tensor(truth["labels"]).to(self._sums.device))
        rois, labels = bbox2roi(boxes), torch.cat(labels)
        if len(rois) == 0:
            return
        # If the detector uses half precision, use autocasting, as its own forward pass does.
        with torch.autocast(rois.device.type, enabled=self._model.fp16_enabled):
            logits = self._model.roi_head._bbox_forward(features, rois)["cls_score"]
        logits = logits[:, : self._num_classes]
        finite = logits.isfinite().all(dim=1)
        sums, counts = batch_confusion(logits[finite], labels[finite], self.activation)
        self._sums[:, :-1] += sums
        self._sums[:, -1] += counts

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the average prediction at the ground-truth boxes of each class.

        The averages include the predictions of all processes. Every process must call this method.

        Returns:
            A dictionary with two arrays for C classes, or an empty dictionary if
            :func:`class_activation` returns None for the detector.

            - ``ground_truth_boxes``: (C, C) float32. Entry (i, j) is the mean probability of
              class j at the boxes of class i. The row of a class without boxes contains only NaN.
            - ``ground_truth_box_count``: (C,) int64, the number of boxes of each class.
        """
        if self.activation is None:
            return {}
        total = sum_over_processes(self._sums)
        sums, counts = total[:, :-1], total[:, -1:]
        return {
            "ground_truth_boxes": (sums / counts).cpu().numpy(),  # 0 / 0 is nan
            "ground_truth_box_count": counts[:, 0].long().cpu().numpy(),
        }


def class_activation(model: nn.Module) -> str | None:
    """Return the name of the function that turns a detector's class logits into probabilities.

    Returns:
        ``"softmax"`` or ``"sigmoid"``. The result is None if the classification loss is of an
        unknown type, or if the detector does not have exactly one box head.

    Example:
        >>> from types import SimpleNamespace
        >>> class_activation(nn.Linear(1, 1)) is None
        True
    """
    roi_head = getattr(model, "roi_head", None)
    if not (isinstance(roi_head, StandardRoIHead) and roi_head.with_bbox):
        return None
    loss = roi_head.bbox_head.loss_cls
    if getattr(loss, "balance", None) is not None:
        return loss.balance.activation
    is_sigmoid = True if isinstance(loss, EQLv2Loss) else getattr(loss, "use_sigmoid", None)
    return None if is_sigmoid is None else "sigmoid" if is_sigmoid else "softmax"
