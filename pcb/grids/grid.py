"""A grid of runs: datasets x configs x overrides x seeds, read from a small YAML file.

The Snakemake workflow asks every notebook of every run of a grid; ``workflow/grids/`` holds them.
``python -m pcb.grids.grid demo`` checks one and prints the folder of its runs.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from pcb.grids.questions import NOTEBOOKS
from pcb.messages.nearest import suggestion
from pcb.notebooks.parameters import check_parameters
from pcb.runs.names import BALANCED, plain_names
from pcb.storage.repository import repository_path

# Parameters of notebooks that the workflow sets, from the grid's other keys.
_SET = ("config", "work_dir", "seed", "cfg_options", "replace", "gpus", "before", "runs", "size")

# What a grid file may hold: the type of each key, and that of the entries of a list or mapping.
_KEYS: dict[str, tuple[type, type]] = {
    "title": (str, object),
    "datasets": (list, str),
    "baselines": (list, str),
    "pcb": (list, bool),
    "configs": (list, str),
    "seeds": (list, int),
    "overrides": (dict, dict),
    "cfg_options": (dict, object),
    "make": (dict, str),
    "parameters": (dict, dict),
    "threads": (int, object),
    "gpus": (int, object),
    "memory": (str, object),
    "time": (str, object),
}


@dataclass(frozen=True)
class Run:
    """One run of a grid: a config file, by dataset and name, a seed and a named override."""

    dataset: str
    config: str
    seed: int
    override: str = ""

    @property
    def name(self) -> str:
        """Where the run lies below the grid's folder.

        >>> Run("openmoji", "softmax", 0).name, Run("openmoji", "softmax", 0, "lr2").name
        ('openmoji/softmax/seed0', 'openmoji/softmax-lr2/seed0')
        """
        return f"{self.dataset}/{self._folder}/seed{self.seed}"

    @property
    def plain_names(self) -> list[str]:
        """Names that the run without PCB may have, all else being equal; none for a plain run."""
        names = plain_names(self._folder)
        return [f"{self.dataset}/{name}/seed{self.seed}" for name in names]

    @property
    def _folder(self) -> str:
        return f"{self.config}-{self.override}" if self.override else self.config


@dataclass(frozen=True)
class Grid:
    """What a grid file says. Every list multiplies the grid.

    Attributes:
        title: heading of the grid's page.
        datasets: folders of ``configs/``.
        baselines: config files in each of them, such as ``softmax``.
        pcb: ``[off, on]``: each baseline plain, and with PCB (``softmax_pcb``); or one of the two.
        configs: further config files by their exact names, for what baselines x PCB cannot say.
        seeds: random seeds.
        overrides: config options by a name of yours: ``{"lr2": {"optimizer.lr": 0.002}}``. Each is
            one more point beside the others; one without options (``default: {}``) is the config
            as it is.
        cfg_options: options of every config, such as ``{"runner.max_epochs": 1}``.
        make: datasets to make if their data is not there, with the size; the others must be there.
        parameters: of notebooks, by notebook:
            ``{"03_confusion_matrix": {"score_threshold": 0.5}}``.
        threads: CPU threads of one training (of all its processes together) or prediction. The
            workflow starts as many at a time as fit into its ``--cores``.
        gpus: processes of one training, each on a GPU of its own if there are any.
        memory: of one training or prediction, such as ``64GB``; only a cluster asks.
        time: that one training or prediction may take, such as ``2d`` or ``36h``; likewise.
    """

    title: str
    datasets: list[str]
    baselines: list[str] = field(default_factory=list)
    pcb: list[bool] = field(default_factory=lambda: [False, True])
    configs: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [0])
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict)
    cfg_options: dict[str, Any] = field(default_factory=dict)
    make: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    threads: int = 1
    gpus: int = 1
    memory: str = ""
    time: str = ""

    @property
    def runs(self) -> list[Run]:
        """Every run, in the order of the file."""
        configs = [
            f"{baseline}{BALANCED if balanced else ''}"
            for baseline, balanced in product(self.baselines, self.pcb)
        ]
        overrides = [name if options else "" for name, options in self.overrides.items()] or [""]
        points = product(self.datasets, configs + self.configs, overrides, self.seeds)
        return [Run(dataset, config, seed, name) for dataset, config, name, seed in points]

    def plain(self, run: Run) -> Run | None:
        """The run of the grid that differs from this one by PCB alone; None if there is none."""
        own = {other.name: other for other in self.runs}
        return next((own[name] for name in run.plain_names if name in own), None)

    def options(self, run: Run) -> dict[str, Any]:
        """The overrides of one run's config."""
        return {**self.cfg_options, **self.overrides.get(run.override, {})}


