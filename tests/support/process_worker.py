"""What one of several training processes does, or one alone; for test_processes.py.

Run as ``process_worker.py steps FOLDER``, or as ``process_worker.py train FOLDER ARGUMENTS`` for
``pcb train``. Each process leaves what it came to in ``FOLDER/<rank>.pt``.
"""

import logging
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pcb.cli.main import main
from pcb.detection import IterativeRoIHead, load_config
from pcb.detection.engine.loaders import training_loader
from pcb.detection.engine.runner import Runner
from pcb.distributed import process_group, rank, world_size

# After pcb.detection, which puts the operators in place.
from mmdet.models import BaseDetector, build_head  # isort: skip

LOSSES = (
    dict(type="CrossEntropyPCBLoss", num_classes=5, alpha=0.4, start_epoch=1),
    dict(type="SeesawPCBLoss", num_classes=5, alpha=0.4, start_epoch=1),
    dict(type="EQLv2PCBLoss", num_classes=5, alpha_pcb=0.4, start_epoch=1),
)


class Regression(nn.Linear):
    """Stands in for a detector."""

    def train_step(self, batch, _optimizer):
        loss = (self(batch) - batch.sum(1, keepdim=True)).square().mean()
        return {"loss": loss, "log_vars": {}, "num_samples": len(batch)}


class Images(list):
    """Stands in for a dataset."""

    flag = np.zeros(8, dtype=np.int64)  # their aspect ratios


class Refinement(nn.Module):
    """Training step of a RoI head on given features: the loss, and the terms to log."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, features, targets):
        rois = features.new_tensor([0, 10, 10, 50, 50]).repeat(len(features), 1)
        losses = self.head.refinement_losses(features, rois, targets)
        return BaseDetector._parse_losses(self, losses)


def make_runner(work_dir, max_epochs):
    """The kit's runner, with something to train."""
    model = Regression(3, 1).double()
    for parameter in model.parameters():
        parameter.data.fill_(rank())  # all have to start from the first one's
    return Runner(
        model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        work_dir=str(work_dir),
        logger=logging.getLogger("test"),
        max_epochs=max_epochs,
        device=torch.device("cpu"),
        seed=5,
    )


def train_regression(batches, work_dir):
    """Weights after a training with the kit's runner."""
    runner = make_runner(work_dir, max_epochs=1)
    runner.register_optimizer_hook({"grad_clip": None})
    runner.run([batch.chunk(world_size())[rank()] for batch in batches])
    return dict(runner.model.state_dict())


def draw_images(work_dir):
    """Images and seed of each of two epochs, as they are when the first batch is loaded."""
    loading = {"samples_per_gpu": 2, "workers_per_gpu": 0}
    runner, drawn = make_runner(work_dir, max_epochs=2), []
    loader = training_loader(loading, Images(range(8)), seed=5)
    runner.run_iter = lambda batch, **_: drawn.append((runner.epoch, batch, torch.initial_seed()))
    runner.run(loader)
    return [
        (
            [image for of, batch, _ in drawn if of == epoch for image in batch.tolist()],
            next(seed for of, _, seed in drawn if of == epoch),
        )
        for epoch in (0, 1)
    ]


def refine(loss, batches, shares):
    """What each step of a RoI head with three iterations comes to, by name.

    Args:
        loss: config of the class loss.
        batches: features and targets of each step.
        shares: factor of the gradient in each step.
    """
    cfg = load_config("configs/openmoji/softmax_pcb.py").model
    settings = {**cfg.roi_head, "train_cfg": cfg.train_cfg.rcnn, "test_cfg": cfg.test_cfg.rcnn}
    settings |= dict(mask_head=None, mask_roi_extractor=None, identity_init=False)
    settings["use_layer_norm"] = "EQL" in loss["type"]
    settings["bbox_head"] |= dict(num_classes=5, fc_out_channels=16, loss_cls=loss)
    torch.manual_seed(0)
    head = build_head(settings)
    head.init_weights()
    step = Refinement(head).double()
    if world_size() > 1:
        step = DistributedDataParallel(step, broadcast_buffers=False)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    for (features, targets), share in zip(batches, shares, strict=True):
        features = features.clone().requires_grad_()
        optimizer.zero_grad()
        total, terms = step(features, targets)
        (share * total).backward()
        optimizer.step()
        yield {
            "terms": list(terms.items()),
            "of features": features.grad,
            "gradients": {name: p.grad.clone() for name, p in head.named_parameters()},
            "state": {name: value.clone() for name, value in head.state_dict().items()},
        }


def steps(folder):
    """All of the above, on this process's part of the batches."""
    batches = torch.load(folder / "rois.pt")
    return {
        "regression": train_regression(torch.load(folder / "batches.pt"), folder),
        "drawn": draw_images(folder),
        "refined": [
            list(refine(loss, [batch[rank()] for batch in batches], [1.0] * len(batches)))
            for loss in LOSSES
        ],
    }


def train(arguments):
    """State after ``pcb train``, and the number of RoIs that this process had in each step."""
    rois, states = [], []
    run, losses = Runner.run, IterativeRoIHead.refinement_losses

    def run_and_keep_state(runner, loader):
        run(runner, loader)
        states.append(runner.model.state_dict())

    def count_and_compute(head, features, *others):
        rois.append(len(features))
        return losses(head, features, *others)

    Runner.run, IterativeRoIHead.refinement_losses = run_and_keep_state, count_and_compute
    if status := main(["train", *arguments]):
        sys.exit(status)
    return {"rois": rois, "state": states[0]}


if __name__ == "__main__":
    command, folder, *rest = sys.argv[1:]
    with process_group(torch.device("cpu")):
        outcome = train(rest) if command == "train" else steps(Path(folder))
        torch.save(outcome, Path(folder) / f"{rank()}.pt")
