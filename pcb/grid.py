"""A grid of runs: datasets x configs x seeds, read from a small YAML file.

The Snakemake workflow asks every notebook of every run of a grid; ``workflow/grids/`` holds them.
"""

from __future__ import annotations

import ast
import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from pcb.runs import plain_names, repository_path


@dataclass(frozen=True)
class Run:
    """One run of a grid: a config file, by dataset and name, and a seed."""

    dataset: str
    config: str
    seed: int

    @property
    def name(self) -> str:
        """Where the run lies below the grid's folder, such as ``openmoji/softmax/seed0``."""
        return f"{self.dataset}/{self.config}/seed{self.seed}"


@dataclass(frozen=True)
class Grid:
    """What a grid file says.

    Attributes:
        title: heading of the grid's page.
        datasets: folders of ``configs/``.
        configs: files in each of them, without ``.py``; a name with ``_pcb`` in it is compared
            with the one without.
        seeds: random seeds; one run each.
        cfg_options: overrides of every config, such as ``{"runner.max_epochs": 1}``.
        make: datasets to make if their data is not there, with the size; the others must be there.
        parameters: of notebooks 02 to 04, by notebook:
            ``{"03_confusion_matrix": {"score_threshold": 0.5}}``.
        threads: CPU threads of one training or prediction. The workflow starts as many at a time
            as fit into its ``--cores``.
    """

    title: str
    datasets: list[str]
    configs: list[str]
    seeds: list[int] = field(default_factory=lambda: [0])
    cfg_options: dict[str, Any] = field(default_factory=dict)
    make: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    threads: int = 1

    @property
    def runs(self) -> list[Run]:
        """Every run, in the order of the file."""
        return [Run(*point) for point in product(self.datasets, self.configs, self.seeds)]

    def plain(self, run: Run) -> Run | None:
        """The run of the grid that differs from this one by PCB alone; None if there is none."""
        candidates = (replace(run, config=name) for name in plain_names(run.config))
        return next((plain for plain in candidates if plain in self.runs), None)


def read_grid(name: str | os.PathLike[str], configs: str | os.PathLike[str] = "configs") -> Grid:
    """Read a grid.

    Args:
        name: a file, or the name of one in ``workflow/grids/``.
        configs: the folder its configs must be in; a relative path starts at the repository root.

    Raises:
        FileNotFoundError: no such grid; names the grids there are.
        ValueError: a key that no grid has, a missing key, a value of the wrong kind, or a config
            that does not exist. Names the nearest valid one.

    Example:
        >>> [run.name for run in read_grid("demo").runs]
        ['openmoji/softmax/seed0', 'openmoji/softmax_pcb/seed0']
    """
    file = Path(name)
    if file.suffix not in (".yaml", ".yml"):
        file = repository_path(Path("workflow", "grids", f"{name}.yaml"))
    if not file.is_file():
        known = sorted(found.stem for found in repository_path("workflow/grids").glob("*.yaml"))
        raise FileNotFoundError(f"no grid {file}; there are: {', '.join(known)}")
    try:
        values = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{file} is not YAML: {error}") from error
    _check_keys(file, values)
    grid = Grid(**values)
    for run in grid.runs:
        config_file(run, configs, named_by=file)
    return grid


def config_file(
    run: Run, configs: str | os.PathLike[str] = "configs", named_by: str | os.PathLike[str] = "grid"
) -> Path:
    """Return the config file of a run.

    Raises:
        ValueError: there is none; names the nearest.
    """
    folder = repository_path(configs)
    path = folder / run.dataset / f"{run.config}.py"
    if not path.is_file():
        known = [f"{found.parent.name}/{found.stem}" for found in sorted(folder.glob("[!_]*/*.py"))]
        wanted = f"{run.dataset}/{run.config}"
        raise ValueError(f"{named_by}: no config {wanted!r}; {nearest(wanted, known)}")
    return path


def config_sources(path: Path) -> list[Path]:
    """Return a config file and every file that it inherits from, itself first."""
    sources = [path]
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "_base_" for target in statement.targets
        ):
            bases = ast.literal_eval(statement.value)
            for base in [bases] if isinstance(bases, str) else bases:
                inherited = config_sources((path.parent / base).resolve())
                sources += [source for source in inherited if source not in sources]
    return sources


def nearest(wanted: str, known: list[str]) -> str:
    """Return the end of an error message: the valid name nearest to a wrong one, or all of them.

    Example:
        >>> nearest("sede", ["config", "seed"])
        "did you mean 'seed'?"
        >>> nearest("x", ["config", "seed"])
        'there are: config, seed'
    """
    if matches := difflib.get_close_matches(wanted, known, n=1):
        return f"did you mean {matches[0]!r}?"
    return f"there are: {', '.join(known) or 'none'}"


def _check_keys(file: Path, values: Any) -> None:
    kinds = {
        "title": str,
        "datasets": list,
        "configs": list,
        "seeds": list,
        "cfg_options": dict,
        "make": dict,
        "parameters": dict,
        "threads": int,
    }
    if not isinstance(values, Mapping):
        raise ValueError(f"{file} must hold the keys {', '.join(kinds)}")
    for key, value in values.items():
        if key not in kinds:
            raise ValueError(f"{file}: unknown key {key!r}; {nearest(str(key), list(kinds))}")
        if not isinstance(value, kinds[key]):
            raise ValueError(f"{file}: {key} must be a {kinds[key].__name__}, got {value!r}")
    for key in ("title", "datasets", "configs"):
        if not values.get(key):
            raise ValueError(f"{file}: {key} is missing or empty")
