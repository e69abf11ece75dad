"""Curves of the training losses and of the strength of Pairwise Class Balance (PCB)."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pcb.plots.layout import add_title, canvas, is_narrow, legend_outside, points, text_size
from pcb.plots.style import FAINT, INK, MUTED, PALETTE, with_style


def training_records(records: Sequence[dict]) -> list[dict]:
    """Return the log records of training steps.

    Records without an iteration or a loss are left out.

    Raises:
        ValueError: If there is no record of a training step.

    Example:
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
            "the log contains no training step with a loss (number of log records: "
            f"{len(records)}): start training, or wait until training logs its first step"
        )
    return train


def _values(records: Sequence[dict], key: str) -> np.ndarray:
    """Return ``record[key]`` of each record as a float, or nan if the record lacks the key."""
    values = (record.get(key) for record in records)
    return np.array([np.nan if value is None else float(value) for value in values])


def _time_axis(ax, time: np.ndarray) -> None:
    """Set up an x axis that shows the training iteration."""
    ax.set_xlabel("iteration")
    ax.set_xlim(0, time.max() * 1.01)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    ax.grid()


def _marker(time: np.ndarray) -> str | None:
    """Return a marker if there are too few records for a visible line; otherwise return None."""
    return "o" if len(time) < 4 else None


def _mark_start(ax, text: str, start: float) -> None:
    """Write a text to the left or right of x = ``start``, on the side with more room."""
    right_half = start > np.mean(ax.get_xlim())
    ax.annotate(
        text,
        (start, 0.97),
        xycoords=("data", "axes fraction"),
        xytext=(points(-5 if right_half else 5), 0),
        textcoords="offset points",
        ha="right" if right_half else "left",
        va="top",
        color=MUTED,
    )


@with_style
def loss_curves(records: Sequence[dict], title: str = "Training loss") -> tuple[Figure, np.ndarray]:
    """Draw the total training loss and each of its parts against the iteration.

    A dotted line marks the first logged iteration in which Pairwise Class Balance (PCB) was active.

    Args:
        records: Log records from :meth:`pcb.runs.RunFolder.read_log`. The figure uses only the
            records of training steps.
        title: Title of the figure; empty for no title.

    Returns:
        (figure, axes); axes[0] shows the total loss, and axes[1] shows its parts.

    Raises:
        ValueError: If there is no record of a training step.

    Example:
        >>> log = [{"mode": "train", "iter": i, "loss": 2 / i, "loss_cls": 1 / i}
        ...        for i in (1, 2, 3)]
        >>> figure, (total, parts) = loss_curves(log)
        >>> len(parts.get_lines())
        1
        >>> plt.close(figure)
    """
    train = training_records(records)
    time = _values(train, "iter")
    stacked = is_narrow()
    figure, axes = plt.subplots(*((2, 1) if stacked else (1, 2)), figsize=canvas(11.5, 4.2))
    if stacked:
        figure.set_figheight(5.0)
    axes[0].plot(time, _values(train, "loss"), color=INK, lw=1.8, marker=_marker(time))
    axes[0].set_ylabel("loss")
    axes[0].set_title("total", fontsize=text_size(11.5))
    keys = sorted({k for record in train for k in record if "loss" in k and k != "loss"})
    for number, key in enumerate(keys):
        axes[1].plot(
            time,
            _values(train, key),
            color=PALETTE[number % len(PALETTE)],
            linestyle="-" if number < len(PALETTE) else "--",
            lw=1.6,
            marker=_marker(time),
            label=key,
        )
    axes[1].set_title("parts", fontsize=text_size(11.5))
    if keys:
        legend_outside(axes[1])
    start = _first_active(train, time)
    for ax in axes:
        _time_axis(ax, time)
        ax.set_ylim(bottom=0)
        if start is not None:
            ax.axvline(start, color=MUTED, linestyle=":", lw=1.4)
    if start is not None:
        _mark_start(axes[0], "PCB acts", start)
    add_title(figure, title)
    return figure, axes


def _first_active(train: Sequence[dict], time: np.ndarray) -> float | None:
    """Return the first logged iteration in which PCB was active, or None."""
    active = np.flatnonzero(_values(train, "pcb_strength") > 0)
    return float(time[active[0]]) if len(active) else None


