"""A long tail to draw, and a backend that needs no screen."""

import itertools
from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def close_figures():
    """Leave no figure open: matplotlib warns when they pile up."""
    yield
    plt.close("all")


@pytest.fixture
def tail():
    """40 classes with long names, unordered, and a matrix of each kind."""
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
    """Records of a short training in which the gate opens in the third epoch."""
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


@pytest.fixture
def overlapping():
    """Gives pairs of texts that lie on each other in the drawn figure."""

    def find(figure, texts) -> list[tuple[str, str]]:
        figure.draw_without_rendering()
        extent = plt.Text.get_window_extent  # without the line that an annotation may have
        boxes = [(text.get_text(), extent(text)) for text in texts if text.get_text()]
        return [
            (one, other)
            for (one, a), (other, b) in itertools.combinations(boxes, 2)
            if a.shrunk(0.9, 0.9).overlaps(b.shrunk(0.9, 0.9))
        ]

    return find
