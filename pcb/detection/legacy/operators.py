"""The three compiled operators that Mask R-CNN needs, from torchvision.

Installing mmcv-full compiles its operators, which needs a C++ compiler (and a CUDA compiler for
GPUs) and many minutes. torchvision ships the same three, precompiled for CPU and CUDA. If mmcv has
no compiled extension, :func:`install` replaces it with a module that calls torchvision. Every other
operator then raises an error that says how to compile it. A compiled mmcv-full stays in use.
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
    """Indices of the boxes that non-maximum suppression keeps, highest score first.

    Args:
        boxes: (N, 4) as x1, y1, x2, y2 in pixels.
        scores: (N,).
        iou_threshold: a box that overlaps a better one by more than this is removed.
        offset: 1 if a box includes its last pixel, so its width is x2 - x1 + 1; else 0.

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

    The arguments are mmcv's: ``rois`` (R, 5) as image index, x1, y1, x2, y2 in image pixels, and
    ``output`` (R, D, aligned_height, aligned_width). Only max pooling uses the ``argmax`` tensors.
    """
    _require_average(pool_mode)
    output.copy_(
        torch.ops.torchvision.roi_align(
            features,
            rois,
            spatial_scale,
            aligned_height,
            aligned_width,
            # mmcv requests an adaptive number of samples by 0, torchvision by any value below 1.
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
            f"mmcv-full was installed without compiled operators, and torchvision does not have "
            f"{name!r}: compile the operators with `make setup OPS=1`"
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
        if name.startswith("__"):  # introspection must find nothing
            raise AttributeError(name)
        return _missing(name)


def _is_compiled() -> bool:
    import mmcv  # noqa: F401  (find_spec of a submodule needs its parent)

    installed = sys.modules.get(_EXTENSION)
    if installed is not None:
        return not isinstance(installed, _TorchvisionExtension)
    return find_spec(_EXTENSION) is not None


def install() -> None:
    """Put torchvision's operators where mmcv looks for its own, unless mmcv has some."""
    if _is_compiled() or _EXTENSION in sys.modules:
        return
    extension = _TorchvisionExtension(_EXTENSION, __doc__)
    # Tools that look for the module, such as mmcv.utils.check_ops_exist, need its spec.
    extension.__spec__ = ModuleSpec(_EXTENSION, loader=None)
    sys.modules[_EXTENSION] = extension


def operators_in_use() -> str:
    """The source of ``nms`` and RoIAlign: ``"mmcv-full (compiled)"`` or ``"torchvision"``.

    Example:
        >>> operators_in_use() in ("mmcv-full (compiled)", "torchvision")
        True
    """
    return "mmcv-full (compiled)" if _is_compiled() else "torchvision"