@with_style
def strength_curve(
    records: Sequence[dict],
    num_classes: int | None = None,
    title: str = "When does Pairwise Class Balance act?",
) -> tuple[Figure, np.ndarray]:
    """Draw the strength of the soft labels and the number of seen classes against the iteration.

    The strength is the weight of the soft labels in the loss. Shading marks the part of training in
    which Pairwise Class Balance (PCB) is active. If the strength is always 0, the figure says why.

    Args:
        records: Log records from :meth:`pcb.runs.RunFolder.read_log`. The figure uses
            ``pcb_strength``, ``pcb_classes_seen`` and ``pcb_gate``. ``pcb_gate`` is true if the
            start epoch has been reached and every class has been seen.
        num_classes: Total number of classes, drawn as a dotted line; None for no line.
        title: Title of the figure; empty for no title.

    Returns:
        (figure, axes); axes[0] shows the strength, and axes[1] shows the number of seen classes.

    Raises:
        ValueError: If there is no record of a training step, or no record has ``pcb_strength``.

    Example:
        >>> log = [{"mode": "train", "iter": e, "loss": 1.0, "pcb_strength": 0.2 * e,
        ...         "pcb_gate": e - 1, "pcb_classes_seen": e + 1} for e in (1, 2)]
        >>> figure, axes = strength_curve(log, num_classes=3)
        >>> axes[0].get_ylabel()
        'strength'
        >>> plt.close(figure)
    """
    train = training_records(records)
    if not any("pcb_strength" in record for record in train):
        raise ValueError(
            "no log record contains 'pcb_strength': choose a training run with a PCB loss, such as "
            "CrossEntropyPCBLoss"
        )
    time = _values(train, "iter")
    strength, gate = _values(train, "pcb_strength"), _values(train, "pcb_gate")
    seen = _values(train, "pcb_classes_seen")
    figure, axes = plt.subplots(
        2, 1, figsize=canvas(9, 4.8), sharex=True, gridspec_kw={"height_ratios": [1.2, 1]}
    )
    look = {"lw": 2, "drawstyle": "steps-post", "marker": _marker(time)}
    axes[0].plot(time, strength, color=PALETTE[0], **look)
    axes[0].set_ylabel("strength")
    axes[0].set_ylim(-0.02, max(0.5, 1.25 * np.nanmax(strength, initial=0.0)))
    axes[1].plot(time, seen, color=PALETTE[2], **look)
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
    acts = (np.nan_to_num(gate) > 0) & (np.nan_to_num(strength) > 0)
    for ax in axes:
        _time_axis(ax, time)
        shade = {"step": "post", "color": FAINT, "zorder": 0, "lw": 0}
        ax.fill_between(time, 0, 1, where=acts, transform=ax.get_xaxis_transform(), **shade)
    axes[0].set_xlabel("")
    if acts.any():
        first = int(acts.argmax())
        epoch = f" from epoch {train[first]['epoch']} on" if "epoch" in train[first] else ""
        _mark_start(axes[0], f"PCB acts{epoch}", time[first])
    else:
        reason = _why_not(gate, seen, num_classes)
        axes[0].annotate(reason, (0.02, 0.9), xycoords="axes fraction", va="top", color=MUTED)
    add_title(figure, title)
    return figure, axes


def _why_not(gate: np.ndarray, seen: np.ndarray, num_classes: int | None) -> str:
    """Return a note that says why PCB had strength 0 throughout a training run.

    Example:
        >>> _why_not(np.array([0.0, 1.0]), np.array([2.0, 3.0]), 3)
        'strength 0 throughout: alpha is 0'
        >>> _why_not(np.array([0.0, 0.0]), np.array([2.0, 3.0]), 4)
        'strength 0 throughout: 1 of 4 classes not seen'
    """
    prefix = "strength 0 throughout"
    if np.nan_to_num(gate).any():
        return f"{prefix}: alpha is 0"
    missing = 0 if num_classes is None else num_classes - int(np.nanmax(seen, initial=0.0))
    if missing > 0:
        return f"{prefix}: {missing} of {num_classes} classes not seen"
    return f"{prefix}: the gate never opened"
