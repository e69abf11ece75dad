"""A learned matrix and its arrays."""

import numpy as np
import pytest

from pcb.metrics import LearnedConfusion

ARRAYS = {
    "learned": np.float32([[0.75, 0.25], [0.5, 0.5]]),
    "instance_count": np.float32([3, 0]),
    "update_count": np.float32([2, 0]),
    "momentum": np.asarray(0.9),
    "alpha": np.asarray(0),
    "start_epoch": np.asarray(17),
    "normalize_rows": np.asarray(True),
    "normalize_columns": np.asarray(False),
    "epoch": np.asarray(24),
}


def test_arrays_survive_a_round_trip_with_their_types():
    found = LearnedConfusion.from_arrays({**ARRAYS, "detections": np.eye(3)}).to_arrays()
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


def test_what_a_file_lacks_is_unknown():
    learned = LearnedConfusion.from_arrays({"learned": ARRAYS["learned"]})
    assert learned.normalize_rows and learned.normalize_columns  # files older than EQL v2 here
    assert learned.epoch is None and np.isnan(learned.alpha)
    with pytest.raises(ValueError, match="saved without the number of updates of each row"):
        learned.start_weights()
    with pytest.raises(KeyError, match="learned"):
        LearnedConfusion.from_arrays({"detections": np.eye(2)})


def test_start_weights_follow_the_momentum():
    learned = LearnedConfusion.from_arrays(ARRAYS)
    np.testing.assert_allclose(learned.start_weights(), [0.9, np.nan])
    no_rows = LearnedConfusion.from_arrays(ARRAYS | {"normalize_rows": np.asarray(False)})
    np.testing.assert_allclose(no_rows.start_weights(), [0.81, np.nan])


def test_soft_labels_are_columns_of_any_matrix_of_the_training():
    learned = LearnedConfusion.from_arrays(ARRAYS)
    np.testing.assert_array_equal(learned.soft_labels(), ARRAYS["learned"].T)
    np.testing.assert_array_equal(learned.soft_labels(np.eye(2)), np.eye(2))
