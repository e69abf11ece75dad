"""Classes, look-alikes and images of OpenMoji-LT, without files."""

from collections import Counter

import numpy as np
import pytest

from pcb.datasets.openmoji.design import DESIGNS, draw_classes, image_counts
from pcb.datasets.openmoji.icons import (
    TRAIN_RENDERINGS,
    VALIDATION_ONLY_RENDERINGS,
    VALIDATION_RENDERINGS,
    Icon,
    Rendering,
    catalogue,
    draw,
    renderings_of,
)
from pcb.datasets.openmoji.layout import spread, spread_evenly
from pcb.datasets.openmoji.scene import LEAST_VISIBLE, compose
from tools.openmoji.report import pair_report
from tools.openmoji.similarity import congruence, similarities, similarity

MINI, FULL = DESIGNS["mini"], DESIGNS["full"]
HAND, APPLE = Icon("1F44D", "thumbs_up"), Icon("1F34E", "red_apple")


def draw_from(icons, labels, renderings, seed, image_size=128):
    rng = np.random.default_rng(seed)
    return compose(icons, labels, renderings, image_size, (24, 56), rng)


@pytest.mark.parametrize("seed", range(3))
def test_mini_is_built_of_pairs(seed):
    classes, pairs = draw_classes(MINI, seed)
    assert Counter(pair.kind for pair in pairs) == {"head-tail": 10, "head-head": 3, "tail-tail": 3}
    assert Counter(c.role for c in classes) == {"head": 16, "tail": 16, "singleton": 8}
    assert len({c.icon for c in classes}) == 40
    assert [c.icon.name for c in classes] == sorted(c.icon.name for c in classes)
    for index, pair in enumerate(pairs):
        head, tail = classes[pair.head], classes[pair.tail]
        assert head.pair == tail.pair == index
        assert f"{head.role}-{tail.role}" == pair.kind
        assert head.image_count >= tail.image_count
        if pair.kind == "head-tail":
            assert head.image_count >= 5 * tail.image_count
    heads, tails = ([c.image_count for c in classes if c.role == role] for role in ("head", "tail"))
    assert min(heads) > max(tails)


def test_groups_of_mini():
    counts = image_counts(MINI)
    groups = Counter(MINI.frequency(count) for count in counts)
    assert groups == {"f": 13, "c": 17, "r": 10}
    assert counts[0] == 560 and counts[-1] == 3
    assert (np.diff(counts) <= 0).all()
    singletons = [c for c in draw_classes(MINI, 0)[0] if c.role == "singleton"]
    assert {MINI.frequency(c.image_count) for c in singletons} == set("rcf")


def test_head_and_tail_are_drawn_with_the_seed():
    def counts(seed):
        return {c.icon.name: c.image_count for c in draw_classes(MINI, seed)[0]}

    draws = [counts(seed) for seed in range(20)]
    assert all(draw.keys() == draws[0].keys() for draw in draws)
    assert counts(0) == draws[0]
    heads = Counter(name for draw in draws for name, count in draw.items() if count > 45)
    assert all(2 <= heads[name] <= 18 for name in draws[0])


def test_full_has_the_tail_of_lvis():
    counts = image_counts(FULL)
    groups = Counter(FULL.frequency(count) for count in counts)
    assert groups == {"f": 405, "c": 461, "r": 337}
    assert counts[-1] == 1 and counts.max() < 300
    classes, pairs = draw_classes(FULL, 0)
    assert len(classes) == len({c.icon for c in classes}) == 1203
    assert len(pairs) == 200
    assert sorted(c.image_count for c in classes) == sorted(counts)
    images = spread(counts, FULL.train_images, FULL.largest_load, np.random.default_rng(0))
    assert (np.bincount(np.concatenate(images)) == counts).all()


def test_spread_is_exact():
    counts = image_counts(MINI)
    images = spread(counts, MINI.train_images, MINI.largest_load, np.random.default_rng(0))
    assert (np.bincount(np.concatenate(images)) == counts).all()
    loads = [len(labels) for labels in images]
    assert min(loads) >= 1 and max(loads) <= MINI.largest_load
    assert all(len(set(labels)) == len(labels) for labels in images)
    flat = spread_evenly([100] * 40, 400, np.random.default_rng(0))
    assert {len(labels) for labels in flat} == {10}
    assert (np.bincount(np.concatenate(flat)) == 100).all()


