"""Small parts of large matrices stay visible: background, groups, labels."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pcb import plots

CLASSES = 1100  # three per cell; the last cell covers two classes and no background


def many():
    """Return counts and groups of an ordered long tail, where positions are labels."""
    count = np.arange(CLASSES, 0, -1)
    return count, np.repeat(["f", "c", "r"], [400, 400, 300])


def test_background_of_many_classes_is_wide_and_separate():
    count, groups = many()
    detections = np.zeros((CLASSES + 1, CLASSES + 1))
    detections[CLASSES - 1, CLASSES - 1] = 1  # adjacent to both
    detections[5, CLASSES], detections[CLASSES, 8] = 2, 3
    _, axes = plots.confusion_heatmap(detections, None, count, groups)
    cells = np.ma.filled(axes.images[0].get_array(), 0)
    classes = -(-CLASSES // 3)
    wide = len(cells) - classes
    assert wide / len(cells) > 0.015
    assert cells[classes - 1, classes - 1] == 1
    assert (cells[5 // 3, classes:] == 2).all() and (cells[classes:, 8 // 3] == 3).all()
    assert np.count_nonzero(cells) == 1 + 2 * wide
    assert [text.get_text() for text in axes.get_yticklabels()] == ["background"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["missed"]


@pytest.mark.parametrize("order", ["frequency", "cluster"])
def test_labels_of_few_and_many_classes_are_not_cut_off(order):
    for num_classes in (3, CLASSES):
        count, groups = (values[:num_classes] for values in many())
        detections = np.eye(num_classes + 1)
        figure, axes = plots.confusion_heatmap(
            detections, ["monitor (computer equipment)"] * num_classes, count, groups, order, "row"
        )
        figure.draw_without_rendering()
        for text in (axes.xaxis.label, axes.yaxis.label, *axes.get_yticklabels()):
            box = text.get_window_extent()
            inside = figure.bbox.padded(1)
            assert inside.contains(*box.min) and inside.contains(*box.max), text.get_text()
        plt.close(figure)


def test_groups_out_of_order_have_no_borders():
    """Without image counts, the labels keep their order, in which the groups are mixed."""
    groups = ["f", "r"] * 20
    figure, axes = plots.confusion_heatmap(np.eye(40), list(map(str, range(40))), None, groups)
    assert not axes.texts and not axes.lines
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "frequent (20)",
        "rare (20)",
    ]


def test_narrow_groups_are_named_in_the_legend():
    groups = ["f"] * 38 + ["c", "r"]
    names, count = list(map(str, range(40))), np.arange(40, 0, -1)
    figure, axes = plots.confusion_heatmap(np.eye(40), names, count, groups)
    assert not axes.texts and len(figure.legends) == 1
    assert len(axes.lines) == 4  # two borders on each axis


def test_colors_of_counts_start_at_one():
    _, axes = plots.confusion_heatmap(np.array([[90, 1], [0, 5]]))
    assert axes.images[0].norm.vmin == 1


def test_rows_that_forgot_their_start_have_a_note():
    names = ["a", "b"]
    _, axes = plots.start_weights([1e-7, 0.0], [900, 800], [9, 8], "fr", names)
    assert any("No weight exceeds 1e-05%" in text.get_text() for text in axes.texts)
    _, axes = plots.start_weights([0.5, 0.2], [9, 8], [9, 8], "fr", names)
    assert not any("No weight" in text.get_text() for text in axes.texts)


def test_unseen_classes_are_counted_if_bars_have_no_names():
    count, groups = many()
    weight = np.full(CLASSES, 0.5)
    weight[:7] = np.nan
    _, axes = plots.start_weights(weight, count, count, groups, ["x"] * CLASSES)
    assert "n/a: 7 of 1100 classes" in axes.texts[-1].get_text()


def test_pictures_of_some_classes_are_enough():
    matrix = np.array([[0.9, 0.1], [0.4, 0.6]])
    picture = np.zeros((4, 9, 3), dtype=np.uint8)
    figure, _ = plots.confused_pairs(matrix, ["a", "b"], ["f", "r"], {1: picture})
    assert len(figure.findobj(plt.matplotlib.offsetbox.AnnotationBbox)) == 2


def test_small_shares_are_not_shown_as_zero():
    matrix = np.array([[0.9, 0.004], [0.003, 0.9]])
    _, axes = plots.confused_pairs(matrix, ["a", "b"], ["f", "r"])
    shown = [text.get_text() for text in axes.texts]
    assert "0.4%" in shown and "0%" not in shown


def test_zoom_marks_undefined_rows():
    matrix = np.array([[0.9, 0.1], [np.nan, np.nan]])
    _, axes = plots.confusion_zoom(matrix, [0, 1], ["a", "b"], ["f", "r"])
    assert [text.get_text() for text in axes.texts] == ["90", "10", "n/a"]


def test_axis_labels_do_not_overlap_the_strips():
    count, groups = many()
    figure, axes = plots.confusion_heatmap(np.eye(CLASSES), None, count, groups)
    figure.draw_without_rendering()
    label = axes.xaxis.label.get_window_extent()
    assert axes.patches and not any(p.get_window_extent().overlaps(label) for p in axes.patches)
