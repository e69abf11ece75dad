"""Group training runs by config, choose each config's baseline, and describe the comparison."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pcb.metrics.seeds import Estimate, estimate, paired_difference
from pcb.runs.folder import RunFolder
from pcb.runs.paths import parse_seed, plain_names
from pcb.runs.settings import differing_settings, loss_settings, strength_argument, without_pcb
from pcb.storage.repository import repository_path

# Entries of `environment.json` that can affect metrics. The last three matter only on a CPU.
_CONDITIONS = (
    *("device", "processes", "operators", "torch", "torchvision", "mmcv-full", "mmdet", "numpy"),
    *("cpu", "cpu_capability", "threads"),
)
_MOST_SETTINGS = 6  # maximum number of settings that a sentence lists


@dataclass(eq=False)
class ConfigRuns:
    """The training runs of one config, at most one run for each seed.

    Attributes:
        folder: Folder that contains the run folders ``seed<N>``. A run folder with a different
            name counts as a separate config; ``folder`` is then the run folder itself.
        runs: The runs by seed; the key is None if the seed is unknown.
        name: Short name of the config, unique within a comparison.
        baseline: The config with which this config is compared; None if there is no baseline.
    """

    folder: Path
    runs: dict[int | None, RunFolder] = field(default_factory=dict)
    name: str = ""
    baseline: ConfigRuns | None = None

    @cached_property
    def _metrics(self) -> dict[int | None, dict[str, dict[str, float]]]:
        return {seed: run.read_metrics() for seed, run in self.runs.items()}

    def values(self, iou_type: str, metric: str) -> dict[int | None, float]:
        """Return a dict that maps each seed to the value of a metric, as a fraction.

        The value is NaN if the metric is undefined or missing.

        Raises:
            FileNotFoundError: A run has no ``metrics.json``.
        """
        return {
            seed: metrics.get(iou_type, {}).get(metric, math.nan)
            for seed, metrics in self._metrics.items()
        }

    def estimate(self, iou_type: str, metric: str) -> Estimate:
        """Return the mean and confidence interval of a metric over all seeds."""
        return estimate(self.values(iou_type, metric).values())

    def difference(self, iou_type: str, metric: str) -> Estimate:
        """Estimate the mean difference in a metric between this config and its baseline.

        Only runs with the same seed are compared. If there is no baseline, the mean is NaN.
        """
        theirs = self.baseline.values(iou_type, metric) if self.baseline else {}
        return paired_difference(self.values(iou_type, metric), theirs)

    @property
    def pairs(self) -> dict[int | None, tuple[RunFolder, RunFolder]]:
        """Pairs of runs with the same seed, as ``{seed: (run, run_of_baseline)}``."""
        theirs = self.baseline.runs if self.baseline else {}
        return {seed: (run, theirs[seed]) for seed, run in self.runs.items() if seed in theirs}

    @property
    def has_counterpart(self) -> bool:
        """Whether the baseline is the same config without PCB, according to the folder names."""
        return self.baseline is not None and self.baseline.folder in _plain_folders(self.folder)

    def only(self, seed: int | None) -> ConfigRuns:
        """Return a copy of this object with only the run of the given seed.

        The baseline is also reduced to this seed. If the baseline has no run with this seed, the
        copy has no baseline.
        """
        baseline = self.baseline.only(seed) if self.baseline and seed in self.pairs else None
        return ConfigRuns(self.folder, {seed: self.runs[seed]}, self.name, baseline)


def group_runs(
    runs: Iterable[str | os.PathLike[str] | RunFolder], or_first: bool = True
) -> list[ConfigRuns]:
    """Group training runs by config, and choose the baseline of each config.

    A config with PCB is compared with its counterpart without PCB, for example ``softmax_pcb`` with
    ``softmax``; see :func:`pcb.runs.paths.plain_names`. A config without a counterpart is compared
    with the default baseline, unless the config is itself a baseline. The default baseline is the
    first config without PCB, or the first config if every config uses PCB.

    Args:
        runs: Run folders, ``.../<dataset>/<config>/seed<N>``; a relative path starts at the
            repository root. A folder whose name is not ``seed<N>`` counts as a separate config.
        or_first: If False, a config without a counterpart has no baseline.

    Returns:
        The configs. Each baseline comes before the configs that are compared with it.

    Example:
        >>> runs = [f"o/{config}/seed{n}" for config in ("rfs", "rfs_pcb") for n in (0, 1)]
        >>> for config in group_runs(runs):
        ...     print(config.name, list(config.runs), config.baseline and config.baseline.name)
        rfs [0, 1] None
        rfs_pcb [0, 1] rfs
    """
    groups: dict[Path, ConfigRuns] = {}
    for given in runs:
        run = given if isinstance(given, RunFolder) else RunFolder(repository_path(given))
        folder, seed = _config_and_seed(run)
        groups.setdefault(folder, ConfigRuns(folder)).runs.setdefault(seed, run)
    configs = list(groups.values())
    for config, name in zip(configs, _names([c.folder for c in configs]), strict=True):
        config.name = name
        counterparts = (groups.get(folder) for folder in _plain_folders(config.folder))
        config.baseline = next(filter(None, counterparts), None)
    plain = (config for config in configs if not plain_names(config.folder.name))
    first = next(plain, configs[0] if configs else None)
    baselines = [config.baseline for config in configs]
    for config in configs if or_first else []:
        if config.baseline is None and config is not first and config not in baselines:
            config.baseline = first
    heads = [config for config in configs if config.baseline is None]
    return [one for head in heads for one in (head, *(c for c in configs if c.baseline is head))]


def remarks(configs: Sequence[ConfigRuns]) -> list[str]:
    """Return sentences that help a reader to interpret a comparison of configs.

    The sentences state:

    - which configs and seeds are compared;
    - which settings, package versions and machines differ between a config and its baseline,
      apart from the settings of PCB;
    - in which configs training ended before PCB's start epoch;
    - which settings differ between the runs of a single config.
    """
    sentences = []
    for config in configs:
        if config.baseline:
            sentences.append(_compared(config, config.baseline))
            pairs = list(config.pairs.values())
            if more := _differences(pairs, without_pcb):
                names = f"{config.name} differs from {config.baseline.name}"
                sentences.append(f"{names} in settings other than those of PCB: {more}.")
            if conditions := _other_conditions(pairs):
                sentences.append(
                    f"{config.name} was not trained under the same conditions as "
                    f"{config.baseline.name}: {conditions}. Different conditions can change AP as "
                    "much as a different seed does."
                )
        if any(map(_never_acts, config.runs.values())):
            sentences.append(
                f"PCB never acted in {config.name}: training ended before PCB's start epoch."
            )
        first, *others = config.runs.values()
        if differing := _differences([(other, first) for other in others], dict):
            sentences.append(
                f"The runs of {config.name} differ in {differing}, so their mean mixes results of "
                "different settings."
            )
    if not any(config.baseline for config in configs):
        sentences.append("There is only one config, so there is nothing to compare it with.")
    return sentences


def differs_by_pcb_alone(config: ConfigRuns) -> bool:
    """Return True if the use of PCB is the only difference between a config and its baseline.

    The result is also False if training ended before PCB's start epoch, or if runs of the same
    config have different settings.
    """
    if not config.baseline:
        return False
    try:
        for one in (config, config.baseline):
            first, *others = one.runs.values()
            if _differences([(other, first) for other in others], dict):
                return False
        more = _differences(config.pairs.values(), without_pcb)
        return not more and not any(map(_never_acts, config.runs.values()))
    except ValueError:  # not a merged config
        return False


def distinct_names(names: Sequence[str]) -> list[str]:
    """Shorten slash-separated run names by removing each part that all names share.

    >>> distinct_names(["openmoji/softmax/seed0", "openmoji/softmax_pcb/seed0"])
    ['softmax', 'softmax_pcb']
    """
    parts = [name.split("/") for name in names]
    if len(set(names)) < len(names) or len({len(own) for own in parts}) > 1 or len(names) == 1:
        return list(names)
    differs = [len(set(column)) > 1 for column in zip(*parts, strict=True)]
    return ["/".join(p for p, keep in zip(own, differs, strict=True) if keep) for own in parts]


def _never_acts(run: RunFolder) -> bool:
    """Return True if a run uses PCB but its training ended before PCB's start epoch."""
    if not run.config_file.is_file():
        return False
    config = run.read_config()
    loss = loss_settings(config)
    last = config.get("runner", {}).get("max_epochs", math.inf)
    return loss.get(strength_argument(loss), 0) > 0 and loss.get("start_epoch", 0) > last


