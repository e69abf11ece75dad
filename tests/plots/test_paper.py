"""Figures for a paper: exact width, readable in print, titles optional."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pcb import plots


@pytest.mark.slow
@pytest.mark.parametrize("width, inches", [("column", 3.25), ("page", 6.875)])
def test_every_figure_fits_its_width_and_is_readable(width, inches, every_figure, tail, log):
    tail.names = [f"bow (decorative ribbon) {label}" for label in range(40)]
    with plots.use(width, titles=False):
        for name, figure in every_figure(tail, log):
            assert figure.get_figwidth() == inches, name
            file = io.BytesIO()
            figure.savefig(file, dpi=100)
            file.seek(0)
            picture = plt.imread(file)[..., :3].min(axis=2)
            assert abs(picture.shape[1] - 100 * inches) <= 1
            edges = [picture[0], picture[-1], picture[:, 0], picture[:, -1]]
            assert min(edge.min() for edge in edges) > 0.9, f"{name} is cut off"
            sizes = [t.get_fontsize() for t in figure.findobj(plt.Text) if t.get_text()]
            assert min(sizes) >= 7 and max(sizes) <= 9.5, (name, set(sizes))
            if name != "image_grid":  # its images are as high as they are wide
                assert figure.get_figheight() <= 9, name  # fits a page of 8.875 inches
            for ax in figure.axes:
                low, high = ax.get_position().x0, ax.get_position().x1
                assert high - low > 0.01, name
            plt.close(figure)


def titles_of(figure) -> list[str]:
    """Return the title of the figure or of its first axes."""
    over = [figure._suptitle] if figure._suptitle else []
    first = figure.axes[0] if figure.axes else None
    over += [first.title, first._left_title] if first else []
    return [text.get_text() for text in over if text.get_text()]


@pytest.mark.slow
def test_titles_are_left_out_on_request(tail):
    title = "Detections: runs/openmoji/softmax_pcb/seed0"
    names, groups = tail.names, tail.frequency
    calls = [
        lambda title: plots.confusion_heatmap(tail.learned, names, tail.count, groups, title=title),
        lambda title: plots.confused_pairs(tail.learned, names, groups, title=title),
        lambda title: plots.ap_by_group({"a": {"AP": 0.3}}, title=title),
        lambda title: plots.start_weights(
            tail.ap, tail.count, tail.count, groups, names, title=title
        ),
        lambda title: plots.soft_label_strength(tail.learned[0], 0, names, title=title),
        lambda title: plots.class_tail(tail.count, groups, names, title=title),
    ]
    for call in calls:
        assert [text.replace("\n", " ") for text in titles_of(call(title)[0])] == [title]
        assert titles_of(call("")[0]) == []
        with plots.use(titles=False):
            assert titles_of(call(title)[0]) == []


def test_a_width_applies_to_a_block_or_to_all_further_figures():
    def drawn() -> float:
        return float(plots.ap_by_group({"a": {"AP": 0.3}})[0].get_figwidth())

    usual = drawn()
    with plots.use(width=5):
        assert drawn() == 5
        with plots.use("page"):
            assert drawn() == 6.875
        assert drawn() == 5
    assert drawn() == usual
    with pytest.raises(RuntimeError), plots.use("column"):
        raise RuntimeError
    assert drawn() == usual
    before = plots.use("4.5")
    assert drawn() == 4.5
    before.close()
    assert drawn() == usual


@pytest.mark.parametrize("width", ["colum", "nan", "inf", -3, 0.5, 1000, True, [3]])
def test_an_invalid_width_is_an_error(width):
    with pytest.raises(
        ValueError, match="width must be 'column', 'page' or a number of inches from 2 to 40"
    ):
        plots.use(width)
    with pytest.raises(ValueError, match="titles must be True or False, got 'false'"):
        plots.use("page", titles="false")
    assert plots.layout._layout == plots.layout.Layout()


def test_many_panels_fit_a_page(tail):
    labels = tail.learned.T
    history = {1: labels, 2: labels}
    with plots.use("column"):
        for figure, axes in (
            plots.soft_label_bars(labels, range(6), tail.names, tail.frequency, tail.icons),
            plots.soft_label_history(history, range(6), tail.names, tail.frequency),
        ):
            assert axes.shape == (6, 1) and figure.get_figheight() <= 8.9


@pytest.mark.slow
def test_many_classes_fit_a_column(overlapping):
    groups = ["f"] * 405 + ["c"] * 461 + ["r"] * 337
    names, count = ["automatic washer"] * 1203, np.arange(1203, 0, -1)
    with plots.use("column"):
        for figure, axes in (
            plots.confusion_heatmap(np.eye(1204), names, count, groups, normalize="row"),
            plots.class_tail(count, groups, names),
            plots.ap_by_class({"a": count / 1203, "b": count / 2000}, count, groups, names),
        ):
            assert figure.get_figwidth() == 3.25
            assert not overlapping(figure, axes.get_xticklabels())
