"""PCB on MMDetection: registered losses, RoI head, hooks and dataset; training and inference.

Only this package imports mmcv and mmdet. Configs load it with
``custom_imports = dict(imports=['pcb.detection'])``.
"""

# It must come before any import of mmdet; see the module.
from pcb.detection.legacy import compat  # noqa: F401  isort: skip

from pcb.detection.config import load_config
from pcb.detection.dataset import LVISFormatDataset
from pcb.detection.epoch import LossEpochUpdateHook
from pcb.detection.legacy import backbones  # noqa: F401  # registers the sources of ImageNet weights
from pcb.detection.losses import CrossEntropyPCBLoss, EQLv2, EQLv2PCBLoss, SeesawPCBLoss
from pcb.detection.roi_head import IterativeRoIHead
from pcb.runs.paths import default_work_dir

__all__ = [
    "CrossEntropyPCBLoss",
    "EQLv2",
    "EQLv2PCBLoss",
    "IterativeRoIHead",
    "LVISFormatDataset",
    "LossEpochUpdateHook",
    "SeesawPCBLoss",
    "default_work_dir",
    "load_config",
]
