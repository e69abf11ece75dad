"""Read and check grid files, which list the training runs of an experiment.

The Snakemake workflow executes the notebooks for all training runs in a grid file. The repository's
grid files are in ``workflow/grids/``. The command ``pcb grid check`` checks a grid file.
"""

from __future__ import annotations

import ast
import os
import re
from itertools import product
from pathlib import Path
from typing import Any

import msgspec

from pcb.grids.questions import NOTEBOOKS
from pcb.grids.schema import decode_yaml
from pcb.messages.nearest import suggestion
from pcb.messages.ranges import SEED
from pcb.notebooks.parameters import check_parameters
from pcb.runs.paths import BALANCED, RunName
from pcb.storage.repository import repository_path

SIZES = ("tiny", "mini", "full")  # sizes of OpenMoji-LT

# Notebook parameters that the workflow sets; a grid file must not set them.
_SET = ("config", "work_dir", "seed", "cfg_options", "replace", "gpus", "before", "runs", "size")
_Options = dict[str, dict[str, Any] | list[Any] | str | int | float | bool | None]


class Grid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a grid file, which lists training runs.

    The grid has one training run for each combination of dataset, config, override and seed.

    Attributes:
        title: Heading of the web page with the results.
        datasets: Names of folders in ``configs/``.
        baselines: Names of configs without Pairwise Class Balance (PCB), such as ``softmax`` for
            ``softmax.py``. The folder of each dataset must contain these configs.
        pcb: Whether each baseline is run without PCB (``[off]``), with PCB (``[on]``) or both ways
            (``[off, on]``). The config ``softmax_pcb`` is ``softmax`` with PCB.
        configs: Names of further configs. ``pcb`` does not apply to these configs. A config with
            PCB must be listed here if its name does not end in ``_pcb``.
        seeds: Random seeds.
        overrides: Named sets of config options, such as ``{"lr2": {"optimizer.lr": 0.002}}``.
            Every config is run with each set. With an empty set (``default: {}``), the config
            is run unchanged.
        cfg_options: Config options for every run, such as ``{"runner.max_epochs": 1}``.
        make: Datasets to create if they are missing, and their sizes, such as
            ``{"openmoji": "mini"}``. Datasets that are not listed here must already exist.
        parameters: Parameters for each notebook, such as
            ``{"03_confusion_matrix": {"score_threshold": 0.5}}``.
        threads: Number of CPU threads for one training or prediction job. All processes of a job
            share these threads. The workflow runs as many jobs at the same time as Snakemake's
            option ``--cores`` allows.
        gpus: Number of GPUs for one training run, with one process for each GPU. A machine without
            GPUs runs the same number of processes on the CPU.
        memory: Memory for one training or prediction job, such as ``64GB``; used only on clusters.
        time: Time limit for one training or prediction job, such as ``2d`` or ``36h``; used only
            on clusters.

    Raises:
        ValueError: A list is empty, a name or value is not allowed, or a run occurs twice.
    """

    title: str
    datasets: list[str]
    baselines: list[str] = []
    pcb: list[bool] = msgspec.field(default_factory=lambda: [False, True])
    configs: list[str] = []
    seeds: list[int] = msgspec.field(default_factory=lambda: [0])
    overrides: dict[str, _Options] = {}
    cfg_options: _Options = {}
    make: dict[str, str] = {}
    parameters: dict[str, dict[str, Any]] = {}
    threads: int = 1
    gpus: int = 1
    memory: str = ""
    time: str = ""

    def __post_init__(self) -> None:
        for key in ("title", "datasets", "seeds", "pcb"):
            if not getattr(self, key):
                raise ValueError(f"{key} is empty: add a value")
        if not self.baselines and not self.configs:
            raise ValueError(
                "the grid has no configs: list config names under 'baselines' or 'configs'"
            )
        for key in ("datasets", "baselines", "configs", "overrides"):
            for name in getattr(self, key):
                # A further hyphen could not be distinguished from that between config and override.
                _check_name(key.removesuffix("s"), name, "-" if key == "datasets" else "")
        names = [str(run) for run in self.runs]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"the grid contains the run {name} {names.count(name)} times: remove the "
                    "duplicates"
                )
        self._check_numbers()
        self._check_cluster()
        self._check_notebooks()

    @property
    def runs(self) -> list[RunName]:
        """All training runs of the grid."""
        configs = [
            f"{baseline}{BALANCED if balanced else ''}"
            for baseline, balanced in product(self.baselines, self.pcb)
        ]
        overrides = [name if options else "" for name, options in self.overrides.items()] or [""]
        points = product(self.datasets, configs + self.configs, overrides, self.seeds)
        return [RunName(dataset, config, seed, name) for dataset, config, name, seed in points]

    def plain(self, run: RunName) -> RunName | None:
        """Return the baseline of a run: the same run without Pairwise Class Balance (PCB).

        The result is None if the grid does not contain the baseline.
        """
        return next((plain for plain in run.plain if plain in self.runs), None)

    def options(self, run: RunName) -> dict[str, Any]:
        """Return the grid's ``cfg_options``, updated with the override of a run."""
        return {**self.cfg_options, **self.overrides.get(run.override, {})}

    def _check_numbers(self) -> None:
        for key in ("threads", "gpus"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} must be at least 1, got {getattr(self, key)}")
        for seed in self.seeds:
            SEED.check("seeds", seed)

    def _check_cluster(self) -> None:
        for key, example, pattern in (
            ("memory", "64GB", r"0*[1-9]\d* ?[MGT]i?B"),
            ("time", "36h or 2d", r"0*[1-9]\d*[dhm]"),
        ):
            value = getattr(self, key)
            if value and not re.fullmatch(pattern, value):
                raise ValueError(f"{key} must be text such as {example}, got {value!r}")

    def _check_notebooks(self) -> None:
        for key, kind, known in (
            ("make", "dataset", self.datasets),
            ("parameters", "notebook", NOTEBOOKS),
        ):
            for name in getattr(self, key):
                if name not in known:
                    raise ValueError(
                        f"unknown {kind} {name!r} under {key!r}; {suggestion(name, known)}"
                    )
        for dataset, size in self.make.items():
            if size not in SIZES:
                sizes = f"{', '.join(SIZES[:-1])} or {SIZES[-1]}"
                raise ValueError(f"the size of {dataset} in 'make' must be {sizes}, got {size!r}")
        for notebook, values in self.parameters.items():
            for name in values:
                if name in _SET:
                    raise ValueError(
                        f"the grid file must not set the parameter {name!r} of {notebook}, because "
                        f"the workflow sets it. Remove {name!r} from 'parameters'"
                    )


