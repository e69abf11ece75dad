"""Does it learn, and when does pairwise class balance act: curves over training."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np

from pcb.plots.style import FAINT, INK, MUTED, PALETTE, styled


def training_records(records: Sequence[dict]) -> list[dict]:
    """The records of training steps that state an iteration and a loss.

    >>> training_records([{"seed": 0}, {"mode": "train", "iter": 10, "loss": 2.0}])
    [{'mode': 'train', 'iter': 10, 'loss': 2.0}]
    """
    train = [
        record
        for record in records
        if record.get("mode") == "train" and {"iter", "loss"} <= record.keys()
    ]
    if not train:
        raise ValueError(
            f"none of the {len(records)} log records is of a training step with a loss: "
            "train first, or wait for the first progress line"
        )
    return train


def _values(records: Sequence[dict], key: str) -> np.ndarray:
    """``record[key]`` as floats, nan where a record has no such number."""
    values = (record.get(key) for record in records)
    return np.array([np.nan if value is None else float(value) for value in values])


@styled
def loss_curves(records: Sequence[dict], title: str = "Training loss"):
    """The total loss and each of its parts over training.

    A dotted line marks where pairwise class balance begins to act, if the log says so.

    Args:
        records: lines of ``train.log.json``; those of training steps are used. ``iter`` counts
            from 1 over the whole training.
        title: the figure's title.

    Returns:
        (figure, axes), axes an array of two: the total, the parts.

    >>> log = [{"mode": "train", "iter": i, "loss": 2 / i, "loss_cls": 1 / i}
    ...        for i in (1, 2, 3)]
    >>> figure, (total, parts) = loss_curves(log)
    >>> len(parts.get_lines())
    1
    >>> plt.close(figure)
    """
    train = training_records(records)
    time = _values(train, "iter")
    figure, axes = plt.subplots(1, 2, figsize=(11.5, 4.2))
    axes[0].plot(time, _values(train, "loss"), color=INK, lw=1.8)
    axes[0].set_ylabel("loss")
    axes[0].set_title("total", fontsize=11.5)
    keys = sorted({k for record in train for k in record if "loss" in k and k != "loss"})
    for number, key in enumerate(keys):
        axes[1].plot(
            time,
            _values(train, key),
            color=PALETTE[number % len(PALETTE)],
            linestyle="-" if number < len(PALETTE) else "--",
            lw=1.6,
            label=key,
        )
    axes[1].set_title("parts", fontsize=11.5)
    if keys:
        axes[1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.02))
    start = _first_open(train, time)
    for ax in axes:
        ax.set_xlabel("iteration")
        ax.set_xlim(0, max(time.max(), 1e-9))
        ax.set_ylim(bottom=0)
        ax.grid()
        if start is not None:
            ax.axvline(start, color=MUTED, linestyle=":", lw=1.4)
    if start is not None:
        axes[0].annotate(
            "PCB acts",
            (start, 0.97),
            xycoords=("data", "axes fraction"),
            xytext=(-5, 0),
            textcoords="offset points",
            ha="right",
            va="top",
            color=MUTED,
        )
    figure.suptitle(title, x=0.01, ha="left")
    return figure, axes


def _first_open(train: Sequence[dict], time: np.ndarray) -> float | None:
    """When PCB was first logged as acting, as an iteration; None if it never did."""
    opened = np.flatnonzero(_values(train, "pcb_strength") > 0)
    return float(time[opened[0]]) if len(opened) else None


@styled
def strength_curve(
    records: Sequence[dict],
    num_classes: int | None = None,
    title: str = "When does Pairwise Class Balance act?",
):
    """Strength of the soft labels and classes seen over training; shaded while PCB may act.

    The gate opens when the start epoch is reached and every class has been seen. Strength is
    that of the last refinement iteration; a plain baseline has strength 0 throughout.

    Args:
        records: lines of ``train.log.json`` with ``pcb_strength``, ``pcb_gate`` and
            ``pcb_classes_seen``.
        num_classes: C, drawn as a line that the classes seen must reach.
        title: the figure's title.

    Returns:
        (figure, axes), axes an array of two: strength, classes seen.

    >>> log = [{"mode": "train", "iter": e, "loss": 1.0, "pcb_strength": 0.2 * e,
    ...         "pcb_gate": e - 1, "pcb_classes_seen": e + 1} for e in (1, 2)]
    >>> figure, axes = strength_curve(log, num_classes=3)
    >>> axes[0].get_ylabel()
    'strength'
    >>> plt.close(figure)
    """
    train = training_records(records)
    if not any("pcb_strength" in record for record in train):
        raise ValueError("no record has 'pcb_strength': the run's loss holds no confusion matrix")
    time = _values(train, "iter")
    strength, gate = _values(train, "pcb_strength"), _values(train, "pcb_gate")
    seen = _values(train, "pcb_classes_seen")
    figure, axes = plt.subplots(
        2, 1, figsize=(9, 4.8), sharex=True, gridspec_kw={"height_ratios": [1.2, 1]}
    )
    axes[0].plot(time, strength, color=PALETTE[0], lw=2, drawstyle="steps-post")
    axes[0].set_ylabel("strength")
    axes[0].set_ylim(-0.02, max(0.5, 1.25 * np.nanmax(strength, initial=0.0)))
    axes[1].plot(time, seen, color=PALETTE[3], lw=2, drawstyle="steps-post")
    axes[1].set_ylabel("classes seen")
    top = max(np.nanmax(seen, initial=0.0), num_classes or 0, 1)
    axes[1].set_ylim(0, 1.25 * top)
    if num_classes is not None:
        axes[1].axhline(num_classes, color=MUTED, linestyle=":", lw=1.4)
        axes[1].annotate(
            f"all {num_classes} classes",
            (1, num_classes),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
            va="bottom",
            color=MUTED,
        )
    only_watches = not np.nan_to_num(strength).any()
    is_open = (np.nan_to_num(gate) > 0) & (not only_watches)
    for ax in axes:
        ax.grid()
        ax.fill_between(
            time,
            0,
            1,
            where=is_open,
            step="post",
            transform=ax.get_xaxis_transform(),
            color=FAINT,
            zorder=0,
            lw=0,
        )
    if is_open.any():
        axes[0].annotate(
            "gate open",
            (time[is_open][0], 0.96),
            xycoords=("data", "axes fraction"),
            xytext=(5, 0),
            textcoords="offset points",
            va="top",
            color=MUTED,
        )
    else:
        axes[0].annotate(
            "strength 0 throughout", (0.02, 0.9), xycoords="axes fraction", va="top", color=MUTED
        )
    axes[1].set_xlabel("iteration")
    axes[1].set_xlim(0, max(time.max(), 1e-9))
    figure.suptitle(title, x=0.01, ha="left")
    return figure, axes
