"""Names of runs: how the path of a run is composed and parsed."""

from __future__ import annotations

import os
from pathlib import Path

from pcb.storage.repository import repository_path

BALANCED = "_pcb"  # in the name of a config with PCB; the rest names its baseline


def run_name(path: str | os.PathLike[str]) -> str:
    """Return the name of a run: dataset, baseline and seed.

    Example:
        >>> run_name("runs/demo/openmoji/softmax_pcb/seed0")
        'openmoji/softmax_pcb/seed0'
    """
    return "/".join(Path(path).absolute().parts[-3:])


def plain_names(config: str) -> list[str]:
    """Names that the config without PCB may have, the likelier first; none for a plain config.

    What stands behind a hyphen is the override of a grid, which both have.

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
    """Where a run of this config goes: ``runs/<dataset>/<config>/seed<seed>`` in the repository.

    Example:
        >>> default_work_dir("configs/openmoji/softmax.py", 1).parts[-4:]
        ('runs', 'openmoji', 'softmax', 'seed1')
    """
    path = Path(path)
    return repository_path(Path("runs") / path.parent.name / path.stem / f"seed{seed}")
