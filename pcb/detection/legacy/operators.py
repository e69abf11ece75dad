"""The three compiled operators that Mask R-CNN needs, supplied by torchvision.

mmcv-full builds its operators at installation, which takes a C++ (and for GPUs a CUDA) compiler
and many minutes. torchvision ships the same three precompiled for CPU and CUDA. Where mmcv has no
compiled extension, :func:`install` puts a module in its place that calls torchvision; every other
operator raises an error that says how to compile it. A compiled mmcv-full is left alone.
"""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import NoReturn

import torch
import torchvision
from torch import Tensor

_EXTENSION = "mmcv._ext"


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the boxes that non-maximum suppression keeps, by falling score.

    Args:
        boxes: (N, 4) as x1, y1, x2, y2 in pixels.
        scores: (N,).
        iou_threshold: boxes that overlap a better one by more are dropped.
        offset: 1 where a box includes its last pixel, so that its width is x2 - x1 + 1; else 0.

    Example:
        >>> boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
        >>> nms(boxes, torch.tensor([0.8, 0.9, 0.7]), 0.5, offset=0)
        tensor([1, 2])
    """
    if offset:
        boxes = torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)
    return torchvision.ops.nms(boxes, scores, iou_threshold)


def _require_average(pool_mode: int) -> None:
    if pool_mode != 1:
        raise NotImplementedError(
            "RoIAlign with max pooling needs compiled operators: make setup OPS=1"
        )


def roi_align_forward(
    features: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoIAlign with average pooling of (N, D, H, W) features, written into ``output``.

    Arguments as mmcv passes them: ``rois`` (R, 5) as image index, x1, y1, x2, y2 in image pixels,
    ``output`` (R, D, aligned_height, aligned_width); the ``argmax`` tensors serve max pooling only.
    """
    _require_average(pool_mode)
    output.copy_(
        torch.ops.torchvision.roi_align(
            features,
            rois,
            spatial_scale,
            aligned_height,
            aligned_width,
            # mmcv asks for an adaptive number of samples with 0, torchvision with any below 1.
            sampling_ratio,
            aligned,
        )
    )


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Gradient of :func:`roi_align_forward` with respect to the features, into ``grad_input``."""
    _require_average(pool_mode)
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(
            grad_output.contiguous(),
            rois,
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    )


def _missing(name: str):
    def operator(*_args, **_kwargs) -> NoReturn:
        raise NotImplementedError(
            f"mmcv-full was installed without its compiled operators, and {name!r} is one that "
            "torchvision does not supply. Compile them with: make setup OPS=1"
        )

    return operator


class _TorchvisionExtension(ModuleType):
    """Stands in for ``mmcv._ext``."""

    nms = staticmethod(nms)
    roi_align_forward = staticmethod(roi_align_forward)
    roi_align_backward = staticmethod(roi_align_backward)
    # mmcv's and mmdet's environment reports ask for these two.
    get_compiler_version = staticmethod(lambda: "not compiled")
    get_compiling_cuda_version = staticmethod(lambda: "not available")

    def __getattr__(self, name: str):
        if name.startswith("__"):  # introspection must go on finding nothing
            raise AttributeError(name)
        return _missing(name)


def _is_compiled() -> bool:
    import mmcv  # noqa: F401  (find_spec of a submodule needs its parent)

    installed = sys.modules.get(_EXTENSION)
    if installed is not None:
        return not isinstance(installed, _TorchvisionExtension)
    return find_spec(_EXTENSION) is not None


def install() -> None:
    """Put torchvision's operators where mmcv looks for its own, unless it has its own."""
    if _is_compiled() or _EXTENSION in sys.modules:
        return
    extension = _TorchvisionExtension(_EXTENSION, __doc__)
    # Tools that look for the module (mmcv.utils.check_ops_exist among them) ask for its spec.
    extension.__spec__ = ModuleSpec(_EXTENSION, loader=None)
    sys.modules[_EXTENSION] = extension


def operators_in_use() -> str:
    """Which operators serve ``nms`` and RoIAlign: ``"mmcv-full (compiled)"`` or ``"torchvision"``.

    Example:
        >>> operators_in_use() in ("mmcv-full (compiled)", "torchvision")
        True
    """
    return "mmcv-full (compiled)" if _is_compiled() else "torchvision"
