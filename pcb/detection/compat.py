"""Mends that mmcv 1.7 and mmdet 2.28 need under current packages. Imported before either.

Each entry says what broke and stays as narrow as what this kit uses.
"""

import logging
import warnings

from pcb.detection import operators

# mmcv 1.x announces its successor on every import.
warnings.filterwarnings("ignore", message="On January 1, 2023, MMCV will release v2.0.0")

# mmcv asks torch for a CUDA compiler on import, and torch complains where there is one but no GPU.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)

# mmdet imports operators from mmcv at import time: they have to be in place by then.
operators.install()

# mmcv prints a line for every initialised parameter unless its logger says otherwise.
from mmcv.utils import get_logger  # noqa: E402

get_logger("mmcv", log_level=logging.WARNING)
