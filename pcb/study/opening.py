"""Open the run or the files that the parameters of a notebook name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pcb.study.results import ResultsView, open_results
from pcb.study.run import RunView, open_run

_OF_A_RUN = ("config", "seed", "cfg_options", "checkpoint", "trust_checkpoint")
_OF_FILES = ("ground_truth", "results", "image_dir", "train", "federated", "crowds")
_FEDERATED = {"": None, "yes": True, "no": False}


def open_run_or_results(parameters: Mapping[str, Any]) -> RunView | ResultsView:
    """Open the files that a notebook's parameters name or, if they name no file, a run.

    Args:
        parameters: The notebook's parameters, from :func:`pcb.notebooks.parameters.check`. Those of
            a run are ``config``, ``seed``, ``cfg_options``, ``checkpoint`` and
            ``trust_checkpoint``; see :func:`open_run`. Those of files are ``ground_truth``,
            ``results``, ``image_dir``, ``train``, ``federated`` ("yes", "no" or "") and ``crowds``
            ("ignore", "objects" or ""); see :func:`open_results`. ``work_dir`` is the run folder or
            the folder for the results.

    Raises:
        ValueError: The parameters name both a run and files, or only one of ``ground_truth`` and
            ``results``.
        FileNotFoundError: A file or folder is missing.

    Example:
        >>> open_run_or_results({"ground_truth": "gt.json", "results": "boxes.json", "seed": 3})
        Traceback (most recent call last):
        ValueError: seed cannot be combined with ground_truth and results: set either a run or files
    """
    files = [name for name in _OF_FILES if parameters.get(name)]
    of_a_run = [name for name in _OF_A_RUN if parameters.get(name)]
    if not files:
        work_dir, config, seed = (parameters[name] for name in ("work_dir", "config", "seed"))
        return open_run(work_dir, config, seed, parameters["cfg_options"])
    if of_a_run:
        raise ValueError(
            f"{_all(of_a_run)} cannot be combined with {_all(files)}: set either a run or files"
        )
    if missing := [name for name in _OF_FILES[:2] if name not in files]:
        raise ValueError(f"{_all(files)} cannot be used without {_all(missing)}: also set these")
    return open_results(
        ground_truth=parameters["ground_truth"],
        results=parameters["results"],
        image_dir=parameters["image_dir"],
        work_dir=parameters["work_dir"],
        train=parameters["train"],
        federated=_FEDERATED[parameters["federated"]],
        crowds=parameters["crowds"] or None,
        before=parameters.get("before", ""),
    )


def _all(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
