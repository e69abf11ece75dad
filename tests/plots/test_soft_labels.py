"""Figures of soft labels."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.offsetbox import AnnotationBbox

from pcb import plots

NAMES, GROUPS = ["cat", "fox", "yak"], ["f", "c", "r"]


def test_classes_with_a_picture_show_it():
    photograph = np.zeros((10, 40, 3), dtype=np.uint8)
    _, axes = plots.soft_label_bars(
        np.full((3, 3), 1 / 3), [0], NAMES, GROUPS, icons={0: photograph, 1: None}
    )
    assert len(axes[0, 0].findobj(AnnotationBbox)) == 1


def test_bars_sum_up_what_they_do_not_show():
    figure, axes = plots.soft_label_bars(
        np.array([[0.7, 0.2, 0.1]] * 3), [0, 1], NAMES, GROUPS, top=2
    )
    assert axes[0, 0].get_xlabel() == "1 more class: 10%"
    assert figure.legends[0].get_title().get_text() == ""
    _, axes = plots.soft_label_bars(np.eye(3), [0], NAMES, GROUPS)
    assert axes[0, 0].get_xlabel() == ""


def test_bars_of_a_sigmoid_loss_need_not_sum_to_one():
    figure, axes = plots.soft_label_bars(
        np.array([[0.7, 0.2, 0.5], [0.1, 0, 0.1], [0, 0, 1]]), [0, 1], NAMES, GROUPS, top=2
    )
    assert "need not sum to 100%" in figure.legends[0].get_title().get_text()
    assert [ax.get_xlabel() for ax in axes.flat] == ["all 3 classes: 140%", "all 3 classes: 20%"]


def test_segments_too_small_to_see_are_merged():
    soft_label = np.array([0.6, 0.397, *[0.003 / 1201] * 1201])
    _, axes = plots.soft_label_strength(soft_label, 0, [f"class {c}" for c in range(1203)])
    shown = [text.get_text() for text in axes.get_legend().get_texts()]
    assert shown == ["class 0", "class 1", "1201 more classes"]


def test_history_shows_the_largest_receivers_of_any_epoch(overlapping):
    history = {
        2: {0: np.array([0.5, 0.3, 0.1, 0.1])},
        1: {0: np.array([0.2, 0.1, 0.6, 0.1])},
    }
    names, groups = ["bow (decorative ribbons)", "fox", "yak", "ant"], ["f", "c", "r", "r"]
    figure, axes = plots.soft_label_history(history, [0], names, groups, start_epoch=2, top=2)
    lines = axes[0, 0].get_lines()
    assert [line.get_ydata().tolist() for line in lines] == [[0.1, 0.3], [0.6, 0.1], [0.2, 0.5]]
    assert lines[0].get_xdata().tolist() == [1, 2]
    texts = [text.get_text() for text in axes[0, 0].texts]
    assert texts == ["bow (decorative ribbo…  50%", "yak  10%", "fox  30%"]
    (shade,) = axes[0, 0].patches
    assert shade.get_x() == 1  # epoch 2 lies between the ends of epochs 1 and 2
    assert figure.legends[0].get_texts()[0].get_text() == "PCB acts, from epoch 2 on"


@pytest.mark.parametrize("start_epoch", [None, 2])
def test_history_of_a_single_epoch_without_pcb(start_epoch, overlapping):
    figure, axes = plots.soft_label_history(
        {1: np.full((3, 3), 1 / 3)}, [2, 0], NAMES, GROUPS, start_epoch
    )
    assert not figure.legends and not axes[0, 0].patches
    assert axes[0, 0].get_lines()[0].get_marker() == "o"
    for ax in axes.flat:
        assert not overlapping(figure, ax.texts)


def test_missing_or_invalid_input_is_named():
    with pytest.raises(ValueError, match="`history` is empty"):
        plots.soft_label_history({}, [0], NAMES, GROUPS)
    with pytest.raises(ValueError, match="`classes` is empty"):
        plots.soft_label_history({1: np.eye(3)}, [], NAMES, GROUPS)
    with pytest.raises(ValueError, match=r"frequency\[0\] must be 'f', 'c' or 'r'"):
        plots.soft_label_entropy([1.0], [3], ["x"])
    assert not plt.get_fignums()
