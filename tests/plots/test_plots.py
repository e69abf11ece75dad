"""All figures: readable, consistent, and explicit about undefined values."""

import itertools
import json
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import plotly.io
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex, to_rgba_array
from matplotlib.patches import Patch

from pcb import metrics, plots
from pcb.plots.heatmap import UNDEFINED_COLOR
from pcb.plots.style import PALETTE

NAN = float("nan")
METRICS = {"AP": 0.3, "APr": NAN, "APc": 0.28, "APf": 0.4}


@pytest.mark.slow
def test_every_figure_is_saved_whole_and_leaves_settings_alone(every_figure, tail, log, tmp_path):
    before = dict(plt.rcParams)
    for name, figure in every_figure(tail, log):
        path = plots.save(figure, tmp_path / "figures", name, dpi=60)
        picture = plt.imread(path)[..., :3].min(axis=2)
        edges = [picture[0], picture[-1], picture[:, 0], picture[:, -1]]
        assert min(edge.min() for edge in edges) > 0.9, f"{name} is cut off"
        small = [t for t in figure.findobj(plt.Text) if t.get_text() and t.get_fontsize() < 8]
        assert not small, (name, small)
        plt.close(figure)
    assert dict(plt.rcParams) == before
    assert len(list((tmp_path / "figures").iterdir())) == 2 * 29  # and no partial file


def test_seaborn_is_imported_only_for_the_figures_that_need_it():
    """Importing it takes a second, in every notebook and every job of a grid."""
    code = "import sys, pcb.plots, pcb.notebooks.execute; sys.exit('scipy.stats' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_names_are_never_formulas(every_figure, tail, log):
    """Dollars, backslashes, control characters, lone surrogates, very long names."""
    hostile = [r"$\frac$", "$x$ and $y_1$", r"a \$ b$", "<b>bold</b>", "two\nlines", "%s {0}"]
    hostile += ["\x1b[2J\x07", "\ud83e", "\u202eflow", "\x00", "", "y" * 5000]
    tail.names[: len(hostile)] = hostile
    runs, groups = {name: METRICS for name in hostile[:-1]}, tail.frequency
    more = {
        "runs": plots.ap_by_group(runs, title=hostile[0])[0],
        "title": plots.confusion_zoom(tail.learned, [0], tail.names, groups, title=hostile[0])[0],
    }
    for name, figure in itertools.chain(every_figure(tail, log), more.items()):
        figure.draw_without_rendering()
        for text in figure.findobj(plt.Text):
            shown, is_formula = text._preprocess_math(text.get_text())
            assert not is_formula and shown == text.get_text(), (name, shown)
            assert len(shown) < 200 and shown.replace("\n", "").isprintable(), (name, shown)
        plt.close(figure)


def test_figures_of_a_notebook_backend_stay_interactive():
    """The first figure loads the backend, which sets ``interactive``; this must last."""

    @plots.style.with_style
    def load_backend():
        plt.rcParams["interactive"] = True

    try:
        load_backend()
        assert plt.rcParams["interactive"]
    finally:
        plt.rcParams["interactive"] = False


@pytest.mark.slow
def test_class_names_do_not_overlap(tail, overlapping):
    for matrix in (tail.learned, metrics.row_shares(tail.detections)):
        figure, axes = plots.confusion_heatmap(matrix, tail.names, tail.count, tail.frequency)
        assert not overlapping(figure, axes.get_xticklabels())
        assert not overlapping(figure, axes.get_yticklabels())
        assert not overlapping(figure, [axes.title, *axes.texts])
    figure, axes = plots.class_tail(tail.count, tail.frequency, tail.names)
    assert not overlapping(figure, axes.get_xticklabels())


