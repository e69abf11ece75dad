"""Fixes that mmcv 1.7 and mmdet 2.28 need with current packages; imported before either.

Each entry says what is broken and fixes no more than this kit uses.
"""

import functools
import logging
import warnings

from torch import Tensor

from pcb.detection.legacy import operators

# mmcv 1.x announces its successor on every import.
warnings.filterwarnings("ignore", message="On January 1, 2023, MMCV will release v2.0.0")

# Since Python 3.12, compiling mmdet warns about backslashes in some of its docstrings.
warnings.filterwarnings("ignore", category=SyntaxWarning, module=r".*/mm(cv|det)/")

# On import, mmcv asks torch for a CUDA compiler, and torch complains about one without a GPU.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)

# mmdet imports operators from mmcv on import, so they must be in place by then.
operators.install()

# mmcv prints a line for every initialised parameter unless its logger is told not to.
from mmcv.utils import get_logger  # noqa: E402

get_logger("mmcv", log_level=logging.WARNING)

# These imports need the operators.
from mmcv.runner import force_fp32  # noqa: E402
from mmdet.models.losses import accuracy  # noqa: E402
from mmdet.models.roi_heads.bbox_heads import BBoxHead  # noqa: E402

_loss_of_some_rois = BBoxHead.loss


# Every argument is named, because force_fp32 drops those in *args in half precision.
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
    """Losses of the box head, with the same terms for a batch without any RoI.

    mmdet skips the class loss if there is no RoI (images without objects or proposals). Other
    processes would then wait forever inside a loss that sums over processes. Besides, mmdet's mean
    of the logged values needs the same terms in the same order on every process.
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
        # For an empty batch, `accuracy` keeps the dtype of the scores, otherwise it is float32.
        # Cast them, so that all processes agree.
        accuracies = {"acc": accuracy(cls_score.float(), labels)}
    return {**classes, **accuracies, **losses}


BBoxHead.loss = _loss_of_any_rois
