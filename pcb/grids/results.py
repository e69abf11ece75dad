"""Read the results of several training runs, for the web page and the text report."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pcb.grids.failures import Failure, find_failures
from pcb.grids.finding import finding
from pcb.grids.table import Row, metric_rows
from pcb.runs.comparison import ConfigRuns, group_runs
from pcb.runs.find import collect
from pcb.runs.folder import RunFolder
from pcb.runs.processes import Running, running


@dataclass(frozen=True)
class DatasetResults:
    """The results of the training runs on one dataset.

    Attributes:
        name: Name of the dataset; the folder with the runs has the same name.
        runs: The runs on this dataset, sorted by path.
        rows: Rows of the metric table; runs without metrics are left out.
    """

    name: str
    runs: list[RunFolder]
    rows: list[Row]


@dataclass(frozen=True)
class Results:
    """All results of a grid, which is a set of training runs.

    Attributes:
        root: The grid's folder; its runs are in ``<root>/<dataset>/<config>/seed<N>``.
        datasets: The results on each dataset, sorted by name.
        finding: One sentence on the effect of PCB; see :func:`pcb.grids.finding.finding`.
        failures: Notebooks that did not finish.
        running: Processes that are working in the folder, except the current process.
    """

    root: Path
    datasets: list[DatasetResults]
    finding: str
    failures: list[Failure]
    running: list[Running]

    @property
    def rows(self) -> list[Row]:
        """The rows of the metric table, for all datasets."""
        return [row for dataset in self.datasets for row in dataset.rows]


def read_results(root: str | os.PathLike[str]) -> Results:
    """Read the results of all training runs in a folder.

    Raises:
        FileNotFoundError: ``root`` is not a folder.
    """
    root = Path(root)

    def dataset(run: RunFolder) -> str:
        return run.path.relative_to(root).parts[0] if run.path != root else ""

    def dataset_of(config: ConfigRuns) -> str:
        return dataset(next(iter(config.runs.values())))

    runs = collect(root)
    configs = group_runs([run for run in runs if run.metrics_file.is_file()], or_first=False)
    return Results(
        root,
        [
            DatasetResults(
                name,
                list(group),
                metric_rows([config for config in configs if dataset_of(config) == name], root),
            )
            for name, group in groupby(runs, key=dataset)
        ],
        finding(configs, root),
        find_failures(root),
        [one for one in running(root) if not one.is_this_process],
    )
