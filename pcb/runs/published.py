"""Published results of Pairwise Class Balance (PCB) on LVIS.

Source: He et al., "Relieving Long-tailed Instance Segmentation via Pairwise Class Balance",
CVPR 2022 (arXiv 2201.02784), table of results on LVIS v0.5 and v1. The model zoo of the official
repository (https://github.com/megvii-research/PCB) lists the same results and their checkpoints.
``published_results.csv`` contains these results, with metrics in percent, as in the paper.
"""

import copy
import csv
import os
from functools import cache
from importlib.resources import files
from pathlib import PurePath
from typing import Any

_DATASETS = {"lvis_v0.5": "lvis_v0_5", "lvis_v1": "lvis_v1"}
_BASELINES = {"Softmax": "softmax", "RFS": "rfs", "EQL v2": "eqlv2", "Seesaw": "seesaw"}


def published_results(name: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return the published results for a config or a run.

    There are published results for the eight LVIS configs whose names end in ``_pcb``, and for the
    config ``seesaw_pcb_r101`` of LVIS v1.

    Args:
        name: Path of a config file, a run folder, or a file in a run folder. The path must contain
            the name of the dataset, directly followed by the name of the config.

    Returns:
        A dictionary; None if no results were published. The entry ``segm`` contains AP, APr, APc
        and APf, and the entry ``bbox`` contains AP. All metrics are fractions.
        ``method`` and ``backbone`` are the names used in the paper. ``checkpoint`` is the address
        of the download page for the official weights.

    Example:
        >>> row = published_results("lvis_v1/seesaw_pcb_r101")
        >>> row["segm"]
        {'AP': 0.287, 'APr': 0.228, 'APc': 0.28, 'APf': 0.321}
        >>> row["bbox"], row["method"], row["backbone"]
        ({'AP': 0.3}, 'Seesaw + PCB', 'R101-FPN')
        >>> published_results("runs/lvis_v0_5/rfs_pcb/seed1/config.py")["segm"]["AP"]
        0.277
        >>> published_results("openmoji/softmax_pcb/seed0") is None
        True
    """
    parts = PurePath(os.fspath(name).removesuffix(".py")).parts
    rows = _rows()
    # Try every pair of adjacent parts, starting at the end of the path.
    for dataset, config in zip(parts[-2::-1], parts[:0:-1], strict=True):
        if (dataset, config) in rows:
            return copy.deepcopy(rows[dataset, config])
    return None


@cache
def _rows() -> dict[tuple[str, str], dict[str, Any]]:
    """Return a dict from (dataset name, config name) to the published results of the config."""
    text = files("pcb.runs").joinpath("published_results.csv").read_text(encoding="utf-8")
    rows = {}
    for row in csv.DictReader(text.splitlines()):
        baseline = _BASELINES[row["method"].removesuffix(" + PCB")]
        depth = "_r101" if row["backbone"].startswith("R101") else ""
        rows[_DATASETS[row["dataset"]], f"{baseline}_pcb{depth}"] = {
            "segm": {name: _fraction(row[name]) for name in ("AP", "APr", "APc", "APf")},
            "bbox": {"AP": _fraction(row["APb"])},
            "method": row["method"],
            "backbone": row["backbone"],
            "checkpoint": row["checkpoint"],
        }
    return rows


def _fraction(percent: str) -> float:
    """Convert a percentage with one decimal to a fraction with three decimals."""
    return round(float(percent) / 100, 3)
