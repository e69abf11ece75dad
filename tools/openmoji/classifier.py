"""Train and apply a small image classifier in PyTorch, for :mod:`tools.openmoji.report`."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

_BATCH_SIZE = 32
_LEARNING_RATE = 3e-3
_WIDTHS = (24, 48, 96, 128)


def train_classifier(crops: np.ndarray, labels: np.ndarray, epochs: int, seed: int) -> nn.Module:
    """Train a small convolutional network with AdamW and a one-cycle schedule.

    Args:
        crops: (n, H, W, 3) uint8, the training images.
        labels: (n,) int64, the class of each crop; every class must occur.
        epochs: Number of passes over the crops.
        seed: Random seed for the initial weights and the order of the crops.

    Returns:
        The network, in evaluation mode.
    """
    inputs, targets = torch.from_numpy(crops), torch.from_numpy(labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(num_classes=int(labels.max()) + 1)
        optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, _LEARNING_RATE, epochs=epochs, steps_per_epoch=-(-len(labels) // _BATCH_SIZE)
        )
        for _ in range(epochs):
            for batch in torch.randperm(len(labels)).split(_BATCH_SIZE):
                logits = network(_normalized(inputs[batch]))
                loss = functional.cross_entropy(logits, targets[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return network.eval()


@torch.no_grad()
def classify(network: nn.Module, crops: np.ndarray) -> np.ndarray:
    """Return the (n, C) logits that a network predicts for (n, H, W, 3) uint8 crops."""
    batches = torch.from_numpy(crops).split(256)
    return torch.cat([network(_normalized(batch)) for batch in batches]).numpy()


def _network(num_classes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, width in zip((3, *_WIDTHS), _WIDTHS, strict=False):
        layers += [
            nn.Conv2d(before, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *pool, nn.Linear(_WIDTHS[-1], num_classes))


def _normalized(crops: Tensor) -> Tensor:
    return crops.permute(0, 3, 1, 2).float() / 127.5 - 1
