"""Who is mistaken for whom: shares, the largest confusions, sums by group, age of the rows.

Everywhere ``matrix[i, j]`` belongs to true class ``i`` predicted as class ``j``. A matrix of
detections has one row and one column more: its last row holds detections on background, its
last column ground truth that was missed.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np

from pcb.plots.style import (
    GROUP_COLORS,
    GROUP_NAMES,
    GROUPS,
    INK,
    MOST_NAMES,
    MUTED,
    by_frequency,
    check_groups,
    place_icon,
    short,
    styled,
)


def row_shares(matrix: np.ndarray) -> np.ndarray:
    """Each row divided by its sum; a row that sums to 0 becomes nan (no such instance).

    >>> row_shares(np.array([[3, 1], [0, 0]]))
    array([[0.75, 0.25],
           [ nan,  nan]])
    """
    matrix = np.asarray(matrix, dtype=float)
    total = matrix.sum(axis=1, keepdims=True)
    return np.divide(matrix, total, out=np.full_like(matrix, np.nan), where=total != 0)


def largest_confusions(matrix: np.ndarray, count: int = 10) -> list[tuple[int, int]]:
    """The ``count`` pairs (true, predicted) with the largest entries off the diagonal.

    Only entries between classes count: of a matrix of detections pass ``matrix[:-1, :-1]``.
    Entries that are 0 or nan are no confusion and are left out.

    >>> largest_confusions(np.array([[5, 2, 0], [4, 1, 0], [0, 1, 9]]), count=2)
    [(1, 0), (0, 1)]
    """
    values = np.nan_to_num(np.array(matrix, dtype=float))
    np.fill_diagonal(values, 0)
    ranked = np.argsort(-values, axis=None, kind="stable")[:count]
    pairs = zip(*np.unravel_index(ranked, values.shape), strict=True)
    return [(int(true), int(predicted)) for true, predicted in pairs if values[true, predicted] > 0]


def group_shares(matrix: np.ndarray, frequency: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Where the instances of each group end up, every class counting the same.

    Args:
        matrix: (C, C) learned, or (C + 1, C + 1) measured on detections; any scale, each row is
            divided by its sum. Classes without instances are left out.
        frequency: (C,) 'r', 'c' or 'f' per class.

    Returns:
        Shares (3, 4), or (3, 5) with detections, and the names of the columns: the class itself,
        another frequent, common or rare class, and missed. Rows are frequent, common, rare; nan
        for a group without classes.

    >>> shares, columns = group_shares(np.array([[8, 2], [1, 1]]), ["f", "r"])
    >>> columns
    ['itself', 'other frequent', 'other common', 'other rare']
    >>> shares
    array([[0.8, 0. , 0. , 0.2],
           [nan, nan, nan, nan],
           [0.5, 0.5, 0. , 0. ]])
    """
    groups = np.array(check_groups(frequency))
    num_classes = len(groups)
    shares = row_shares(matrix)[:num_classes]
    own = np.diagonal(shares)
    order = tuple(reversed(GROUPS))
    to_group = np.stack([shares[:, :num_classes][:, groups == g].sum(axis=1) for g in order], 1)
    to_group[groups[:, None] == np.array(order)] -= own
    parts = [own[:, None], to_group]
    names = ["itself", *(f"other {GROUP_NAMES[group]}" for group in order)]
    if shares.shape[1] > num_classes:
        parts.append(shares[:, num_classes:])
        names.append("missed")
    table = np.concatenate(parts, axis=1)
    known = np.isfinite(own)
    result = np.full((len(order), table.shape[1]), np.nan)
    for row, group in enumerate(order):
        chosen = known & (groups == group)
        if chosen.any():
            result[row] = table[chosen].mean(axis=0)
    return result, names


@styled
def group_confusion(
    shares: np.ndarray,
    columns: Sequence[str],
    title: str = "Where instances of each group end up",
):
    """Stacked bars of :func:`group_shares`: itself, another class of each group, missed.

    Args:
        shares: (3, 4) or (3, 5), rows frequent, common, rare.
        columns: names of the columns.
        title: the figure's title.

    Returns:
        (figure, axes).

    >>> figure, axes = group_confusion(*group_shares(np.eye(2), ["f", "r"]))
    >>> [text.get_text() for text in axes.get_yticklabels()]
    ['true frequent', 'true common', 'true rare']
    >>> plt.close(figure)
    """
    colors = {"itself": "#555555", "missed": "#FFFFFF"}
    colors.update({f"other {GROUP_NAMES[group]}": GROUP_COLORS[group] for group in GROUPS})
    figure, axes = plt.subplots(figsize=(9.5, 3.2))
    left = np.zeros(len(shares))
    for column, name in enumerate(columns):
        values = np.nan_to_num(shares[:, column])
        bars = axes.barh(
            range(len(shares)),
            values,
            left=left,
            height=0.66,
            color=colors[name],
            edgecolor="#555555" if name == "missed" else "white",
            linewidth=0.8,
            hatch="///" if name == "missed" else None,
            label=name if name in ("itself", "missed") else name.replace("other", "another"),
        )
        texts = [f"{100 * value:.0f}%" if value >= 0.035 else "" for value in values]
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1} if name == "missed" else None
        axes.bar_label(
            bars,
            texts,
            label_type="center",
            color=INK if name == "missed" else "white",
            bbox=box,
            fontsize=10,
        )
        left += values
    for row in np.flatnonzero(np.isnan(shares).all(axis=1)):
        axes.text(0.01, row, "n/a", va="center", color=MUTED)
    groups = [GROUP_NAMES[group] for group in reversed(GROUPS)]
    axes.set_yticks(range(len(shares)), [f"true {group}" for group in groups])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    axes.set_xlabel("mean share over the group's classes")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02))
    axes.set_title(title)
    return figure, axes


