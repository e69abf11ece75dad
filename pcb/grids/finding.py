"""What a grid found, in one sentence with its uncertainty; the first thing its page says."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pcb.metrics import Estimate, format_interval, format_points
from pcb.runs.comparison import ConfigRuns, differs_by_pcb_alone, group_runs
from pcb.runs.folder import RunFolder

_METRICS = (("APr", "mask APr"), ("AP", "mask AP"))  # the rare classes first: PCB is for them
_RAISED, _LOWERED, _OPEN = "raised", "lowered", "open"


def finding(runs: Iterable[RunFolder], root: str | os.PathLike[str]) -> str:
    """Return what PCB did to mask APr (to mask AP, where there is no APr) of each baseline.

    Only a config that differs from its baseline by PCB alone counts, over the seeds that both have.
    With several seeds, a change is one whose 95% interval does not contain 0.

    Args:
        runs: run folders; one without ``metrics.json`` is left out.
        root: the grid's folder.

    Returns:
        One sentence, or nothing where nothing can be compared.
    """
    evaluated = [run for run in runs if run.metrics_file.is_file()]
    configs = [config for config in group_runs(evaluated, or_first=False) if config.pairs]
    fair = [config for config in configs if differs_by_pcb_alone(config)]
    for metric, words in _METRICS:
        found = {config: config.difference("segm", metric) for config in fair}
        found = {config: value for config, value in found.items() if value.n}
        if found:
            return _sentence(found, words, len(configs), root)
    return ""


def _sentence(
    found: dict[ConfigRuns, Estimate], words: str, count: int, root: str | os.PathLike[str]
) -> str:
    names = _names([config.baseline for config in found if config.baseline], root)
    left = count - len(found)
    rest = f" ({left} more cannot be compared)" if left else ""
    values = list(found.values())
    seeds = sorted({value.n for value in values})
    if len(values) == 1:
        return f"{_single(names[0], values[0], words)}{rest}."
    by_verdict: dict[str, list[str]] = {}
    for name, value in zip(names, values, strict=True):
        text = f"{name} ({format_points(value.mean)}{_interval(value)})"
        by_verdict.setdefault(_verdict(value), []).append(text)
    parts = [
        f"{verdict} {words} of {_listed(by_verdict[verdict])}"
        for verdict in (_RAISED, _LOWERED)
        if verdict in by_verdict
    ]
    start = f"PCB {' and '.join(parts)}" if parts else ""
    if _OPEN in by_verdict:
        word = "unchanged" if seeds == [1] else "open"
        start += f"; {word}: {_listed(by_verdict[_OPEN])}" if start else ""
        start = start or f"Whether PCB changes {words} is open for {_listed(by_verdict[_OPEN])}"
    if seeds == [1]:
        return f"{start} (in points; one seed each, no interval){rest}."
    over = f"{seeds[0]} seeds" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    return f"{start} (in points, with 95% intervals over {over}){rest}."


def _single(name: str, value: Estimate, words: str) -> str:
    points = f"{abs(100 * value.mean):.1f} points"
    verdict = _verdict(value)
    if value.n == 1:
        if verdict == _OPEN:
            return f"PCB left {words} of {name} as it was (one seed, no interval)"
        return f"PCB {verdict} {words} of {name} by {points} (one seed, no interval)"
    uncertainty = f"95% interval {format_interval(value)} over {value.n} seeds"
    if verdict == _OPEN:
        mean = format_points(value.mean)
        return f"Whether PCB changes {words} of {name} is open: {mean} points ({uncertainty})"
    return f"PCB {verdict} {words} of {name} by {points} ({uncertainty})"


def _verdict(value: Estimate) -> str:
    """By the interval's ends; with one seed by the value itself, to the digit that is shown."""
    low, high = (value.low, value.high) if value.n > 1 else (value.mean, value.mean)
    if round(100 * low, 1) > 0:
        return _RAISED
    return _LOWERED if round(100 * high, 1) < 0 else _OPEN


def _interval(value: Estimate) -> str:
    return f" {format_interval(value)}" if value.n > 1 else ""


def _names(configs: list[ConfigRuns], root: str | os.PathLike[str]) -> list[str]:
    """Names of configs below the grid's folder, without the dataset if there is one alone."""
    names = [config.folder.relative_to(Path(root).absolute()).as_posix() for config in configs]
    datasets = {name.partition("/")[0] for name in names}
    return [name.partition("/")[2] or name for name in names] if len(datasets) == 1 else names


def _listed(texts: list[str]) -> str:
    """Texts as a person lists them.

    >>> _listed(["a"]), _listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))
