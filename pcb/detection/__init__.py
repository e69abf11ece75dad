"""PCB for MMDetection: losses, a RoI head, hooks, a dataset, training and prediction.

No other package of PCB-kit imports mmcv or mmdet. Configs load this package with
``custom_imports = dict(imports=['pcb.detection'])``.
"""

# Import compat before any part of mmdet; the comments in compat say why.
from pcb.detection.legacy import compat  # noqa: F401  isort: skip

from pcb.detection import backbones  # noqa: F401  # registers loaders for ImageNet weights
from pcb.detection.config import load_config
from pcb.detection.dataset import LVISFormatDataset
from pcb.detection.epoch import LossEpochUpdateHook
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