def grid_file(name: str | os.PathLike[str]) -> Path:
    """Return the file of a grid: a path, or the name of one in ``workflow/grids/``.

    Raises:
        FileNotFoundError: there is none; names the grids there are.
    """
    file = Path(name)
    if file.suffix not in (".yaml", ".yml"):
        file = repository_path(Path("workflow", "grids", f"{name}.yaml"))
    if not file.is_file():
        known = sorted(found.stem for found in repository_path("workflow/grids").glob("*.yaml"))
        raise FileNotFoundError(f"no grid {file}; there are: {', '.join(known)}")
    return file


def grid_root(name: str | os.PathLike[str], runs: str | os.PathLike[str] = "runs") -> Path:
    """Return the folder of a grid's runs.

    Example:
        >>> grid_root("demo").as_posix(), grid_root("my/lvis.v1.yaml").name
        ('runs/demo', 'lvis.v1')
    """
    file = Path(name)
    return Path(runs, file.stem if file.suffix in (".yaml", ".yml") else file.name)


def read_grid(
    name: str | os.PathLike[str],
    configs: str | os.PathLike[str] = "configs",
    notebooks: str | os.PathLike[str] = "notebooks",
) -> Grid:
    """Read a grid.

    Args:
        name: a file, or the name of one in ``workflow/grids/``.
        configs: the folder its configs must be in; a relative path starts at the repository root.
        notebooks: the folder of the notebooks that it gives parameters to, likewise.

    Raises:
        FileNotFoundError: no such grid; names the grids there are.
        ValueError: a key that no grid has or that is there twice, a missing key, a value of the
            wrong kind, a name that is no plain one, a run that is there twice, a config that does
            not exist, or a parameter that its notebook does not take. Names the nearest valid one.

    Example:
        >>> [run.name for run in read_grid("demo").runs]
        ['openmoji/softmax/seed0', 'openmoji/softmax_pcb/seed0']
    """
    file = grid_file(name)
    try:
        values = _Loader(file.read_text(encoding="utf-8")).get_single_data()
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{file} is not YAML: {error}") from error
    try:
        _check_keys(values)
        grid = Grid(**values)
        _check_names(file, grid)
        _check_values(grid)
        for run in grid.runs:
            config_file(run, configs)
        for notebook, parameters in grid.parameters.items():
            check_parameters(repository_path(notebooks) / f"{notebook}.ipynb", parameters)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    return grid


def check_options(grid: Grid, configs: str | os.PathLike[str] = "configs") -> None:
    """Check that every config takes the options that a grid sets; takes seconds if it sets any.

    Args:
        grid: the grid.
        configs: see :func:`read_grid`.

    Raises:
        ValueError: an option that a config does not take; names it and the nearest valid one.
    """
    points = {run.name.rpartition("/")[0]: run for run in grid.runs if grid.options(run)}
    for name, run in points.items():
        from pcb.detection import load_config

        try:
            load_config(config_file(run, configs), grid.options(run))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None


def config_file(run: Run, configs: str | os.PathLike[str] = "configs") -> Path:
    """Return the config file of a run.

    Raises:
        ValueError: there is none; names the nearest.
    """
    folder = repository_path(configs)
    path = folder / run.dataset / f"{run.config}.py"
    if not path.is_file():
        known = [f"{found.parent.name}/{found.stem}" for found in sorted(folder.glob("[!_]*/*.py"))]
        wanted = f"{run.dataset}/{run.config}"
        raise ValueError(f"no config {wanted!r}; {suggestion(wanted, known)}")
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


