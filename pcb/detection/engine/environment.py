"""Describe the software versions, machine and seed that affect the results of a training run."""

import sys
from importlib.metadata import version
from typing import Any

import torch

from pcb.detection.legacy.operators import operators_in_use
from pcb.distributed import world_size
from pcb.runs.processor import cpu_model
from pcb.storage.repository import commit, repository_root


def describe_environment(device: torch.device, seed: int) -> dict[str, Any]:
    """Return the software versions, Git commit, machine and seed that affect a run's results."""
    packages = ("torch", "torchvision", "mmcv-full", "mmdet", "numpy", "lvis", "hotcoco")
    return {
        "python": sys.version.split()[0],
        **{package: version(package) for package in packages},
        "operators": operators_in_use(),
        "commit": commit(repository_root()),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "cpu": cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "processes": world_size(),
        "seed": seed,
    }
