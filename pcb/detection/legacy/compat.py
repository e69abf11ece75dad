"""Fixes that make mmcv 1.7 and mmdet 2.28 work with current versions of other packages.

Import this module before any part of mmdet.

A comment before each fix says what is broken. Only parts that this kit uses are fixed.
"""

import functools
import logging
import warnings

from torch import Tensor

from pcb.detection.legacy import operators

# mmcv 1.x warns on every import that there is a new major version.
warnings.filterwarnings("ignore", message="On January 1, 2023, MMCV will release v2.0.0")

# Since Python 3.12, compiling mmdet warns about backslashes in some of its docstrings.
warnings.filterwarnings("ignore", category=SyntaxWarning, module=r".*/mm(cv|det)/")

# When mmcv is imported, PyTorch logs a warning if there is a CUDA compiler but no GPU.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)

# mmdet imports operators from mmcv when it is imported, so install the operators before.
operators.install()

# By default, mmcv's logger prints a line for every initialised parameter.
from mmcv.utils import get_logger  # noqa: E402

get_logger("mmcv", log_level=logging.WARNING)

# These imports need the operators.
from mmcv.runner import force_fp32  # noqa: E402
from mmdet.models.losses import accuracy  # noqa: E402
from mmdet.models.roi_heads.bbox_heads import BBoxHead  # noqa: E402

_loss_of_some_rois = BBoxHead.loss


# Name every argument: in half precision, force_fp32 drops arguments passed through *args.
@force_fp32(apply_to=("cls_score", "bbox_pred"))
@functools.wraps(_loss_of_some_rois)
def _loss_of_any_rois(
    self: BBoxHead,
    cls_score: Tensor | None,
    bbox_pred: Tensor | None,
    rois: Tensor,
    labels: Tensor,
    label_weights: Tensor,
    bbox_targets: Tensor,
    bbox_weights: Tensor,
    reduction_override: str | None = None,
) -> dict[str, Tensor]:
    """Return the losses of the box head, with a classification loss even if there are no RoIs.

    mmdet's own method skips the classification loss if there are no RoIs. In distributed training,
    the other processes would then wait forever.
    """
    losses = _loss_of_some_rois(
        self,
        cls_score,
        bbox_pred,
        rois,
        labels,
        label_weights,
        bbox_targets,
        bbox_weights,
        reduction_override,
    )
    if cls_score is None or cls_score.numel() > 0:
        return losses
    classes = self.loss_cls(cls_score, labels, label_weights, avg_factor=1.0)
    if not isinstance(classes, dict):
        classes = {"loss_cls": classes}
    if self.custom_activation:
        accuracies = self.loss_cls.get_accuracy(cls_score, labels)
    else:
        # For an empty batch, `accuracy` returns the dtype of the scores; for other batches, it
        # returns float32. Cast the scores to float32, so that all processes have the same dtype.
        accuracies = {"acc": accuracy(cls_score.float(), labels)}
    return {**classes, **accuracies, **losses}


BBoxHead.loss = _loss_of_any_rois
