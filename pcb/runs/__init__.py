"""Find, read, write and compare run folders.

A run folder contains one trained detector and everything computed from it.
"""

from pcb.runs.find import collect, plain_counterpart
from pcb.runs.folder import RunFolder
from pcb.runs.metrics import is_metrics_file, read_metrics, write_metrics
from pcb.runs.paths import BALANCED, RunName, default_work_dir, plain_names, run_name

__all__ = [
    "BALANCED",
    "RunFolder",
    "RunName",
    "collect",
    "default_work_dir",
    "is_metrics_file",
    "plain_counterpart",
    "plain_names",
    "read_metrics",
    "run_name",
    "write_metrics",
]
