"""Load a trained detector."""

import copy
from pathlib import Path
from typing import Any

import torch
from mmcv.runner import wrap_fp16_model
from mmcv.utils import Config
from mmdet.models import build_detector
from torch import nn

from pcb.detection.checkpoint import load_weights
from pcb.detection.config.loading import naming_config
from pcb.detection.engine.settings import uses_half_precision
from pcb.runs.files import IOU_TYPES


def load_model(
    cfg: Config,
    config: str | Path,
    weights: dict[str, Any],
    checkpoint: str | Path,
    device: torch.device,
) -> nn.Module:
    """Build a detector for inference, and load its weights.

    Args:
        cfg: The merged config.
        config: The path of the config, for error messages.
        weights: The result of :func:`pcb.detection.checkpoint.read_checkpoint`.
        checkpoint: The path of the checkpoint, for error messages.
        device: The device that the detector will run on.

    Raises:
        ValueError: The model in the config is wrong, or the weights do not fit the model.
    """
    model_config = copy.deepcopy(cfg.model)
    # Do not initialise or download any weights: the checkpoint contains all of them.
    model_config.backbone.init_cfg = None
    model_config.pop("pretrained", None)
    with naming_config(config):
        model = build_detector(model_config)
    load_weights(model, weights, checkpoint)
    if uses_half_precision(cfg, device):
        wrap_fp16_model(model)
    return model.to(device, memory_format=torch.channels_last).eval()


def predicted_types(model: nn.Module) -> tuple[str, ...]:
    """Return the IoU types that a detector predicts: boxes and, with a mask head, masks."""
    return IOU_TYPES if model.with_mask else IOU_TYPES[:1]
