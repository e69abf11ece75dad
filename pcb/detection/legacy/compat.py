"""Mends that mmcv 1.7 and mmdet 2.28 need under current packages. Imported before either.

Each entry says what broke and stays as narrow as what this kit uses.
"""

import functools
import logging
import warnings

from torch import Tensor

from pcb.detection.legacy import operators

# mmcv 1.x announces its successor on every import.
warnings.filterwarnings("ignore", message="On January 1, 2023, MMCV will release v2.0.0")

# From Python 3.12 on, backslashes in some of mmdet's docstrings are warnings when it is compiled.
warnings.filterwarnings("ignore", category=SyntaxWarning, module=r".*/mm(cv|det)/")

# mmcv asks torch for a CUDA compiler on import, and torch complains where there is one but no GPU.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)

# mmdet imports operators from mmcv at import time: they have to be in place by then.
operators.install()

# mmcv prints a line for every initialised parameter unless its logger says otherwise.
from mmcv.utils import get_logger  # noqa: E402

get_logger("mmcv", log_level=logging.WARNING)

# Only now that the operators are in place.
from mmcv.runner import force_fp32  # noqa: E402
from mmdet.models.losses import accuracy  # noqa: E402
from mmdet.models.roi_heads.bbox_heads import BBoxHead  # noqa: E402

_loss_of_some_rois = BBoxHead.loss


# All arguments by name: under half precision, force_fp32 drops what *args would take.
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
    """Losses of the box head, the same terms for a batch without any RoI.

    mmdet leaves the class loss out where there is no RoI (images without objects or proposals). A
    loss that sums over processes is then entered by the others alone, which wait for ever, and
    mmdet's own mean of the logged values wants the same terms in the same order on every process.
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
        # Of nothing it has the precision of the scores, of something float32.
        accuracies = {"acc": accuracy(cls_score.float(), labels)}
    return {**classes, **accuracies, **losses}


BBoxHead.loss = _loss_of_any_rois