def _compared(config: ConfigRuns, baseline: ConfigRuns) -> str:
    seeds = ", ".join("unknown" if seed is None else str(seed) for seed in config.pairs)
    why = "" if config.has_counterpart else ", the first config,"
    start = f"{config.name} is compared with {baseline.name}{why}"
    if not config.pairs:
        both = f"{config.name} and {baseline.name}"
        return f"{both} have no seed in common: train both with the same seed to compare them."
    if len(config.pairs) == 1:
        return (
            f"{start} over one seed ({seeds}). One seed cannot show how much of the difference is "
            "due to chance, so there is no confidence interval."
        )
    return f"{start} over {len(config.pairs)} seeds ({seeds})."


def _differences(
    pairs: Iterable[tuple[RunFolder, RunFolder]],
    view: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> str:
    """Describe which settings differ between paired runs.

    The function ``view`` takes a config and selects the settings to compare.
    """
    found: dict[str, tuple[Any, Any]] = {}
    for ours, theirs in pairs:
        if ours.config_file.is_file() and theirs.config_file.is_file():
            found = differing_settings(view(ours.read_config()), view(theirs.read_config())) | found
    return _in_words(found)


def _other_conditions(pairs: Iterable[tuple[RunFolder, RunFolder]]) -> str:
    """Describe which package versions and machines differ between paired runs."""
    found: dict[str, tuple[Any, Any]] = {}
    for pair in pairs:
        ours, theirs = (
            run.read_environment() if run.environment_file.is_file() else {} for run in pair
        )
        names = [name for name in _CONDITIONS if name in ours and name in theirs]
        if ours.get("device") == theirs.get("device") != "cpu":
            names = [name for name in names if name not in _CONDITIONS[-3:]]
        ours, theirs = ({name: one[name] for name in names} for one in (ours, theirs))
        found = differing_settings(ours, theirs) | found
    return _in_words(found)


def _in_words(found: Mapping[str, tuple[Any, Any]]) -> str:
    texts = [
        f"{key} ({one!r} instead of {other!r})" if _is_short(one) and _is_short(other) else key
        for key, (one, other) in found.items()
    ]
    more = len(texts) - _MOST_SETTINGS
    return ", ".join(texts[:_MOST_SETTINGS]) + (f" and {more} more" if more > 0 else "")


def _is_short(value: Any) -> bool:
    return isinstance(value, str | int | float | None) and len(repr(value)) <= 40


def _config_and_seed(run: RunFolder) -> tuple[Path, int | None]:
    """Return the config folder and the seed of a run; the seed is None if it is unknown."""
    path = run.path.absolute()
    seed = parse_seed(path.name)
    if seed is not None:
        return path.parent, seed
    environment = run.read_environment() if run.environment_file.is_file() else {}
    seed = environment.get("seed")
    return path, seed if isinstance(seed, int) else None


def _plain_folders(folder: Path) -> list[Path]:
    return [folder.with_name(name) for name in plain_names(folder.name)]


def _names(folders: Sequence[Path]) -> list[str]:
    """Return a short name for each config folder; no two folders have the same name."""
    depth = 2
    while len({folder.parts[-depth:] for folder in folders}) < len(folders):
        depth += 1
    return distinct_names(["/".join(folder.parts[-depth:]) for folder in folders])
