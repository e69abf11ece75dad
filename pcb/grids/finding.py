"""Summarise in one sentence how Pairwise Class Balance (PCB) changed the AP in a grid of runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pcb.metrics import Estimate, format_interval, format_points
from pcb.runs.comparison import ConfigRuns, differs_by_pcb_alone

# Rare classes first: PCB is meant for them. Boxes count if no detector predicts masks.
_METRICS = tuple(
    (iou_type, metric, f"{what} {metric}")
    for iou_type, what in (("segm", "mask"), ("bbox", "box"))
    for metric in ("APr", "AP")
)
_RAISED, _LOWERED, _OPEN = "raised", "lowered", "open"


def finding(configs: Iterable[ConfigRuns], root: str | os.PathLike[str]) -> str:
    """Return one sentence that says how PCB changed the mask APr of each baseline.

    If APr is undefined for every config, the sentence is about mask AP instead; without masks, it
    is about boxes. A config is left
    out if PCB is not its only difference from its baseline. Only seeds that a config shares with
    its baseline are used. With several seeds, an effect is called clear only if its 95% confidence
    interval does not contain 0.

    Args:
        configs: Configs from :func:`pcb.runs.comparison.group_runs`. Every run must have metrics.
        root: The grid's folder.

    Returns:
        The sentence; "" if no config can be compared with its baseline.
    """
    compared = [config for config in configs if config.pairs]
    fair = [config for config in compared if differs_by_pcb_alone(config)]
    for iou_type, metric, words in _METRICS:
        effects = {config: config.difference(iou_type, metric) for config in fair}
        effects = {config: effect for config, effect in effects.items() if effect.n}
        if effects:
            return _sentence(effects, words, len(compared), root)
    return ""


def _sentence(
    effects: dict[ConfigRuns, Estimate], words: str, count: int, root: str | os.PathLike[str]
) -> str:
    names = _names([config.baseline for config in effects if config.baseline], root)
    left = count - len(effects)
    others = f"{left} other config{'s' if left > 1 else ''}"
    rest = f" ({others} cannot be compared)" if left else ""
    values = list(effects.values())
    if len(values) == 1:
        return f"{_single(names[0], values[0], words)}{rest}."
    by_verdict: dict[str, list[str]] = {}
    for name, value in zip(names, values, strict=True):
        text = f"{name} ({format_points(value.mean)}{_interval(value)})"
        by_verdict.setdefault(_verdict(value), []).append(text)
    seeds = sorted({value.n for value in values})
    start = _verdicts({verdict: _join(texts) for verdict, texts in by_verdict.items()}, words)
    if seeds == [1]:
        return f"{start} (in percentage points; one seed each, no confidence interval){rest}."
    over = f"{seeds[0]} seeds" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    return f"{start} (in percentage points, with 95% confidence intervals over {over}){rest}."


def _verdicts(configs: dict[str, str], words: str) -> str:
    """Return a clause such as "PCB raised mask APr of softmax and lowered mask APr of seesaw"."""
    changes = [
        f"{verdict} {words} of {configs[verdict]}"
        for verdict in (_RAISED, _LOWERED)
        if verdict in configs
    ]
    if not changes:
        return f"PCB has no clear effect on {words} of {configs[_OPEN]}"
    unclear = f"; no clear effect: {configs[_OPEN]}" if _OPEN in configs else ""
    return f"PCB {' and '.join(changes)}{unclear}"


def _single(name: str, value: Estimate, words: str) -> str:
    points = f"{abs(100 * value.mean):.1f} percentage points"
    verdict = _verdict(value)
    if value.n == 1:
        if verdict == _OPEN:
            return f"PCB did not change {words} of {name} (one seed, no confidence interval)"
        return f"PCB {verdict} {words} of {name} by {points} (one seed, no confidence interval)"
    uncertainty = f"95% confidence interval {format_interval(value)} over {value.n} seeds"
    if verdict == _OPEN:
        mean = format_points(value.mean)
        effect = f"PCB has no clear effect on {words} of {name}"
        return f"{effect}: {mean} percentage points ({uncertainty})"
    return f"PCB {verdict} {words} of {name} by {points} ({uncertainty})"


def _verdict(value: Estimate) -> str:
    """Return whether PCB raised a metric, lowered the metric, or had no clear effect."""
    low, high = (value.low, value.high) if value.n > 1 else (value.mean, value.mean)
    if round(100 * low, 1) > 0:
        return _RAISED
    return _LOWERED if round(100 * high, 1) < 0 else _OPEN


def _interval(value: Estimate) -> str:
    return f" {format_interval(value)}" if value.n > 1 else ""


def _names(configs: list[ConfigRuns], root: str | os.PathLike[str]) -> list[str]:
    """Return the path of each config, relative to the grid's folder.

    If all configs have the same dataset, the paths do not include the name of the dataset.
    """
    names = [config.folder.relative_to(Path(root).absolute()).as_posix() for config in configs]
    datasets = {name.partition("/")[0] for name in names}
    return [name.partition("/")[2] or name for name in names] if len(datasets) == 1 else names


def _join(texts: list[str]) -> str:
    """Join texts with commas and "and".

    >>> _join(["a"]), _join(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))
