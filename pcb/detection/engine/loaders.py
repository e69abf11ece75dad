"""Data loaders for training and for prediction."""

import multiprocessing
import os
import threading
from collections.abc import Mapping
from typing import Any

from mmdet.datasets import build_dataloader
from torch.utils.data import DataLoader

from pcb.distributed import world_size


def training_loader(loading: Mapping[str, int], dataset: Any, seed: int) -> DataLoader:
    """Build a loader that shuffles the images and divides them among the training processes."""
    several = world_size() > 1
    loader = _build(loading, dataset, dist=several)
    if several:
        # If mmdet received the seed, it would repeat the same augmentations in every epoch.
        loader.sampler.seed = seed
    return loader


def prediction_loader(loading: Mapping[str, int], dataset: Any) -> DataLoader:
    """Build a loader that yields all images in their order."""
    return _build(loading, dataset, dist=False, shuffle=False)


def _build(loading: Mapping[str, int], dataset: Any, **options: bool) -> DataLoader:
    loader = build_dataloader(dataset, **loading, **options)
    loader.worker_init_fn = _end_with_parent
    return loader


def _end_with_parent(_worker: int) -> None:
    """End this data-loading worker as soon as the process that started it has ended.

    PyTorch's workers notice that their parent was killed, but before they exit, they wait until
    their last batches are read. Nobody reads them, so they would keep their memory forever.
    """

    def wait_and_exit() -> None:
        if parent := multiprocessing.parent_process():
            parent.join()
            os._exit(1)

    threading.Thread(target=wait_and_exit, daemon=True).start()
