"""A PyTorch module that runs a detector's training step in its forward pass."""

from typing import Any

from torch import nn


class TrainStep(nn.Module):
    """Module that calls a detector's ``train_step`` in its forward pass.

    PyTorch's ``DistributedDataParallel`` can wrap this module to train on several processes. mmcv's
    own wrapper for detectors fails with current PyTorch versions, and it fails on CPUs.

    Args:
        detector: An mmdet detector.
    """

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the loss of a batch, the values to log and the number of images, by name."""
        return self.detector.train_step(batch, None)