def test_heatmap_is_ordered_by_training_images(tail):
    _, axes = plots.confusion_heatmap(tail.detections, tail.names, tail.count, tail.frequency)
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels[-1] == "background" and axes.get_xticklabels()[-1].get_text() == "missed"
    shown = [tail.count[tail.names.index(label)] for label in labels[:-1]]
    assert shown == sorted(tail.count, reverse=True)
    colors = {text.get_text(): to_hex(text.get_color()).upper() for text in axes.get_yticklabels()}
    for name, group in zip(tail.names, tail.frequency, strict=True):
        assert colors[name] == plots.GROUP_COLORS[group]


def test_heatmap_distinguishes_zero_small_and_undefined():
    matrix = np.array([[0.9, 1e-9, 0.1], [0.0, 0.5, 0.5], [NAN, NAN, NAN]])
    _, axes = plots.confusion_heatmap(matrix)
    colored, white = axes.images
    colors = colored.to_rgba(colored.get_array())
    colors = np.where(white.get_array()[..., 3:] > 0, white.get_array(), colors)
    assert to_hex(colors[1, 0]) == "#ffffff"
    assert to_hex(colors[2, 0]).upper() == UNDEFINED_COLOR
    assert to_hex(colors[0, 1]) not in ("#ffffff", UNDEFINED_COLOR.lower())
    assert not axes.texts  # no numbers in cells


