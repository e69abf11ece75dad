"""Figures over seeds: dots and intervals match the numbers, and texts do not overlap."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pcb import metrics, plots

NAMES = ("AP", "APf", "APc", "APr")


def over_seeds(*rows) -> dict:
    """Return one row per tuple of values, the same for all metrics."""
    return {
        f"config_{number}": dict.fromkeys(NAMES, metrics.estimate(values))
        for number, values in enumerate(rows)
    }


def bars(axes) -> list:
    """Return the ends of the interval bars, in points."""
    return [line.get_xdata() for line in axes.lines if line.get_solid_capstyle() == "butt"]


def marks(axes, marker: str) -> list:
    return [line.get_xdata().tolist() for line in axes.lines if line.get_marker() == marker]


def test_seeds_are_dots_and_the_interval_of_their_mean_a_bar():
    values = [0.25, 0.27, 0.29]
    estimate = metrics.estimate(values)
    figure, (axes, *_) = plots.ap_over_seeds(over_seeds(values))
    assert marks(axes, "o") == [pytest.approx([25, 27, 29])]
    (bar,) = bars(axes)
    np.testing.assert_allclose(bar, [100 * estimate.low, 100 * estimate.high])
    assert [text.get_text() for text in axes.texts] == ["27.0"]
    (legend,) = figure.legends
    assert "95% confidence interval" in legend.get_texts()[0].get_text()


def test_one_seed_is_a_single_dot_and_no_seed_is_na():
    figure, panels = plots.ap_difference(over_seeds([0.02], [float("nan")]))
    for axes in panels:
        assert marks(axes, "o") == [pytest.approx([2]), []]
        assert not bars(axes) and not marks(axes, "D")
        assert [text.get_text() for text in axes.texts] == ["+2.0", "n/a"]
    assert not figure.legends


def test_an_undefined_metric_has_no_scale_and_an_ap_of_0_has_one():
    rows = {"a": {"AP": metrics.estimate([0.0]), "APr": metrics.estimate([])}}
    for draw in (plots.ap_over_seeds, plots.ap_difference):
        _, panels = draw(rows)
        ticks = dict(zip(NAMES, (panel.get_xticks() for panel in panels), strict=True))
        assert not len(ticks["APr"]) and not len(ticks["APf"])
        assert ticks["AP"].max() >= 0.5


def test_interval_of_two_seeds_ends_in_arrows_and_does_not_stretch_the_axis():
    _, (axes, *_) = plots.ap_difference(over_seeds([0.01, 0.05], [0.01, 0.02, 0.03]))
    left, right = axes.get_xlim()
    assert -11 < left < 0 < 5 < right < 11  # the interval is from -22 to 28
    assert len(marks(axes, "<")) == len(marks(axes, ">")) == 1


def test_differences_share_one_axis_and_ap_axes_start_at_zero():
    rows = over_seeds([0.01, 0.02])
    rows["config_0"]["APr"] = metrics.estimate([0.4, 0.3])
    _, panels = plots.ap_difference(rows)
    assert len({axes.get_xlim() for axes in panels}) == 1
    _, panels = plots.ap_over_seeds(rows)
    assert {axes.get_xlim()[0] for axes in panels} == {0} and panels[0].get_xlim()[1] < 10


@pytest.mark.slow
def test_texts_of_a_large_grid_do_not_overlap_and_groups_stay_together(overlapping):
    rng = np.random.default_rng(0)
    baselines = ("softmax", "rfs", "eqlv2", "seesaw_r101-longer_schedule")
    rows = {
        name: {metric: metrics.estimate(rng.normal(0.2, 0.02, 3)) for metric in NAMES}
        for base in baselines
        for name in (base, f"{base}_pcb")
    }
    groups = [base for base in baselines for _ in "ab"]
    difference = {
        f"{name} minus {base}": rows[name] for name, base in zip(rows, groups, strict=True)
    }
    for figure, panels in (plots.ap_over_seeds(rows, groups), plots.ap_difference(difference)):
        texts = [figure._suptitle, *panels[0].get_yticklabels()]
        for axes in panels:
            low, high = axes.get_xlim()
            ticks = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
            shown = [text for value, text in ticks if low <= value <= high]
            texts += [*axes.texts, axes._left_title, axes.xaxis.label, *shown]
        assert not overlapping(figure, texts)
        plt.close(figure)
    _, panels = plots.ap_over_seeds(rows, groups)
    steps = np.diff(panels[0].get_yticks())
    assert (steps[::2] < steps[1]).all() and (steps[1::2] == steps[1]).all()


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match="pass at least one row"):
        plots.ap_over_seeds({})


def test_gain_by_role_has_the_interval_of_each_mean():
    gain = [[0.01, 0.03, 0.1], [0.02, 0.06, 0.1], [0.03, 0.09, 0.1]]  # 3 seeds, 3 classes
    _, axes = plots.gain_by_role(gain, ["tail", "tail", "head"], "rrf")
    estimate = metrics.estimate([0.02, 0.04, 0.06])
    ends = f"[{100 * estimate.low:+.1f}, {100 * estimate.high:+.1f}]".replace("-", "\u2212")
    texts = [text.get_text() for text in axes.texts]
    assert texts == [f"mean +4.0\n{ends}", "mean +10.0\n[+10.0, +10.0]"]
    np.testing.assert_allclose(bars(axes)[0], [100 * estimate.low, 100 * estimate.high])
    _, axes = plots.gain_by_role(gain[:1], ["tail", "tail", "head"], "rrf")
    assert not bars(axes) and axes.texts[0].get_text() == "mean +2.0"
