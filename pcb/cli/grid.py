"""``pcb grid``: check or run a grid of training runs, or report its results.

A grid has one training run for each combination of dataset, config, override (a set of config
options) and seed.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcb.cli import options as shared
from pcb.messages.terminal import outliving_terminal
from pcb.storage.repository import repository_path, repository_root

if TYPE_CHECKING:
    from pcb.grids.grid import Grid


def add_command(commands: Any) -> None:
    """Add ``pcb grid`` with its subcommands ``check``, ``run`` and ``report``."""
    grid = commands.add_parser(
        "grid",
        help="check or run a grid of training runs (datasets x configs x seeds), or report its "
        "results",
        description="Check or run a grid of training runs (datasets x configs x seeds), or report "
        "its results.",
    )
    actions = grid.add_subparsers(metavar="ACTION", required=True)
    check = shared.add_command(
        actions, "check", _check, "check a grid, and print the folder of its runs"
    )
    run = shared.add_command(
        actions,
        "run",
        _run,
        "produce all missing or outdated results of a grid, then print a report",
    )
    for parser in (check, run):
        parser.add_argument(
            "grid", metavar="GRID", help="a YAML file, or the name of a grid in workflow/grids/"
        )
    run.add_argument(
        "--profile",
        default="local",
        metavar="P",
        help="where to run: local (this machine), slurm (a cluster), or the name of a folder "
        "that you added to workflow/profiles/ (default: local)",
    )
    report = shared.add_command(
        actions,
        "report",
        _report,
        "print the metrics, the effect of PCB and the failures of a grid",
    )
    report.add_argument(
        "folder", type=Path, metavar="FOLDER", help="folder of the grid's runs, such as runs/demo"
    )


def check_options(grid: Grid, configs: str | os.PathLike[str] = "configs") -> None:
    """Check that every config of a grid accepts the options that the grid overrides.

    Args:
        grid: The grid to check.
        configs: Folder of the configs; a relative path is relative to the repository root.

    Raises:
        ValueError: A config does not accept an option.
    """
    from pcb.grids.grid import config_file

    points = {f"{run.dataset}/{run.config_folder}": run for run in grid.runs if grid.options(run)}
    for name, run in points.items():
        from pcb.detection import load_config

        try:
            load_config(config_file(run, configs), grid.options(run))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None


def _check(options: argparse.Namespace) -> None:
    from pcb.grids.grid import grid_root, read_grid

    check_options(read_grid(options.grid))
    print(grid_root(options.grid))


@outliving_terminal()
def _run(options: argparse.Namespace) -> int:
    from pcb.grids.grid import grid_root, read_grid
    from pcb.grids.workflow import LOCAL, check_machine, check_profile, count_gpus, run_workflow

    name, root = options.grid, grid_root(options.grid)
    check_profile(options.profile)
    grid = read_grid(name)
    check_options(grid)
    gpus = count_gpus() if options.profile == LOCAL else 0
    if options.profile == LOCAL:
        check_machine(grid, gpus)
    if Path.cwd() != repository_root():  # the workflow's relative paths start there
        if name.endswith((".yaml", ".yml")):
            name = os.path.abspath(name)
        root = repository_path(root)
        os.chdir(repository_root())
    status = run_workflow(name, options.profile, gpus)
    if root.is_dir():
        _print_report(root)
    return status


def _report(options: argparse.Namespace) -> None:
    _print_report(options.folder)


def _print_report(folder: Path) -> None:
    from pcb.grids.report import text_report
    from pcb.grids.results import read_results

    print(text_report(read_results(folder)))
