"""How precise, and for whom: average precision by frequency group, of one run or several."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch

from pcb.plots.style import GROUP_COLORS, INK, styled, tint, tints, written

# The metric of each bar, its name and its colour.
GROUP_METRICS = (
    ("AP", "all classes", "#555555"),
    ("APf", "frequent", GROUP_COLORS["f"]),
    ("APc", "common", GROUP_COLORS["c"]),
    ("APr", "rare", GROUP_COLORS["r"]),
)


def _points(value: float | None) -> float:
    """A fraction in AP points (hundredths); None, as JSON writes it, is nan.

    >>> _points(0.25), _points(None)
    (25.0, nan)
    """
    return np.nan if value is None else 100 * float(value)


def _grouped_bars(values: Mapping[str, np.ndarray], label_format: str):
    """Bars of AP points: a cluster per group, a tint per run; nan is written n/a."""
    runs, shares = list(values), tints(len(values))
    figure, axes = plt.subplots(figsize=(max(7.5, 2.6 + 1.9 * len(runs)), 4.4))
    width = 0.82 / len(runs)
    for number, run in enumerate(runs):
        position = np.arange(len(GROUP_METRICS)) + (number - (len(runs) - 1) / 2) * width
        bars = axes.bar(
            position,
            np.nan_to_num(values[run]),
            width=0.94 * width,
            color=[tint(color, shares[number]) for _, _, color in GROUP_METRICS],
        )
        texts = [written(value, label_format) for value in values[run]]
        small = 10.5 if len(runs) <= 4 else 8.5
        axes.bar_label(bars, texts, padding=2, fontsize=small)
    axes.set_xticks(range(len(GROUP_METRICS)), [f"{name}\n({m})" for m, name, _ in GROUP_METRICS])
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y")
    if len(runs) > 1:
        handles = [
            Patch(color=tint("#555555", share), label=run)
            for run, share in zip(runs, shares, strict=True)
        ]
        axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure, axes


@styled
def ap_by_group(
    metrics: Mapping[str, Mapping[str, float]], title: str = "Average precision by frequency group"
):
    """Bars of AP over all, frequent, common and rare classes, for one run or several.

    Args:
        metrics: per run its metrics as fractions, ``{"softmax": {"AP": 0.3, "APr": nan, ...}}``.
        title: the figure's title; say of which run, data and mask or box AP.

    Returns:
        (figure, axes). Undefined metrics are written n/a.

    >>> figure, axes = ap_by_group({"softmax": {"AP": 0.3, "APr": float("nan"), "APf": 0.4}})
    >>> [text.get_text() for text in axes.texts]
    ['30.0', '40.0', 'n/a', 'n/a']
    >>> plt.close(figure)
    """
    if not metrics:
        raise ValueError("metrics is empty: pass the metrics of at least one run")
    values = {
        run: np.array([_points(own.get(metric)) for metric, _, _ in GROUP_METRICS])
        for run, own in metrics.items()
    }
    figure, axes = _grouped_bars(values, ".1f")
    axes.set_ylabel("AP (%)")
    axes.set_ylim(0, max(1.18 * np.nanmax([*values.values(), np.zeros(4)]), 1))
    axes.set_title(title)
    return figure, axes


@styled
def ap_difference(
    metrics: Mapping[str, Mapping[str, float]],
    baseline: str,
    title: str | None = None,
):
    """Bars of the difference in AP of each run from ``baseline``, over all and by group.

    Args:
        metrics: per run its metrics as fractions; ``baseline`` is one of the runs.
        baseline: the run that the others are compared with.
        title: by default "Difference in AP from <baseline>".

    Returns:
        (figure, axes). A difference with an undefined metric is written n/a.

    >>> figure, axes = ap_difference({"plain": {"AP": 0.3}, "pcb": {"AP": 0.31}}, "plain")
    >>> axes.texts[0].get_text()
    '+1.0'
    >>> plt.close(figure)
    """
    if baseline not in metrics:
        raise ValueError(f"baseline must be one of {list(metrics)}, got {baseline!r}")
    if len(metrics) < 2:
        raise ValueError(f"nothing to compare: {baseline!r} is the only run")
    base = metrics[baseline]
    values = {
        run: np.array([_points(own.get(m)) - _points(base.get(m)) for m, _, _ in GROUP_METRICS])
        for run, own in metrics.items()
        if run != baseline
    }
    figure, axes = _grouped_bars(values, "+.1f")
    axes.axhline(0, color=INK, lw=1)
    everything = np.array([*values.values(), np.zeros(len(GROUP_METRICS))])
    margin = max(0.15 * np.nanmax(np.abs(everything)), 0.1)
    axes.set_ylim(np.nanmin(everything) - margin, np.nanmax(everything) + margin)
    axes.set_ylabel("difference in AP (points)")
    axes.set_title(title or f"Difference in AP from {baseline}")
    return figure, axes