@styled
def confused_pairs(
    matrix: np.ndarray,
    names: Sequence[str],
    frequency: Sequence[str],
    icons: Sequence[np.ndarray] | None = None,
    count: int = 10,
    title: str = "The most frequent confusions",
    value_label: str = "share of the true class",
):
    """The largest entries off the diagonal as bars: true class, then what it is taken for.

    Args:
        matrix: (C, C) shares, ``[i, j]``: true class i, predicted class j. Of detections, pass
            ``row_shares(detections)[:-1, :-1]``.
        names: (C,) class names.
        frequency: (C,) 'r', 'c' or 'f' per class; colours the bar by the predicted class.
        icons: (C,) pictures by label, drawn beside the names.
        count: pairs to show.
        title: the figure's title.
        value_label: what an entry is.

    Returns:
        (figure, axes).

    >>> figure, axes = confused_pairs(np.array([[0.9, 0.1], [0.4, 0.6]]), ["a", "b"], ["f", "r"])
    >>> [text.get_text() for text in axes.texts][:2]
    ['b', 'a']
    >>> plt.close(figure)
    """
    groups = check_groups(frequency)
    pairs = largest_confusions(matrix, count)
    figure, axes = plt.subplots(figsize=(9.5, 1.3 + 0.42 * max(len(pairs), 1)))
    axes.set_title(title)
    if not pairs:
        axes.text(0.5, 0.5, "no confusion between classes", ha="center", transform=axes.transAxes)
        axes.axis("off")
        return figure, axes
    values = [matrix[pair] for pair in pairs]
    bars = axes.barh(
        range(len(pairs)),
        values,
        height=0.66,
        color=[GROUP_COLORS[groups[predicted]] for _, predicted in pairs],
    )
    # Text columns left of the axis, in points: true class, arrow, predicted class.
    for row, (true, predicted) in enumerate(pairs):
        for place, label in ((-322, true), (-150, predicted)):
            axes.annotate(
                short(names[label], 18),
                (0, row),
                xytext=(place + 24, 0),
                textcoords="offset points",
                va="center",
                color=GROUP_COLORS[groups[label]],
            )
            if icons is not None and icons[label] is not None:
                _icon_left(axes, icons[label], row, place)
        axes.annotate(
            "→", (0, row), xytext=(-168, 0), textcoords="offset points", va="center", color=MUTED
        )
    axes.bar_label(bars, [f"{100 * value:.0f}%" for value in values], padding=3)
    axes.set_yticks([])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15 * max(values))
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    axes.set_xlabel(value_label)
    axes.annotate(
        "true class",
        (0, 1),
        xycoords="axes fraction",
        xytext=(-322, 2),
        textcoords="offset points",
        color=MUTED,
    )
    axes.annotate(
        "predicted class",
        (0, 1),
        xycoords="axes fraction",
        xytext=(-150, 2),
        textcoords="offset points",
        color=MUTED,
    )
    return figure, axes


def _icon_left(axes, icon: np.ndarray, row: int, points: float) -> None:
    """Put an icon in ``row``, ``points`` from the axis."""
    place_icon(axes, icon, (0, row), size=20, offset=(points + 10, 0))


@styled
def start_weights(
    weight: Sequence[float],
    update_count: Sequence[int],
    image_count: Sequence[int],
    frequency: Sequence[str],
    names: Sequence[str],
    start: str = "first update",
    title: str = "",
):
    """Bars per class: the weight that its start still has in its row of the running matrix.

    Args:
        weight: (C,) weight of the start in the class's row, in [0, 1]; nan if never seen.
        update_count: (C,) updates that each row has had, written above the bars.
        image_count: (C,) training images per class, which orders them.
        frequency: (C,) 'r', 'c' or 'f' per class.
        names: (C,) class names.
        start: what a row started with: its first update, or zero.
        title: by default "How much of each row is still its <start>?"

    Returns:
        (figure, axes).

    >>> figure, axes = start_weights([0.1, 0.9], [200, 8], [90, 4], "cr", ["cat", "yak"])
    >>> [text.get_text() for text in axes.texts]
    ['200', '8']
    >>> plt.close(figure)
    """
    groups = check_groups(frequency)
    order = by_frequency(image_count)
    weight = np.asarray(weight, dtype=float)[order]
    named = len(order) <= MOST_NAMES
    figure, axes = plt.subplots(figsize=(max(8.0, 0.27 * len(order)) if named else 10, 4.2))
    position = np.arange(len(order))
    bars = axes.bar(
        position,
        np.nan_to_num(weight),
        width=0.82 if named else 1.0,
        color=[GROUP_COLORS[groups[label]] for label in order],
    )
    if named:
        counts = np.asarray(update_count)[order]
        texts = ["n/a" if np.isnan(w) else f"{int(n)}" for w, n in zip(weight, counts, strict=True)]
        axes.bar_label(bars, texts, padding=3, rotation=90, fontsize=8.5, color=MUTED)
        axes.set_xticks(
            position, [short(names[label]) for label in order], rotation=90, fontsize=9.5
        )
        axes.tick_params(axis="x", length=0)
    else:
        axes.set_xticks([])
        axes.set_xlabel("classes, most frequent first")
    axes.set_xlim(-0.7, len(order) - 0.3)
    axes.set_ylim(0, 1.15)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
    axes.grid(axis="y")
    axes.set_ylabel(f"weight of the {start}")
    axes.set_title(title or f"How much of each row is still its {start}?")
    return figure, axes
