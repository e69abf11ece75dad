"""The published results on LVIS, to compare one's own with.

Source: He et al., "Relieving Long-tailed Instance Segmentation via Pairwise Class Balance",
CVPR 2022 (arXiv 2201.02784), its table of results on LVIS v0.5 and v1, as the model zoo of the
official repository (https://github.com/megvii-research/PCB) lists it with the checkpoints.
``published_results.csv`` holds its rows in percent, as printed.
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
    """Return the published row of a config or of one of its runs.

    There are rows for the eight ``_pcb`` configs of LVIS with ResNet-50 and for ``seesaw_pcb_r101``
    of LVIS v1, but not for the plain baselines.

    Args:
        name: A path that contains dataset and config in this order: a config file, a run folder, or
            a file in one.

    Returns:
        None if nothing is published. Otherwise ``segm`` with AP, APr, APc and APf and ``bbox`` with
        AP, fractions as in a run's ``metrics.json``; ``method`` and ``backbone`` as in the paper;
        and ``checkpoint``, the download page of the official weights.

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
    for dataset, config in zip(parts[-2::-1], parts[:0:-1], strict=True):  # the last pair first
        if (dataset, config) in rows:
            return copy.deepcopy(rows[dataset, config])
    return None


@cache
def _rows() -> dict[tuple[str, str], dict[str, Any]]:
    """Return every row by dataset and config."""
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
    """Return a percentage with one decimal as the nearest fraction with three."""
    return round(float(percent) / 100, 3)