def test_heatmap_of_many_classes_loses_no_entry():
    matrix = np.zeros((1203, 1203))
    matrix[700, 11] = 0.5
    count = np.arange(1203, 0, -1)
    groups = ["f"] * 405 + ["c"] * 461 + ["r"] * 337
    _, axes = plots.confusion_heatmap(matrix, ["x"] * 1203, count, groups)
    shown = axes.images[0].get_array()
    assert np.argwhere(shown > 0).tolist() == [[700 // 3, 11 // 3]]
    assert not axes.get_xticks().size
    assert "largest of 3 x 3" in axes.get_xlabel()


@pytest.mark.parametrize("order, expected", [("name", "abc"), ("cluster", "bac")])
def test_heatmap_in_another_order(order, expected):
    matrix = np.array([[6, 0, 4], [0, 9, 1], [5, 0, 5]])
    names, groups = ["a", "b", "c"], ["f", "c", "r"]
    figure, axes = plots.confusion_heatmap(matrix, names, [9, 5, 1], groups, order=order)
    assert "".join(text.get_text() for text in axes.get_yticklabels()) == expected
    (legend,) = figure.legends  # there are no lines between groups
    assert [t.get_text() for t in legend.get_texts()] == ["frequent (1)", "common (1)", "rare (1)"]


def test_heatmap_divides_by_rows_or_columns():
    detections = np.array([[3, 1, 0], [0, 2, 2], [5, 0, 0]])
    for normalize, expected in (("row", [0.75, 0.25, 0]), ("column", [3 / 8, 1 / 3, 0])):
        _, axes = plots.confusion_heatmap(detections, ["a", "b"], normalize=normalize)
        shown = np.ma.filled(axes.images[0].get_array(), 0)
        np.testing.assert_allclose(shown[0], expected)
        of_background = {"row": "row of background: share of all", "column": "column of missed"}
        assert of_background[normalize] in axes.get_xlabel()
    with pytest.raises(ValueError, match="normalize must be 'none', 'row' or 'column', got 'rows'"):
        plots.confusion_heatmap(detections, normalize="rows")


def test_difference_is_after_minus_before_and_keeps_the_largest_change():
    before, after = np.eye(1203), np.eye(1203)
    after[700, 700], after[700, 701] = 0.75, 0.25
    _, axes = plots.confusion_difference(before, after)
    shown = axes.images[0].get_array()
    assert np.argwhere(shown != 0).tolist() == [[233, 233]]
    assert abs(shown[233, 233]) == 0.25
    _, axes = plots.confusion_difference(before, before)
    assert not axes.images[0].get_array().any()
    with pytest.raises(ValueError, match=r"shape \(2, 2\) and \(3, 3\) cannot be compared"):
        plots.confusion_difference(np.eye(2), np.eye(3))


@pytest.mark.slow
@pytest.mark.parametrize("size", [40, 1203])
def test_texts_of_pairs_and_zoom_do_not_overlap(size, tail, overlapping):
    rng = np.random.default_rng(1)
    names = [f"automatic washer with dryer {label}" for label in range(size)]
    groups = [("f", "c", "r")[label % 3] for label in range(size)]
    detections = rng.poisson(0.2, (size + 1, size + 1)) + 9 * np.eye(size + 1, dtype=int)
    pictures = {
        label: np.zeros((20, 60, 3), np.uint8) if label % 2 else None for label in range(size)
    }
    title = "Detections, bbox IoU >= 0.5, score >= 0.3: openmoji/softmax_pcb/seed0 minus another"
    for draw in (
        lambda: plots.confused_pairs(detections, names, groups, pictures, title=title),
        lambda: plots.changed_pairs(detections, detections.T, names, groups, title=title),
        lambda: plots.confusion_zoom(detections, range(12), names, groups, title=title),
        lambda: plots.group_heatmap(detections, groups, title=title),
    ):
        figure, axes = draw()
        texts = [figure._suptitle]
        for ax in np.ravel(axes):  # rotated names would seem too wide
            texts += [*ax.texts, ax.xaxis.label, ax.yaxis.label, *ax.get_yticklabels()]
        assert not overlapping(figure, texts)
        width, height = figure.canvas.get_width_height()
        for text in texts:
            if text.get_text():
                box = text.get_window_extent()
                assert box.x0 >= -1 and box.x1 <= width + 1, text.get_text()
                assert box.y0 >= -1 and box.y1 <= height + 1, text.get_text()


def test_zoom_sums_up_other_classes():
    detections = np.array([[5, 2, 1, 2], [0, 4, 0, 0], [0, 0, 1, 1], [3, 0, 0, 0]])
    _, axes = plots.confusion_zoom(detections, [0, 1], ["a", "b", "c"], ["f", "c", "r"])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["a", "b", "1 other", "missed"]
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["50", "20", "10", "20", "0", "100", "0", "0"]
    with pytest.raises(ValueError, match="`classes` is empty"):
        plots.confusion_zoom(detections, [], ["a", "b", "c"], ["f", "c", "r"])


def test_pairs_show_the_reverse_direction_and_count_objects():
    detections = np.array([[6, 2, 2], [1, 3, 0], [0, 0, 0]])
    _, axes = plots.confused_pairs(detections, ["cat", "dog"], ["f", "r"])
    forward, reverse = axes.containers
    np.testing.assert_allclose([bar.get_width() for bar in forward], [0.25, 0.2])
    np.testing.assert_allclose([bar.get_width() for bar in reverse], [0.2, 0.25])
    assert {"25% (1)", "20% (2)"} <= {text.get_text() for text in axes.texts}
    _, axes = plots.confused_pairs(detections, ["cat", "dog"], ["f", "r"], min_objects=5)
    assert len(axes.containers[0]) == 1  # there are only 4 dogs


def test_interactive_figure_shows_the_values_of_the_matrix():
    detections = np.array([[6, 2, 2], [1, 3, 0], [5, 0, 0]])
    names = ["<b>cat</b>", "dog"]
    figure = plots.interactive_confusion(detections, [1, 0], names, ["f", "r"], [90, 3], "A & b")
    (heatmap,) = figure.data
    texts = heatmap.text
    assert texts[1][0].startswith(
        "<b>&lt;b&gt;cat&lt;/b&gt;</b> predicted as <b>dog</b><br>20% of the true class (2)"
        "<br>reverse direction: 25%<br>true: frequent, 90 training images"
    )
    assert texts[1][2].startswith("<b>&lt;b&gt;cat&lt;/b&gt;</b> missed<br>20% of the true")
    assert texts[2][1].endswith("detected on background<br>100% of such detections (5)")
    np.testing.assert_allclose(heatmap.z[0], [np.log10(0.75), np.log10(0.25), -3.2], atol=1e-3)
    assert figure.layout.title.text == "A &amp; b"
    for classes, message in (([], "classes is empty"), ([2], r"in \[0, 1\], got \[2\]")):
        with pytest.raises(ValueError, match=message):
            plots.interactive_confusion(detections, classes, names, ["f", "r"], [90, 3])
    with pytest.raises(ValueError, match=r"\(3, 2\)"):
        plots.interactive_confusion(detections[:, :2], [0], names, ["f", "r"], [90, 3])


def test_interactive_figure_distinguishes_undefined_cells_from_zeros():
    figure = plots.interactive_confusion(
        np.array([[5, 0], [0, 0]]), [0, 1], ["cat", "dog"], "fr", [90, 3]
    )
    np.testing.assert_array_equal(figure.data[0].z, [[0, -3.2], [NAN, NAN]])
    white, _, lightest, *_ = figure.data[0].colorscale
    assert white == (0, "#FFFFFF") and lightest[0] == 0.0625  # 0.2 of 3.2 powers of ten
    assert figure.layout.plot_bgcolor == UNDEFINED_COLOR
    assert "n/a of the true class" in figure.data[0].text[1][0]


def test_notebook_stores_an_interactive_figure_without_plotly_js(monkeypatch):
    figure = plots.interactive_confusion(np.eye(2), [0, 1], ["cat", "dog"], "fr", [90, 3])
    monkeypatch.setattr(plotly.io.renderers, "default", "notebook")  # would include plotly.js
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append((data, raw)))
    figure._ipython_display_()
    ((data, raw),) = shown
    assert raw and sorted(data) == ["application/vnd.plotly.v1+json", "text/plain"]
    assert len(json.dumps(data)) < 10_000


def test_rows_without_instances_are_visible_among_many_classes():
    detections = np.diag(np.arange(1204) % 3)
    detections[:-1, -1] = np.arange(1203) % 3 > 0
    detections[-1, 0] = 1
    _, axes = plots.confusion_heatmap(detections, ["x"] * 1203, normalize="row")
    assert np.ma.getmaskarray(axes.images[0].get_array()).any()
    legend = axes.figure.axes[1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["0", "n/a (401)"]


def test_counts_are_coloured_from_one_object_on():
    detections = np.array([[30, 1, 4], [0, 2, 2], [5, 0, 0]])
    _, axes = plots.confusion_heatmap(detections, ["a", "b"])
    assert axes.images[0].norm.vmin == 1
    assert axes.figure.axes[1].get_ylabel() == "objects, or detections on background"


def test_pairs_without_change_have_a_note():
    _, axes = plots.changed_pairs(np.ones((2, 2)), np.ones((2, 2)), "ab", "fr")
    assert [text.get_text() for text in axes.texts] == ["no confusion has changed"]


def test_heatmap_names_wrong_arguments():
    with pytest.raises(ValueError, match=r"square and not empty, got shape \(2, 3\)"):
        plots.confusion_heatmap(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"must have shape \(4, 4\), or .* got shape \(2, 2\)"):
        plots.confusion_heatmap(np.zeros((2, 2)), ["a", "b", "c", "d"])
    with pytest.raises(ValueError, match=r"equal lengths, got lengths \[2, 3\]"):
        plots.confusion_heatmap(np.zeros((2, 2)), ["a", "b"], [1, 2, 3])
    with pytest.raises(ValueError, match=r"negative entry, -1\.0"):
        plots.confusion_heatmap(-np.eye(2))
    with pytest.raises(ValueError, match=r"frequency\[1\] must be 'f', 'c' or 'r', got 'x'"):
        plots.confusion_heatmap(np.eye(2), ["a", "b"], [2, 1], ["f", "x"])


def test_undefined_metrics_are_shown_as_na():
    _, axes = plots.ap_by_group({"run": METRICS})
    texts = [text.get_text() for text in axes.texts]
    assert texts[3] == "n/a" and not any("nan" in text for text in texts)
    # null in a JSON file, and missing metrics
    _, axes = plots.ap_by_group({"run": {"AP": None}})
    assert [text.get_text() for text in axes.texts] == ["n/a"] * 4


def test_undefined_classes_are_counted_or_left_out(tail):
    ap = tail.ap.copy()
    ap[:3] = NAN
    figure, axes = plots.ap_by_image_count(ap, tail.count, tail.frequency, tail.names)
    assert "AP n/a: 3 of 40 classes" in [text.get_text() for text in axes.texts]
    plt.close(figure)
    with np.errstate(all="raise"):
        plots.ap_by_class({"a": ap, "b": ap}, tail.count, tail.frequency, tail.names)
    _, axes = plots.gain_by_role([NAN, 0.1], ["tail", "head"], ["r", "f"])
    assert "n/a" in axes.texts[0].get_text()


def test_a_matrix_without_confusion_has_a_note():
    _, axes = plots.confused_pairs(np.eye(3), ["a", "b", "c"], ["f", "c", "r"])
    assert [text.get_text() for text in axes.texts] == ["no confusion between classes"]


def test_curves_show_when_pcb_acts_or_why_it_does_not(log):
    figure, (total, parts) = plots.loss_curves(log)
    assert "PCB acts" in [text.get_text() for text in total.texts]
    assert [line.get_label() for line in parts.get_lines()][:1] == ["loss_cls"]
    plt.close(figure)
    closed = [record | {"pcb_gate": False, "pcb_strength": 0.0} for record in log]
    _, (strength, _) = plots.strength_curve(closed, 40)
    prefix = "strength 0 throughout: "
    assert [text.get_text() for text in strength.texts] == [f"{prefix}the gate never opened"]
    _, (strength, _) = plots.strength_curve(closed, 43)
    assert [text.get_text() for text in strength.texts] == [f"{prefix}3 of 43 classes not seen"]
    plain = [record | {"pcb_strength": 0.0} for record in log]
    _, (strength, _) = plots.strength_curve(plain, 40)
    assert [text.get_text() for text in strength.texts] == [f"{prefix}alpha is 0"]
    _, (strength, _) = plots.strength_curve(log, 40)
    assert [text.get_text() for text in strength.texts] == ["PCB acts from epoch 3 on"]


def test_ap_by_epoch_shows_what_was_measured(log):
    record = {"mode": "val", "epoch": 2, "segm_AP": 0.25, "segm_APr": None, "segm_APf": 0.5}
    figure, (masks,) = plots.ap_by_epoch([*log, record])
    assert masks.get_title(loc="left") == "masks"
    lines = {line.get_label(): line for line in masks.get_lines()}
    assert {name: list(line.get_ydata()) for name, line in lines.items()} == {
        "all": [25.0],
        "frequent": [50.0],
    }
    assert lines["frequent"].get_color() == plots.GROUP_COLORS["f"]
    plt.close(figure)
    with pytest.raises(ValueError, match="no validation with an AP: set `evaluation`"):
        plots.ap_by_epoch(log)


def test_curves_of_one_record_are_visible_and_long_ones_have_few_ticks(log, overlapping):
    _, axes = plots.loss_curves(log[:1])
    assert axes[0].get_lines()[0].get_marker() == "o"
    long = [record | {"iter": 3000 * record["iter"]} for record in log * 4]
    long.sort(key=lambda record: record["iter"])
    figure, axes = plots.loss_curves(long)
    for ax in axes:
        assert not overlapping(figure, ax.get_xticklabels())


def test_many_classes_are_reduced_to_those_that_differ():
    base, other = np.full(1203, 0.3), np.full(1203, 0.3)
    other[700:760] += 0.1
    names = [str(label) for label in range(1203)]
    figure, axes = plots.ap_by_class({"a": base, "b": other}, names, ["f"] * 1203, names)
    shown = [text.get_text() for text in axes.get_xticklabels()]
    assert shown == names[759:699:-1] and figure.get_figwidth() < 20
    assert axes.get_xlabel() == "the 60 of 1203 classes that differ most between runs"


def test_only_an_extreme_that_is_one_class_is_named(tail):
    ap = [0.0, 0.0, 0.3, 0.2, 0.5]
    _, axes = plots.ap_by_image_count(ap, [3, 4, 5, 300, 200], ["r"] * 3 + ["f"] * 2, "abcde")
    assert sorted(text.get_text() for text in axes.texts) == ["c", "d", "e"]


def test_captions_of_a_crowd_do_not_overlap_and_stay_inside(overlapping):
    boxes = [[10, 10, 40, 40], [12, 11, 40, 40], [90, 5, 10, 10], [85, 90, 15, 10], [0, 95, 9, 5]]
    captions = ["see no evil monkey", "hear no evil monkey", "raised hand", "older man", "rocket"]
    image = np.zeros((100, 100, 3))
    figure, axes = plots.image_grid([image], boxes=[boxes], captions=[captions])
    texts = list(axes[0, 0].texts)
    assert [text.get_text() for text in texts] == captions
    assert not overlapping(figure, texts)
    picture = axes[0, 0].get_window_extent()
    for text in texts:
        box = text.get_bbox_patch().get_window_extent()
        assert picture.x0 - 1 <= box.x0 and box.x1 <= picture.x1 + 1
        assert picture.y0 - 1 <= box.y0 and box.y1 <= picture.y1 + 1
    # The image has room for about 16 lines; a note counts the other captions.
    figure, axes = plots.image_grid(
        [image], boxes=[[[0, 0, 100, 100]] * 80], captions=[["extraterrestrial alien"] * 80]
    )
    *texts, note = axes[0, 0].texts
    assert note.get_text() == f"no room for {80 - len(texts)} more names" and len(texts) > 8
    assert not overlapping(figure, texts)


def test_names_of_a_pair_do_not_overlap(tail, overlapping):
    tail.names[:2] = "hear no evil monkey", "see no evil monkey"
    figure, axes = plots.icon_pairs([(0, 1)], tail.icons, tail.names, tail.frequency, tail.count)
    assert not overlapping(figure, axes[0, 0].texts)


def test_curves_need_training_records():
    with pytest.raises(ValueError, match=r"no training step with a loss \(number of .*: 1\)"):
        plots.loss_curves([{"mode": "val", "epoch": 1, "iter": 1}])
    with pytest.raises(ValueError, match="no log record contains 'pcb_strength'"):
        plots.strength_curve([{"mode": "train", "iter": 1, "loss": 1.0}])


def test_target_mixes_soft_and_hard_label():
    _, axes = plots.soft_label_strength([0.5, 0.3, 0.2], 0, ["a", "b", "c"], [0.0, 0.4])
    widths = [[bar.get_width() for bar in bars] for bars in axes.containers]
    np.testing.assert_allclose(widths, [[1, 0.8], [0, 0.12], [0, 0.08]])


def test_labels_that_do_not_sum_to_one_have_a_note():
    spread = [0.8, *[0.05] * 39]
    _, axes = plots.soft_label_strength(spread, 0, list(map(str, range(40))), [0.0, 1.0])
    assert "need not sum to 100%" in axes.get_xlabel()
    np.testing.assert_allclose(axes.get_xlim()[1], 2.75)
    assert "5%" not in [text.get_text() for text in axes.texts]  # too narrow for a number
    _, axes = plots.soft_label_strength([0.7, 0.3], 0, ["a", "b"])
    assert axes.get_xlabel() == "probability in the target"


def test_small_probabilities_have_distinct_colors_and_ticks():
    small = 1e-2 * np.array([[0.6, 0.02, 0.0], [0.1, 0.5, 0.01], [0.3, 0.01, 0.02]])
    _, axes = plots.confusion_heatmap(small)
    colored = axes.images[0]
    shown = {to_hex(colored.to_rgba(np.array([value]))[0]) for value in np.unique(small[small > 0])}
    assert len(shown) == len(np.unique(small[small > 0]))
    figure, axes = plots.soft_label_bars(small, [0], ["a", "b", "c"], "fcr")
    figure.draw_without_rendering()
    ticks = [text.get_text() for text in axes[0, 0].get_xticklabels()]
    assert len(set(ticks)) == len(ticks)


def test_grid_needs_images_and_takes_empty_masks():
    with pytest.raises(ValueError, match="`images` is empty"):
        plots.image_grid([])
    with pytest.raises(ValueError, match="pass masks or boxes as well"):
        plots.image_grid([np.zeros((8, 8, 3))], captions=[["fox"]])
    empty = np.zeros((1, 8, 8), dtype=bool)
    _, axes = plots.image_grid([np.zeros((8, 8, 3))] * 5, masks=[empty] * 5, columns=2)
    assert axes.shape == (3, 2)


def test_color_blind_readers_can_distinguish_groups_and_palette():
    """Colours stay distant in a simulation of deuteranopia (Machado et al., 2009, severity 1)."""
    simulation = np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]])
    colors = [*plots.GROUP_COLORS.values(), *PALETTE]
    seen = [simulation @ np.array(plt.matplotlib.colors.to_rgb(color)) for color in colors]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 0.15