@pytest.mark.parametrize("counts", [[5], [1], [3, 3, 3, 3]])
def test_spread_rejects_impossible_counts(counts):
    with pytest.raises(ValueError, match="the sum of `counts` must be"):
        spread(counts, 4, 2, np.random.default_rng(0))


def test_pairs_are_similar_but_not_congruent():
    pairs = catalogue()["mini"]["pairs"]
    names = catalogue()["names"]
    for pair in pairs:
        first, second = (Icon(code, names[code]) for code in pair["icons"])
        assert similarity(first, second) == pytest.approx(pair["similarity"], abs=1e-3)
        assert congruence(first, second) == pytest.approx(pair["congruence"], abs=1e-3)
    for size, number in (("mini", 16), ("full", 200)):
        chosen = catalogue()[size]["pairs"]
        assert len(chosen) == number
        assert min(pair["similarity"] for pair in chosen) >= 0.6
        assert max(pair["congruence"] for pair in chosen) <= 0.9


def test_no_class_of_mini_is_more_similar_than_the_partner():
    names = catalogue()["names"]
    chosen = catalogue()["mini"]
    codes = [code for pair in chosen["pairs"] for code in pair["icons"]] + chosen["singletons"]
    matrix = similarities([Icon(code, names[code]) for code in codes])
    np.fill_diagonal(matrix, 0)
    nearest = matrix.argmax(1)
    paired = 2 * len(chosen["pairs"])
    for label in range(paired):
        assert nearest[label] == label ^ 1, codes[label]
    assert matrix[paired:].max() < 0.6


def test_catalogue_has_no_icon_twice():
    for size, pairs, singletons in (("mini", 16, 8), ("full", 200, 803)):
        chosen = catalogue()[size]
        codes = [code for pair in chosen["pairs"] for code in pair["icons"]] + chosen["singletons"]
        assert len(codes) == len(set(codes)) == 2 * pairs + singletons
    names = catalogue()["names"]
    assert len(set(names.values())) == len(names) == 1203


def test_instances_stay_visible():
    look = [HAND, APPLE]
    for seed in range(5):
        image, instances = compose(
            look, [0, 1] * 5, TRAIN_RENDERINGS, 128, (40, 56), np.random.default_rng(seed)
        )
        assert image.shape == (128, 128, 3) and image.dtype == np.uint8
        assert sorted(instance.label for instance in instances) == [0] * 5 + [1] * 5
        assert (np.sum([instance.mask for instance in instances], axis=0) <= 1).all()
        assert min(instance.mask.sum() for instance in instances) > 100 * LEAST_VISIBLE


def test_crowded_image_shrinks_its_instances():
    _, instances = draw_from([APPLE], [0] * 30, TRAIN_RENDERINGS, seed=0, image_size=64)
    assert len(instances) == 30
    assert all(instance.mask.any() for instance in instances)


def test_some_renderings_are_only_for_validation():
    only = {rendering.name for rendering, _ in VALIDATION_ONLY_RENDERINGS}
    drawn = {
        name: Counter(
            instance.rendering
            for seed in range(12)
            for instance in draw_from([HAND], [0] * 8, renderings, seed)[1]
        )
        for name, renderings in (("train", TRAIN_RENDERINGS), ("val", VALIDATION_RENDERINGS))
    }
    assert not only & drawn["train"].keys()
    assert only <= drawn["val"].keys()
    assert drawn["train"].keys() == {rendering.name for rendering, _ in TRAIN_RENDERINGS}
    assert 0 < sum(drawn["val"][name] for name in only) / drawn["val"].total() < 0.4


def test_renderings_differ():
    pictures = {
        r.name: draw(HAND, r).astype(int) for r, _ in renderings_of(HAND, VALIDATION_RENDERINGS)
    }
    names = sorted(pictures)
    for i, first in enumerate(names):
        for second in names[:i]:
            assert np.abs(pictures[first] - pictures[second]).max() > 30, (first, second)


def test_missing_icon_is_named():
    with pytest.raises(
        ValueError, match=r"does not have icon 1F34E \(red_apple\) with skin tone 1F3FB"
    ):
        draw(APPLE, Rendering("light", skin="1F3FB"))


@pytest.mark.slow
def test_pairs_are_distinguishable_on_balanced_data():
    rows = pair_report("tiny", seed=0, train_per_class=100, test_per_class=50, epochs=10)
    assert [row["kind"] for row in rows] == ["head-tail", "head-head", "tail-tail"]
    for row in rows:
        assert row["accuracy"] >= 0.9, row
