"""Means over seeds and paired differences, compared with numbers worked out by hand."""

import math

import pytest

from pcb import metrics

NAN = float("nan")


def test_interval_is_students():
    # mean 20, squared deviations 64 + 0 + 64, variance 128 / 2, std 8
    over_seeds = metrics.estimate([12.0, 20.0, 28.0])
    assert (over_seeds.mean, over_seeds.std, over_seeds.n) == (20.0, 8.0, 3)
    # t with 2 degrees of freedom has the closed form of its quantile: (2p - 1) / sqrt(2p(1 - p))
    half = 0.95 / math.sqrt(2 * 0.975 * 0.025) * 8 / math.sqrt(3)
    assert over_seeds.low == pytest.approx(20 - half)
    assert over_seeds.high == pytest.approx(20 + half)
    # with 1 degree of freedom it is tan(pi (p - 1/2))
    two = metrics.estimate([1.0, 3.0])
    assert two.std == pytest.approx(math.sqrt(2))
    assert two.high - 2 == pytest.approx(math.tan(0.475 * math.pi))


def test_one_seed_has_no_deviation():
    one, none = metrics.estimate([0.25]), metrics.estimate([NAN, None])
    assert one.mean == 0.25 and all(math.isnan(x) for x in (one.std, one.low, one.high))
    assert math.isnan(none.mean) and none.n == 0
    assert metrics.format_estimate(one) == "25.0"  # not ± 0
    assert metrics.format_difference(one) == "+25.0" and metrics.format_interval(one) == "n/a"
    assert metrics.format_estimate(none) == metrics.format_difference(none) == "n/a"


def test_equal_values_have_an_interval_of_length_0():
    assert metrics.estimate([0.5, 0.5])[1:4] == (0.0, 0.5, 0.5)


def test_pairs_have_the_same_seed_and_are_defined():
    ours = {0: 0.30, 1: 0.40, 2: NAN, 3: 0.90, 4: 0.5}
    theirs = {1: 0.30, 0: 0.25, 2: 0.1, 4: None, 5: 0.0}
    difference = metrics.paired_difference(ours, theirs)
    assert difference.values == pytest.approx((0.05, 0.10))
    assert difference.mean == pytest.approx(0.075)
    # std = 0.05 / sqrt(2), divided by sqrt(2), times t(1) = 12.706
    assert difference.high == pytest.approx(0.075 + 12.7062 * 0.025, abs=1e-6)
    assert metrics.format_difference(difference, seeds=3) == "+7.5 (n = 2)"
    assert metrics.format_interval(difference) == "[-24.3, +39.3]"
    assert metrics.paired_difference(ours, {7: 0.1}).n == 0


def test_pairing_cancels_the_effect_of_a_seed_on_both():
    theirs = {seed: 0.1 * seed for seed in range(5)}
    ours = {seed: value + 0.01 + 0.001 * (seed % 2) for seed, value in theirs.items()}
    paired = metrics.paired_difference(ours, theirs)
    assert paired.low > 0 and metrics.estimate(ours.values()).std > 10 * paired.std
