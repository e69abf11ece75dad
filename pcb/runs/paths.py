"""Compose and parse the names of training runs."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from pcb.storage.repository import repository_path

BALANCED = "_pcb"  # in the names of configs with PCB: `softmax_pcb` is `softmax` with PCB


@dataclass(frozen=True)
class RunName:
    """The name of a training run: ``<dataset>/<config>[-<override>]/seed<N>``.

    Attributes:
        dataset: Name of the dataset, and of its folder in ``configs/``.
        config: Name of the config file, without ``.py``.
        seed: Random seed.
        override: Name of the changes to the config; empty if the config is unchanged.

    Example:
        >>> str(RunName("openmoji", "softmax", 0)), str(RunName("openmoji", "softmax", 1, "lr2"))
        ('openmoji/softmax/seed0', 'openmoji/softmax-lr2/seed1')
        >>> RunName.parse("runs/demo/openmoji/softmax-lr2/seed1")
        RunName(dataset='openmoji', config='softmax', seed=1, override='lr2')
    """

    dataset: str
    config: str
    seed: int
    override: str = ""

    @classmethod
    def parse(cls, path: str | os.PathLike[str]) -> RunName:
        """Parse the path of a run folder.

        Raises:
            ValueError: The path does not end in ``<dataset>/<config>/seed<N>``.
        """
        parts = Path(path).absolute().parts
        seed = parse_seed(parts[-1])
        if len(parts) < 4 or seed is None:
            raise ValueError(
                f"{path} is not the path of a run: use a path that ends in "
                "<dataset>/<config>/seed<N>"
            )
        config, _, override = parts[-2].partition("-")
        return cls(parts[-3], config, seed, override)

    @property
    def config_folder(self) -> str:
        """Name of the folder that contains the runs of all seeds: ``<config>[-<override>]``."""
        return f"{self.config}-{self.override}" if self.override else self.config

    @property
    def plain(self) -> list[RunName]:
        """Possible names of this run's counterpart without PCB.

        The most likely name comes first. If this run does not use PCB, the list is empty.

        Example:
            >>> [str(name) for name in RunName("openmoji", "softmax_pcb", 0, "lr2").plain]
            ['openmoji/softmax-lr2/seed0']
        """
        return [replace(self, config=config) for config in plain_names(self.config)]

    def __str__(self) -> str:
        return f"{self.dataset}/{self.config_folder}/seed{self.seed}"


def run_name(path: str | os.PathLike[str]) -> str:
    """Return the last three parts of a run folder's path as the name of the run.

    Unlike :meth:`RunName.parse`, this function accepts any path.

    Example:
        >>> run_name("runs/demo/openmoji/softmax_pcb/seed0")
        'openmoji/softmax_pcb/seed0'
    """
    return "/".join(Path(path).absolute().parts[-3:])


def parse_seed(folder: str) -> int | None:
    """Return the seed from the folder name ``seed<N>``; None if the name has a different form.

    Leading zeros are not accepted.

    Example:
        >>> parse_seed("seed12"), parse_seed("seed007"), parse_seed("mine")
        (12, None, None)
    """
    found = re.fullmatch(r"seed(0|[1-9][0-9]*)", folder)
    return int(found[1]) if found else None


def plain_names(config: str) -> list[str]:
    """Return possible names of a config's counterpart without PCB.

    The most likely name comes first. If the config does not use PCB, the list is empty. A
    suffix such as ``-lr2`` is kept.

    Args:
        config: Name of the config.

    Example:
        >>> plain_names("seesaw_pcb_r101"), plain_names("softmax_pcb"), plain_names("softmax")
        (['seesaw_r101', 'seesaw'], ['softmax'], [])
        >>> plain_names("softmax_pcb-lr2"), plain_names("softmax-no_pcb_warmup")
        (['softmax-lr2'], [])
    """
    name, hyphen, override = config.partition("-")
    baseline, balanced, variant = name.partition(BALANCED)
    names = dict.fromkeys([baseline + variant, baseline]) if balanced else {}
    return [plain + hyphen + override for plain in names]


def default_work_dir(path: str | os.PathLike[str], seed: int = 0) -> Path:
    """Return the default folder of a run: ``runs/<dataset>/<config>/seed<N>`` in the repository.

    Args:
        path: Config file; the name of its folder is the name of the dataset.
        seed: Random seed.

    Example:
        >>> default_work_dir("configs/openmoji/softmax.py", 1).parts[-4:]
        ('runs', 'openmoji', 'softmax', 'seed1')
    """
    path = Path(path)
    return repository_path(Path("runs", str(RunName(path.parent.name, path.stem, seed))))