class _Loader(yaml.SafeLoader):
    """YAML in which a key that is there twice is an error; PyYAML keeps the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(
                    f"{key!r} is there twice, in line {node.start_mark.line + 1} ff"
                )
        return super().construct_mapping(node, deep)


def _check_keys(values: Any) -> None:
    """Check keys and types."""
    if not isinstance(values, Mapping):
        raise ValueError(f"a grid holds the keys {', '.join(_KEYS)}")
    for key, value in values.items():
        if key not in _KEYS:
            raise ValueError(f"unknown key {key!r}; {suggestion(str(key), list(_KEYS))}")
        kind: Any
        kind, kind_of_entry = _KEYS[key]
        # Not isinstance: `on` is a bool, which is an int to Python, but no seed.
        if type(value) is not kind:
            raise ValueError(f"{key} must be a {kind.__name__}, got {value!r}")
        entries: Any = value.values() if kind is dict else value if kind is list else ()
        for entry in entries:
            if kind_of_entry is not object and type(entry) is not kind_of_entry:
                raise ValueError(f"{key} must hold {kind_of_entry.__name__}s, got {entry!r}")
        for names in [value, *value.values()] if kind is dict else ():
            for name in names if isinstance(names, dict) and key != "make" else ():
                if not isinstance(name, str):
                    raise ValueError(f"{key}: {name!r} is no text: put it in quotes")
    for key in ("title", "datasets"):
        if not values.get(key):
            raise ValueError(f"{key} is missing or empty")
    for key in ("seeds", "pcb"):
        if key in values and not values[key]:
            raise ValueError(f"{key} is empty")
    if not values.get("baselines") and not values.get("configs"):
        raise ValueError("baselines and configs are missing or empty; one of them says what to run")


def _check_names(file: Path, grid: Grid) -> None:
    """Check what becomes part of paths and command lines, and that no two runs share a folder."""
    if re.search(r"""['"\\$`\n]""", str(file)):  # Snakemake quotes them wrongly
        raise ValueError("a path that a cluster's shells read holds no quotes, backslash or $")
    # A hyphen parts a config from its override.
    named = (
        ("the file's name", [file.stem], "-"),
        ("datasets", grid.datasets, "-"),
        ("baselines", grid.baselines, ""),
        ("configs", grid.configs, ""),
        ("overrides", grid.overrides, ""),
    )
    for key, names, further in named:
        for name in names:
            if not re.fullmatch(rf"\w[\w.{further}]*", str(name), re.ASCII) or name != str(name):
                allowed = ", ".join(["letters", "digits", "_", ".", *further])
                raise ValueError(f"{key}: {name!r} is no name, which is text of {allowed}")
    names = [run.name for run in grid.runs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is in the grid {names.count(name)} times")


def _check_values(grid: Grid) -> None:
    for key, least, values in (
        ("threads", 1, [grid.threads]),
        ("gpus", 1, [grid.gpus]),
        ("seeds", 0, grid.seeds),
    ):
        if min(values) < least:
            raise ValueError(f"{key} must be at least {least}, got {min(values)}")
    if max(grid.seeds) >= 2**32:  # NumPy takes no larger one
        raise ValueError(f"seeds must be below {2**32}, got {max(grid.seeds)}")
    for dataset, size in grid.make.items():
        if size not in ("tiny", "mini", "full"):
            raise ValueError(f"make: {dataset} has the sizes tiny, mini and full, not {size!r}")
    for notebook, values in grid.parameters.items():
        for name in values:
            if name in _SET:
                raise ValueError(
                    f"parameters: {name!r} of {notebook} is set by the workflow, from the grid's "
                    "other keys"
                )
    for key, example, pattern, value in (
        ("memory", "64GB", r"0*[1-9]\d* ?[MGT]i?B", grid.memory),
        ("time", "36h or 2d", r"0*[1-9]\d*[dhm]", grid.time),
    ):
        if value and not re.fullmatch(pattern, value):
            raise ValueError(f"{key} must be text such as {example}, got {value!r}")
    for key, known in (("make", grid.datasets), ("parameters", NOTEBOOKS)):
        for name in getattr(grid, key):
            if name not in known:
                raise ValueError(f"{key}: unknown {name!r}; {suggestion(str(name), list(known))}")
