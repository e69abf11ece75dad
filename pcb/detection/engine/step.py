"""A PyTorch module whose forward pass runs a detector's training step."""

from typing import Any

from torch import nn


class TrainStep(nn.Module):
    """Module whose forward pass calls a detector's ``train_step``.

    To train in several processes, wrap this module in PyTorch's ``DistributedDataParallel``. mmcv's
    own wrapper for detectors fails on CPUs and with current PyTorch versions.

    Args:
        detector: An mmdet detector.
    """

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return a dict with the loss of a batch, the values to log and the number of images."""
        return self.detector.train_step(batch, None)
