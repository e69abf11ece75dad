"""A module whose forward pass is a detector's training step."""

from typing import Any

from torch import nn


class TrainStep(nn.Module):
    """Module that calls a detector's ``train_step`` in its forward pass.

    DistributedDataParallel can wrap this module. mmcv's own wrapper works neither with current
    PyTorch versions nor on CPUs.

    Args:
        detector: An mmdet detector.
    """

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the loss, the values to log and the number of samples of a batch."""
        return self.detector.train_step(batch, None)
