"""Functions for notebooks: open datasets, training runs and results, start and follow training."""

from pcb.study.data import DataView, open_dataset, read_validation
from pcb.study.launch import follow, start_training, stop_training
from pcb.study.opening import open_run_or_results
from pcb.study.results import ResultsView, open_results
from pcb.study.run import RunView, open_before, open_run, open_runs
from pcb.study.run_state import RunState, state_of
from pcb.study.validation import evaluate_validation

__all__ = [
    "DataView",
    "ResultsView",
    "RunState",
    "RunView",
    "evaluate_validation",
    "follow",
    "open_before",
    "open_dataset",
    "open_results",
    "open_run",
    "open_run_or_results",
    "open_runs",
    "read_validation",
    "start_training",
    "state_of",
    "stop_training",
]
