"""Iterative refinement: class and box predictions fed back into the RoI features.

Source: He et al., "Relieving Long-tailed Instance Segmentation via Pairwise Class Balance",
CVPR 2022.
"""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn


class Feedback(nn.Module):
    """A small MLP that turns a prediction into a change of the features.

    Args:
        in_features: width of the prediction.
        out_features: width of the change.
        hidden_features: width between the layers.
        num_layers: number of linear layers, at least 1.
        layer_norm: normalise the prediction first (for sigmoid classifiers such as EQL v2).

    Shape:
        (N, in_features) to (N, out_features).

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
        """Change of the features, (N, out_features)."""
        if hasattr(self, "layer_norm"):
            prediction = self.layer_norm(prediction)
        return self.layers(prediction)


def refine_features(features: Tensor, location: Tensor, category: Tensor) -> Tensor:
    """Features of the next iteration: ``features * location + category``.

    Args:
        features: (N, D, H, W) RoI features.
        location: (N, H * W) feedback of the box regression, one factor per position.
        category: (N, D) feedback of the classifier, one term per channel.

    Returns:
        (N, D, H, W); nothing is detached.

    Example:
        >>> import torch
        >>> refined = refine_features(torch.ones(1, 2, 1, 1), torch.ones(1, 1), torch.ones(1, 2))
        >>> refined.flatten().tolist()
        [2.0, 2.0]
    """
    n, channels, height, width = features.shape
    return features * location.view(n, 1, height, width) + category.view(n, channels, 1, 1)


def weighted_sum(values: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Sum of one loss term over the iterations of refinement, each with its weight.

    Example:
        >>> import torch
        >>> weighted_sum([torch.tensor(1.0), torch.tensor(2.0)], [0.5, 0.25])
        tensor(1.)
    """
    return sum(weight * value for weight, value in zip(weights, values, strict=True))
