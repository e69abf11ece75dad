"""Use torchvision's operators if mmcv has no compiled operators.

Compiling mmcv-full takes many minutes and needs a C++ compiler, and for GPUs also a CUDA compiler.
torchvision contains the three operators that Mask R-CNN needs, precompiled for CPU and CUDA.
If mmcv has no compiled operators, :func:`install` makes mmcv use these three operators. All other
operators then raise an error.
"""

import pickle
import sys
import time
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import NoReturn

import torch
import torchvision
from torch import Tensor

_EXTENSION = "mmcv._ext"
_ATTEMPTS = 50  # to import mmcv, every tenth of a second


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices of the boxes kept by non-maximum suppression, highest score first.

    Args:
        boxes: (N, 4) as x1, y1, x2, y2 in pixels.
        scores: (N,), the score of each box.
        iou_threshold: A box is removed if its IoU with a kept box exceeds this threshold.
        offset: 0 if the width of a box is x2 - x1; 1 if the width is x2 - x1 + 1.

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
            "RoIAlign with max pooling needs mmcv's compiled operators: compile them with "
            "`make setup OPS=1`"
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
    """Apply RoIAlign with average pooling to features, and write the result to ``output``.

    The arguments are those of mmcv's operator. The shape of ``features`` is (N, D, H, W). Each row
    of ``rois`` (R, 5) contains an image index and x1, y1, x2, y2 in image pixels. The shape of
    ``output`` is (R, D, aligned_height, aligned_width). The ``argmax`` tensors are ignored, because
    max pooling is not supported.
    """
    _require_average(pool_mode)
    output.copy_(
        torch.ops.torchvision.roi_align(
            features,
            rois,
            spatial_scale,
            aligned_height,
            aligned_width,
            # 0 requests an adaptive number of samples in both mmcv and torchvision.
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
    """Compute the gradient with respect to the input of RoIAlign; store it in ``grad_input``."""
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
            f"mmcv's operator {name!r} is not compiled: compile mmcv's operators with "
            "`make setup OPS=1`"
        )

    return operator


class _TorchvisionExtension(ModuleType):
    """Replacement for mmcv's compiled extension ``mmcv._ext``."""

    nms = staticmethod(nms)
    roi_align_forward = staticmethod(roi_align_forward)
    roi_align_backward = staticmethod(roi_align_backward)
    # mmcv and mmdet call these two functions to describe the environment.
    get_compiler_version = staticmethod(lambda: "not compiled")
    get_compiling_cuda_version = staticmethod(lambda: "not available")

    def __getattr__(self, name: str):
        if name.startswith("__"):  # introspection must not find operators with such names
            raise AttributeError(name)
        return _missing(name)


def _import_mmcv() -> None:
    """Import mmcv; wait while another process writes the cache of yapf, which mmcv imports.

    In a new environment, yapf writes this cache when it is first imported.
    """
    for attempt in reversed(range(_ATTEMPTS)):
        try:
            import mmcv  # noqa: F401

            return
        except (EOFError, pickle.UnpicklingError) as error:
            if not attempt:
                raise ImportError(
                    "yapf's cache is damaged: delete the folder YAPF in your cache folder"
                    " (~/.cache/YAPF on Linux)"
                ) from error
            for name in list(sys.modules):
                if name.partition(".")[0] in ("mmcv", "yapf", "yapf_third_party"):
                    del sys.modules[name]
            time.sleep(0.1)


def _is_compiled() -> bool:
    _import_mmcv()  # find_spec needs the parent package of a submodule
    installed = sys.modules.get(_EXTENSION)
    if installed is not None:
        return not isinstance(installed, _TorchvisionExtension)
    return find_spec(_EXTENSION) is not None


def install() -> None:
    """Make mmcv use torchvision's operators if mmcv has no compiled operators."""
    if _is_compiled() or _EXTENSION in sys.modules:
        return
    extension = _TorchvisionExtension(_EXTENSION, __doc__)
    # Code that searches for the module, such as mmcv.utils.check_ops_exist, needs a module spec.
    extension.__spec__ = ModuleSpec(_EXTENSION, loader=None)
    sys.modules[_EXTENSION] = extension


def operators_in_use() -> str:
    """Return which package provides mmcv's operators: "mmcv-full (compiled)" or "torchvision".

    Example:
        >>> operators_in_use() in ("mmcv-full (compiled)", "torchvision")
        True
    """
    return "mmcv-full (compiled)" if _is_compiled() else "torchvision"
