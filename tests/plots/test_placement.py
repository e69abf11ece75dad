"""Names are placed beside what they name, and cover nothing else."""

import matplotlib.pyplot as plt
import numpy as np

from pcb import plots
from pcb.plots.placement import free_place, name_marks, spread


def test_free_place_is_the_first_free_candidate_inside_the_frame():
    candidates = np.array([[0, 0, 4, 2], [6, 0, 10, 2], [3, 3, 7, 5], [4, 5, 8, 7]])
    frame = (0, 0, 9, 9)
    assert free_place(candidates, np.empty((0, 4)), frame) == 0
    assert free_place(candidates, np.array([[3, 1, 5, 2]]), frame) == 2  # 1 leaves the frame
    assert free_place(candidates, np.array([[3, 1, 5, 4]]), frame) == 3  # touching is allowed
    assert free_place(candidates, np.array([[0, 0, 9, 9]]), frame) is None


def test_spread_moves_only_positions_that_are_too_close():
    np.testing.assert_allclose(spread([0.9, 0.1, 0.5], 0.2), [0.9, 0.1, 0.5])
    np.testing.assert_allclose(spread([0, 0, 0, 9], 1), [-1, 0, 1, 9])
    # Two pairs that collide after spreading form one cluster around their common mean.
    np.testing.assert_allclose(spread([0, 0, 0.8, 0.8], 1), [-1.1, -0.1, 0.9, 1.9])
    assert spread([], 1).shape == (0,)


def named(points):
    _, axes = plt.subplots()
    axes.set(xlim=(0, 10), ylim=(0, 10))
    axes.plot(*np.transpose(points), "o")
    name_marks(axes, {0: "cat"}, np.array(points, dtype=float))
    return axes.texts


def test_the_name_of_a_lone_mark_is_on_the_right_without_a_line():
    (text,) = named([(5, 5), (np.nan, 5)])
    assert text.arrow_patch is None
    assert text.get_position()[0] == 5  # points


def test_a_name_avoids_the_side_with_another_mark():
    above_its_right = (5.31, 5.38)  # 11 and 10 points away, clear of a name on the right
    (text,) = named([(5, 5), above_its_right])
    assert text.arrow_patch is None and text.get_position()[1] < -10  # below


def test_a_line_leads_to_a_mark_among_others():
    around = [
        (5 + 0.3 * x, 5 + 0.3 * y) for x in (-1, 0, 1) for y in (-1, 0, 1) if (x, y) != (0, 0)
    ]
    (text,) = named([(5, 5), *around])
    assert text.arrow_patch is not None


def test_a_name_without_room_is_left_out():
    crowd = [(x, y) for x in np.arange(0, 10, 0.2) for y in np.arange(0, 10, 0.2)]
    assert not named([(5.05, 5.05), *crowd])


def test_names_of_a_long_tail_cover_no_mark_and_no_name(overlapping):
    rng = np.random.default_rng(0)
    count = np.rint(1977 ** rng.random(1203)).astype(int)
    groups = ["r" if n <= 10 else "c" if n <= 100 else "f" for n in count]
    names = [f"automatic washer {label}" for label in range(1203)]
    entropy = rng.gamma(2, 1, 1203)
    figure, axes = plots.soft_label_entropy(entropy, count, groups, names)
    texts = axes.texts
    assert len(texts) == 6 and not overlapping(figure, texts)
    marks = axes.transData.transform(np.column_stack([count, entropy]))
    for text in texts:
        box = plt.Text.get_window_extent(text)  # without its line
        assert not ((marks > box.p0) & (marks < box.p1)).all(axis=1).any()
