"""Feedback modules and refinement of features."""

import pytest
import torch

from pcb import Feedback, refine_features


def test_layer_names_are_those_of_official_checkpoints():
    assert sorted(Feedback(12, 49).state_dict()) == [
        f"layers.{layer}.{kind}" for layer in ("fc1", "fc2") for kind in ("bias", "weight")
    ]
    assert "layer_norm.weight" in Feedback(12, 49, layer_norm=True).state_dict()


def test_features_are_scaled_by_position_and_shifted_by_channel():
    features, location, category = torch.rand(2, 3, 4, 5), torch.rand(2, 20), torch.rand(2, 3)
    refined = refine_features(features, location, category)
    expected = features[1, 2, 3, 4] * location[1, 3 * 5 + 4] + category[1, 2]
    torch.testing.assert_close(refined[1, 2, 3, 4], expected)


def test_gradient_reaches_both_predictions():
    cls, loc = torch.rand(2, 6, requires_grad=True), torch.rand(2, 8, requires_grad=True)
    features = refine_features(torch.rand(2, 3, 2, 2), Feedback(8, 4)(loc), Feedback(6, 3)(cls))
    features.sum().backward()
    assert cls.grad.abs().sum() > 0
    assert loc.grad.abs().sum() > 0


def test_number_of_layers():
    assert len(Feedback(4, 2, num_layers=1).layers) == 1
    with pytest.raises(ValueError, match="num_layers must be at least 1, got 0"):
        Feedback(4, 2, num_layers=0)