def grid_file(name: str | os.PathLike[str]) -> Path:
    """Return the path of a grid file.

    Args:
        name: A path that ends in ``.yaml`` or ``.yml``, or the name of a grid in
            ``workflow/grids/``.

    Raises:
        FileNotFoundError: The file does not exist. The message suggests a similar name, or lists
            the grids in ``workflow/grids/``.
    """
    file = Path(name)
    if file.suffix not in (".yaml", ".yml"):
        file = repository_path(Path("workflow", "grids", f"{name}.yaml"))
    if not file.is_file():
        known = sorted(found.stem for found in repository_path("workflow/grids").glob("*.yaml"))
        raise FileNotFoundError(f"there is no grid file {file}; {suggestion(file.stem, known)}")
    return file


def grid_root(name: str | os.PathLike[str], runs: str | os.PathLike[str] = "runs") -> Path:
    """Return the folder that contains the training runs of a grid.

    Args:
        name: A grid file, or the name of a grid in ``workflow/grids/``.
        runs: Folder that contains a subfolder for each grid.

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
    """Read and check a grid file.

    Args:
        name: A grid file, or the name of a grid in ``workflow/grids/``.
        configs: Folder of the configs; a relative path starts at the repository root.
        notebooks: Folder of the notebooks; a relative path starts at the repository root.

    Raises:
        FileNotFoundError: The grid file does not exist.
        ValueError: A key is unknown, missing or repeated; a value is not allowed; or a config or
            notebook parameter does not exist.

    Example:
        >>> [str(run) for run in read_grid("demo").runs]
        ['openmoji/softmax/seed0', 'openmoji/softmax_pcb/seed0']
    """
    file = grid_file(name)
    try:
        if re.search(r"""['"\\$`\n]""", str(file)):  # Snakemake quotes these characters wrongly
            raise ValueError(
                "the path of a grid file must not contain quotes, backticks, backslashes, $ or "
                "line breaks: rename the file or the folder"
            )
        _check_name("file", file.stem, "-")
        grid = decode_yaml(file.read_text(encoding="utf-8"), Grid)
        for run in grid.runs:
            config_file(run, configs)
        for notebook, parameters in grid.parameters.items():
            check_parameters(repository_path(notebooks) / f"{notebook}.ipynb", parameters)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: not valid YAML: {error}") from error
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    return grid


def config_file(run: RunName, configs: str | os.PathLike[str] = "configs") -> Path:
    """Return the config file of a run.

    Raises:
        ValueError: The file does not exist. The message suggests a similar name, or lists the
            existing configs.
    """
    folder = repository_path(configs)
    path = folder / run.dataset / f"{run.config}.py"
    if not path.is_file():
        known = [f"{found.parent.name}/{found.stem}" for found in sorted(folder.glob("[!_]*/*.py"))]
        wanted = f"{run.dataset}/{run.config}"
        raise ValueError(f"there is no config {wanted!r}; {suggestion(wanted, known)}")
    return path


def config_sources(path: Path) -> list[Path]:
    """Return the paths of a config file and of all its base files, the config file first."""
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


def _check_name(kind: str, name: str, further: str = "") -> None:
    """Raise a ValueError if a name is not safe in paths and command lines."""
    if not re.fullmatch(rf"\w[\w.{further}]*", name, re.ASCII):
        allowed = ["letters", "digits", *map(repr, ["_", ".", *further])]
        raise ValueError(
            f"the {kind} name {name!r} is not valid. Use only {', '.join(allowed[:-1])} and "
            f"{allowed[-1]}, and begin with a letter, a digit or '_'"
        )
