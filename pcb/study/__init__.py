"""What notebooks start from: a dataset, a run with its data, a training in a process of its own."""

from pcb.study.data import DataView, open_dataset
from pcb.study.launch import follow, is_finished, is_running, start_training, stop_training
from pcb.study.run import RunView, open_before, open_run, open_runs, read_validation

__all__ = [
    "DataView",
    "RunView",
    "follow",
    "is_finished",
    "is_running",
    "open_before",
    "open_dataset",
    "open_run",
    "open_runs",
    "read_validation",
    "start_training",
    "stop_training",
]
