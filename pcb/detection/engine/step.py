"""A detector's training step as a forward pass."""

from typing import Any

from torch import nn


class TrainStep(nn.Module):
    """Calls a detector's ``train_step``, so that DistributedDataParallel can wrap it.

    mmcv's own wrapper runs neither under current PyTorch nor on CPUs.

    Args:
        detector: a model of mmdet.
    """

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the loss, the values to log, and the number of samples."""
        return self.detector.train_step(batch, None)
