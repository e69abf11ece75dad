"""Runs: their folders, their names, which belong together, and what runs now."""

from pcb.runs.find import collect, plain_counterpart
from pcb.runs.folder import RunFolder, is_metrics_file, read_metrics, write_metrics
from pcb.runs.names import BALANCED, default_work_dir, plain_names, run_name

__all__ = [
    "BALANCED",
    "RunFolder",
    "collect",
    "default_work_dir",
    "is_metrics_file",
    "plain_counterpart",
    "plain_names",
    "read_metrics",
    "run_name",
    "write_metrics",
]
