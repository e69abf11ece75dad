"""Data to draw, and a backend that needs no screen."""

import itertools
from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from pcb import metrics, plots

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def close_figures():
    """Close all figures, because matplotlib warns if many are open."""
    yield
    plt.close("all")


@pytest.fixture
def tail():
    """Make a long tail of 40 unordered classes with long names, and a matrix of each kind."""
    rng = np.random.default_rng(0)
    count = rng.permutation(np.rint(560 * (3 / 560) ** (np.arange(40) / 39)).astype(int))
    learned = rng.dirichlet(np.full(40, 0.05), 40) * 0.4 + 0.6 * np.eye(40)
    detections = rng.poisson(100 * np.pad(learned, (0, 1), constant_values=0.01))
    detections[-1, -1] = 0
    return SimpleNamespace(
        names=[f"class number {label:02d}" for label in range(40)],
        count=count,
        frequency=["r" if n <= 10 else "c" if n <= 100 else "f" for n in count],
        icons=[rng.random((72, 72, 4)) for _ in range(40)],
        learned=learned,
        detections=detections,
        ap=np.clip(rng.normal(0.3, 0.1, 40), 0, 1),
    )


@pytest.fixture
def log():
    """Make the log of a short training in which the gate opens in the third epoch."""
    return [
        {
            "mode": "train",
            "epoch": epoch,
            "iter": 10 * (epoch - 1) + step,
            "loss": 3.0 / epoch,
            "loss_cls": 1.0 / epoch,
            "acc": 90.0,
            "pcb_strength": 0.4 * (epoch > 2),
            "pcb_gate": epoch > 2,
            "pcb_classes_seen": min(40, 20 * epoch),
        }
        for epoch in (1, 2, 3)
        for step in (5, 10)
    ]


METRICS = {"AP": 0.3, "APr": float("nan"), "APc": 0.28, "APf": 0.4}
VALIDATIONS = [
    {"mode": "val", "epoch": epoch, "iter": 100 * epoch}
    | {
        f"{kind}_AP{g}": value * epoch
        for kind in ("bbox", "segm")
        for g, value in {"": 0.02, "r": 0.005, "c": 0.018, "f": 0.03}.items()
    }
    for epoch in range(1, 10)
]


def draw_every_figure(tail, log):
    """Call each plotting function once; yield its name and figure."""
    names, count, groups, icons = tail.names, tail.count, tail.frequency, tail.icons
    shares = metrics.row_shares(tail.detections)
    mask = np.zeros((1, 16, 16), dtype=bool)
    mask[0, 4:9, 5:12] = True
    runs = {"plain": METRICS, "pcb": METRICS}
    aps = {"plain": tail.ap, "pcb": tail.ap + 0.01}
    roles = ["tail", "singleton"] * 20
    over_seeds = {"AP": metrics.estimate([0.01, 0.02, 0.05]), "APr": metrics.estimate([0.03])}
    three = (["fox", "wolf", "bird"], ["f", "r", "c"])
    pushes = {"plain": np.full((2, 3), 0.3), "pcb": np.full((2, 3), -0.2)}
    calls = {
        "class_tail": lambda: plots.class_tail(count, groups, names),
        "image_grid": lambda: plots.image_grid(
            [np.zeros((16, 16, 3))], ["an image"], [mask], [[[5, 4, 7, 5]]], [["fox"]]
        ),
        "icon_pairs": lambda: plots.icon_pairs([(0, 1), (2,)], icons, names, groups, count),
        "loss_curves": lambda: plots.loss_curves(log),
        "strength_curve": lambda: plots.strength_curve(log, 40),
        "ap_by_epoch": lambda: plots.ap_by_epoch(VALIDATIONS),
        "ap_by_group": lambda: plots.ap_by_group(runs),
        "ap_difference": lambda: plots.ap_difference({"pcb minus plain": over_seeds}),
        "ap_over_seeds": lambda: plots.ap_over_seeds({"plain": over_seeds, "pcb": {}}),
        "ap_by_image_count": lambda: plots.ap_by_image_count(tail.ap, count, groups, names),
        "ap_by_class": lambda: plots.ap_by_class(aps, count, groups, names),
        "gain_by_role": lambda: plots.gain_by_role(tail.ap - 0.3, roles, groups, names),
        "confusion_heatmap": lambda: plots.confusion_heatmap(shares, names, count, groups),
        "group_confusion": lambda: plots.group_confusion(
            *metrics.group_shares(tail.detections, groups)
        ),
        "group_heatmap": lambda: plots.group_heatmap(tail.detections, groups),
        "confusion_difference": lambda: plots.confusion_difference(
            tail.detections, tail.detections[::-1, ::-1], names, count, groups
        ),
        "confused_pairs": lambda: plots.confused_pairs(tail.learned, names, groups, icons),
        "changed_pairs": lambda: plots.changed_pairs(
            tail.learned, tail.learned.T, names, groups, icons
        ),
        "confusion_zoom": lambda: plots.confusion_zoom(
            tail.detections, [3, 1, 4, 15, 9, 2, 6], names, groups
        ),
        "start_weights": lambda: plots.start_weights(
            0.95 ** (count - 1.0), count, count, groups, names
        ),
        "soft_label_bars": lambda: plots.soft_label_bars(
            tail.learned.T, [0, 5], names, groups, icons
        ),
        "soft_label_entropy": lambda: plots.soft_label_entropy(10 * tail.ap, count, groups, names),
        "soft_label_history": lambda: plots.soft_label_history(
            {1: np.eye(40), 2: tail.learned.T}, [0, 5, 6], names, groups, start_epoch=2
        ),
        "soft_label_strength": lambda: plots.soft_label_strength(tail.learned.T[0], 0, names),
        "class_matrices": lambda: plots.class_matrices({"a": np.eye(3), "b": np.eye(3)}, *three),
        "loss_parts": lambda: plots.loss_parts([1.0, 0.2], [0.6, 0.1], [0.1, 0.1], [0, 1], *three),
        "logit_pushes": lambda: plots.logit_pushes(pushes, [0, 1], *three),
        "decision_regions": lambda: plots.decision_regions(
            {"plain": np.eye(2), "pcb": np.eye(2)}, [0, 2, 0, 2], np.ones((3, 2)), [0, 1, 2], *three
        ),
        "mistaken_share": lambda: plots.mistaken_share(
            {"plain": np.full((2, 9), 0.6), "pcb": np.full((2, 9), 0.3)}, range(9), start=6
        ),
    }
    others = {"GROUP_COLORS", "GROUP_NAMES", "interactive_confusion", "save", "use"}
    assert set(calls) == set(plots.__all__) - others
    for name, call in calls.items():
        yield name, call()[0]


@pytest.fixture
def every_figure():
    """Return a function that draws every figure for a tail and a log."""
    return draw_every_figure


@pytest.fixture
def overlapping():
    """Return a function that finds pairs of overlapping texts in a figure."""

    def find(figure, texts) -> list[tuple[str, str]]:
        figure.draw_without_rendering()
        extent = plt.Text.get_window_extent  # without the line of an annotation
        boxes = [(text.get_text(), extent(text)) for text in texts if text.get_text()]
        return [
            (one, other)
            for (one, a), (other, b) in itertools.combinations(boxes, 2)
            if a.shrunk(0.9, 0.9).overlaps(b.shrunk(0.9, 0.9))
        ]

    return find
