"""Iterative refinement, in which class and box predictions change the features of the RoIs.

Source: He et al., "Relieving Long-tailed Instance Segmentation via Pairwise Class Balance",
CVPR 2022.
"""

from collections import OrderedDict

from torch import Tensor, nn


class Feedback(nn.Module):
    """Small MLP that turns a prediction into feedback for the RoI features.

    The layers have the same names as in the official PCB checkpoints.

    Args:
        in_features: D_in, number of values in a prediction.
        out_features: D_out, number of values in the feedback.
        hidden_features: Width of the hidden layers.
        num_layers: Number of linear layers, at least 1.
        layer_norm: Whether to apply layer normalisation to the prediction first.

    Raises:
        ValueError: If ``num_layers`` is less than 1.

    Shape:
        - prediction: (N, D_in).
        - output: (N, D_out).

    Example:
        >>> import torch
        >>> Feedback(12, 49)(torch.zeros(5, 12)).shape
        torch.Size([5, 49])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden_features: int = 512,
        num_layers: int = 2,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, got {num_layers}")
        widths = [in_features] + [hidden_features] * (num_layers - 1) + [out_features]
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for i in range(1, num_layers + 1):
            layers[f"fc{i}"] = nn.Linear(widths[i - 1], widths[i])
            if i < num_layers:
                layers[f"relu{i}"] = nn.ReLU(inplace=True)
        if layer_norm:
            self.layer_norm = nn.LayerNorm(in_features)
        self.layers = nn.Sequential(layers)

    def forward(self, prediction: Tensor) -> Tensor:
        """Return the feedback (N, D_out) for a prediction (N, D_in)."""
        if hasattr(self, "layer_norm"):
            prediction = self.layer_norm(prediction)
        return self.layers(prediction)


def refine_features(features: Tensor, location: Tensor, category: Tensor) -> Tensor:
    """Return the RoI features of the next refinement iteration.

    The result is ``features * location + category``. No tensor is detached.

    Args:
        features: (N, D, H, W) RoI features.
        location: (N, H * W) feedback from the box regression, one factor for each position.
        category: (N, D) feedback from the classifier, one term for each channel.

    Returns:
        The refined features (N, D, H, W).

    Example:
        >>> import torch
        >>> refined = refine_features(torch.ones(1, 2, 1, 1), torch.ones(1, 1), torch.ones(1, 2))
        >>> refined.flatten().tolist()
        [2.0, 2.0]
    """
    n, channels, height, width = features.shape
    return features * location.view(n, 1, height, width) + category.view(n, channels, 1, 1)
