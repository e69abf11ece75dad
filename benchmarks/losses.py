"""Measure how much time PCB adds to a loss, as a ratio to plain cross-entropy.

Run this script with ``make bench``. A batch is one of LVIS v1's size: 1024 RoIs of 1203 classes, a
quarter of them positive. Each measurement is the forward and backward pass of one batch. The losses
take turns, so that other work on the machine affects all alike. The table shows, for each loss, the
median of its time divided by the time of plain cross-entropy in the same turn, with the quartiles.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from pcb import CrossEntropyLoss, EQLv2Loss, PairwiseClassBalance, SeesawLoss

CLASSES, ROIS, POSITIVES = 1203, 1024, 256
OCCURRING = (12, 228)  # classes of the positives: a dozen images, and as many as possible
EXTRA = {CrossEntropyLoss: 1, EQLv2Loss: 1, SeesawLoss: 2}  # columns besides those of the classes
WARM_UP = 5  # turns that are not counted


def main() -> None:
    """Print one line per loss."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--classes", type=int, default=CLASSES)
    parser.add_argument("--rois", type=int, default=ROIS)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(options.device)
    steps = {"cross-entropy": plain_step(options.classes, options.rois, device)}
    for loss in EXTRA:
        for occurring in OCCURRING:
            name = f"{loss.__name__} with PCB, {occurring} classes occur"
            steps[name] = balanced_step(loss, occurring, options.classes, options.rois, device)
    times = measure(steps, options.turns, device)
    base = times["cross-entropy"]
    print(
        f"{options.rois} RoIs, {options.classes} classes; {device}, one thread\n\n"
        "| loss | ms | times plain | quartiles |\n|---|---|---|---|"
    )
    for name, own in times.items():
        low, ratio, high = np.quantile(own / base, (0.25, 0.5, 0.75))
        print(f"| {name} | {1e3 * np.median(own):.2f} | {ratio:.2f} | {low:.2f} to {high:.2f} |")


def measure(
    steps: dict[str, Callable[[], None]], turns: int, device: torch.device
) -> dict[str, np.ndarray]:
    """Return the seconds of each step in each turn, (turns,) per name."""
    times = {name: np.empty(turns) for name in steps}
    for turn in range(-WARM_UP, turns):
        for name, step in steps.items():
            synchronize(device)
            begin = time.perf_counter()
            step()
            synchronize(device)
            if turn >= 0:
                times[name][turn] = time.perf_counter() - begin
    return times


def synchronize(device: torch.device) -> None:
    """Wait for the GPU, if the device is one."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def plain_step(classes: int, rois: int, device: torch.device) -> Callable[[], None]:
    """Return a function that computes plain cross-entropy and its gradient."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(rois, classes + 1, generator=generator).to(device).requires_grad_()
    labels = torch.randint(classes + 1, (rois,), generator=generator).to(device)

    def step() -> None:
        logits.grad = None
        F.cross_entropy(logits, labels).backward()

    return step


def balanced_step(
    loss: type, occurring: int, classes: int, rois: int, device: torch.device
) -> Callable[[], None]:
    """Return a function that computes a loss with active PCB and its gradient."""
    generator = torch.Generator().manual_seed(0)
    activation = "sigmoid" if loss is EQLv2Loss else "softmax"
    balance = PairwiseClassBalance(classes, alpha=0.4, activation=activation)
    balance.instance_count.fill_(1)
    balance.confusion.copy_(torch.rand(classes, classes, generator=generator).softmax(1))
    criterion = loss(classes, balance, background="last").to(device)
    width = classes + EXTRA[loss]
    logits = torch.randn(rois, width, generator=generator).to(device).requires_grad_()
    labels = torch.full((rois,), classes)
    chosen = torch.randperm(classes, generator=generator)[:occurring]
    positive = torch.randperm(rois, generator=generator)[: rois * POSITIVES // ROIS]
    labels[positive] = chosen[torch.randint(len(chosen), (len(positive),), generator=generator)]
    labels = labels.to(device)

    def step() -> None:
        logits.grad = None
        value = criterion(logits, labels)
        (sum(value.values()) if isinstance(value, dict) else value).backward()

    return step


if __name__ == "__main__":
    main()