def colors_of(figure) -> set[str]:
    """Return the colours of all lines, bars and dots in hexadecimal."""
    shapes = figure.findobj(lambda one: isinstance(one, plt.Line2D | Patch | PathCollection))
    found = set()
    for shape in shapes:
        if isinstance(shape, PathCollection) and not len(shape.get_offsets()):
            continue  # a group without classes
        for get in ("get_color", "get_facecolor", "get_edgecolor", "get_markerfacecolor"):
            colors = getattr(shape, get, lambda: "none")()
            if not isinstance(colors, str) or colors not in ("none", "auto"):
                found |= {to_hex(color).upper() for color in to_rgba_array(colors)}
    return found


@pytest.mark.slow
def test_group_colours_are_used_for_groups_only(tail, log):
    """A figure without groups, or with rare classes only, has no colour of another group."""
    names, rare = tail.names, ["r"] * 40
    log = [record | {f"s{n}.loss_cls": 1.0 for n in range(8)} for record in log]
    learned, pictures = tail.learned.T, [np.zeros((8, 8, 3))]
    figures = {
        "losses": plots.loss_curves(log),
        "strength": plots.strength_curve(log, 40),
        "history": plots.soft_label_history({1: learned, 2: learned}, [0, 5], names, rare),
        "target": plots.soft_label_strength(learned[0], 0, names, top=7),
        "bars": plots.soft_label_bars(learned, [0, 5], names, rare),
        "images": plots.image_grid(pictures, boxes=[[[1, 1, 3, 3]] * 7], captions=[["fox"] * 7]),
        "changed": plots.changed_pairs(tail.learned, tail.learned.T, names, rare),
        "pairs": plots.confused_pairs(tail.learned, names, rare),
        "by count": plots.ap_by_image_count(tail.ap, tail.count, rare, names),
        "classes": plots.ap_by_class({"a": tail.ap, "b": tail.ap[::-1]}, tail.count, rare, names),
        "gain": plots.gain_by_role(tail.ap - 0.3, ["tail", "head"] * 20, rare, names),
    }
    others = {plots.GROUP_COLORS["c"], plots.GROUP_COLORS["f"]}
    for name, (figure, _) in figures.items():
        assert not colors_of(figure) & others, name
    without_groups = ("losses", "strength", "target", "images", "changed")
    assert not any(colors_of(figures[n][0]) & {plots.GROUP_COLORS["r"]} for n in without_groups)
