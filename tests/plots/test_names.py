"""Class names in figures: any text, and distinct for each label."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pcb import metrics, plots
from pcb.plots import fonts

NAMES, GROUPS = ["red_fish", "red fish", "dog"], ["f", "r", "c"]
NUMBERED = ["red_fish (1)", "red fish (2)", "dog"]
DETECTIONS = np.array([[6, 4, 0, 0], [1, 9, 0, 0], [0, 0, 5, 5], [0, 0, 0, 0]])


def texts(figure) -> list[str]:
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(plt.Text) if text.get_text()]


@pytest.mark.slow
def test_classes_with_the_same_name_are_distinct_in_every_figure():
    count = [300, 5, 40]
    figures = [
        plots.class_tail(count, GROUPS, NAMES),
        plots.confusion_heatmap(DETECTIONS, NAMES, count, GROUPS),
        plots.confusion_difference(DETECTIONS, DETECTIONS, NAMES, count, GROUPS),
        plots.confused_pairs(DETECTIONS, NAMES, GROUPS),
        plots.changed_pairs(DETECTIONS, DETECTIONS.T, NAMES, GROUPS),
        plots.confusion_zoom(DETECTIONS, [0, 1], NAMES, GROUPS),
        plots.soft_label_bars(np.full((3, 3), 0.3), [0], NAMES, GROUPS),
        plots.soft_label_history({1: np.full((3, 3), 0.3)}, [0], NAMES, GROUPS),
        plots.soft_label_strength([0.5, 0.3, 0.2], 0, NAMES),
        plots.ap_by_class({"a": [0.1, 0.2, 0.3]}, count, GROUPS, NAMES),
        plots.ap_by_image_count([0.1, 0.2, 0.3], count, GROUPS, NAMES),
        plots.start_weights([0.1, 0.2, 0.3], count, count, GROUPS, NAMES),
        plots.icon_pairs([(0, 1)], [np.zeros((4, 4, 3))] * 3, NAMES, GROUPS, count),
    ]
    for figure, _ in figures:
        shown = " ".join(texts(figure))
        assert "fish (1)" in shown and "fish (2)" in shown
    (heatmap,) = plots.interactive_confusion(DETECTIONS, [0, 1], NAMES, GROUPS, count).data
    assert "<b>red_fish (1)</b> predicted as <b>red fish (2)</b>" in heatmap.text[0][1]


def test_a_number_is_kept_where_a_name_is_cut():
    names = ["automatic washer with dryer"] * 12
    _, axes = plots.class_tail(range(12, 0, -1), "f" * 12, names)
    shown = [text.get_text() for text in axes.get_xticklabels()]
    assert len(set(shown)) == 12 and shown[-1] == "automatic washer… (12)"


def test_pairs_include_labels():
    (pair, other) = metrics.worst_pairs(DETECTIONS, ["fish", "fish", "dog"], GROUPS)
    assert (pair["true_label"], pair["predicted_label"]) == (0, 1)
    assert (other["true_label"], other["predicted_label"]) == (1, 0)
    changed = metrics.changed_pairs(DETECTIONS, np.eye(4), ["fish", "fish", "dog"], GROUPS)
    assert [(row["true_label"], row["predicted_label"]) for row in changed] == [(0, 1), (1, 0)]


def test_hostile_runs_and_titles_are_drawn(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, axes = plots.ap_by_group({"a/\udcff\x1b[2J": {"AP": 1}, "b": {}}, "\ud83e\x07")
        plots.save(figure, tmp_path, "figure")
    assert axes.get_title(loc="left") == r"\ud83e\x07"
    assert axes.get_legend().get_texts()[0].get_text() == r"a/\udcff\x1b[2J"
    names, title = ["\x1b", "\ud83e"], "\ud83e"
    figure = plots.interactive_confusion(np.eye(2), [0, 1], names, "fr", [9, 3], title)
    figure.to_json().encode("utf-8")
    assert r"\x1b" in figure.data[0].text[0][0]


@pytest.fixture
def nothing_reported(monkeypatch):
    """Forget which missing characters have been reported."""
    monkeypatch.setattr(fonts, "_reported", set())


@pytest.mark.slow
def test_one_warning_names_characters_without_font(nothing_reported, monkeypatch, tmp_path):
    usual = [font for font in fonts._fonts() if font.name == "DejaVu Sans"]
    monkeypatch.setattr(fonts, "_fonts", lambda: usual)
    names = ["\u732b", "\u0e44\u0e01\u0e48", "\U0001f98a"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for draw in range(2):
            figure, _ = plots.class_tail([300, 5, 40], GROUPS, names)
            plots.save(figure, tmp_path, f"figure{draw}")
    # A ResourceWarning may come at any time, from what an earlier test left to the collector.
    (line,) = [str(one.message) for one in caught if issubclass(one.category, UserWarning)]
    thai = "\u0e01 \u0e44 \u0e48"
    assert line.startswith(f"figures show boxes for CJK (\u732b), Thai ({thai}), symbols (")
    assert "\n" not in line and "Install a font" in line


def test_an_installed_font_with_the_characters_is_used(nothing_reported):
    """DejaVu Sans lacks the characters; STIX, which comes with matplotlib, has them."""
    letters = "\u24b6\u24b7"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, axes = plots.class_tail([300, 5], ["f", "r"], [letters, "fox"])
        figure.canvas.draw()
    assert len(axes.get_xticklabels()[0].get_fontfamily()) > 1
    figure, axes = plots.class_tail([300, 5], ["f", "r"], ["caf\u00e9", "fox"])
    assert axes.get_xticklabels()[0].get_fontfamily() == plt.rcParams["font.family"]
