"""In which settings two runs differ, and which of these are PCB's own."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

# What PCB sets: of the RoI head (the refinement), of its loss, and what configs take it from.
_REFINEMENT: tuple[str, ...] = (
    "type",
    "n_iter",
    "mlp_layers",
    "iter_loss_weight",
    "reg_iter",
    "box_reg_iter",
)
_REFINEMENT += ("use_layer_norm", "identity_init")
_BALANCE = ("alpha", "alpha_pcb", "momentum", "start_epoch", "n_iter", "required_classes")
_RECIPE = "pcb"


def without_pcb(config: Mapping[str, Any]) -> dict[str, Any]:
    """A merged config without what PCB sets: the balance, the refinement, the recipe of both.

    Example:
        >>> loss = {"type": "EQLv2PCBLoss", "alpha": 4.0, "alpha_pcb": 0.2, "momentum": 0.99}
        >>> head = {"type": "IterativeRoIHead", "n_iter": 3, "bbox_head": {"loss_cls": loss}}
        >>> without_pcb({"model": {"roi_head": head}, "pcb": {}})
        {'model': {'roi_head': {'bbox_head': {'loss_cls': {'type': 'EQLv2PCBLoss', 'alpha': 4.0}}}}}
    """
    config = {key: deepcopy(value) for key, value in config.items() if key != _RECIPE}
    head = config.get("model", {}).get("roi_head", {})
    loss = head.get("bbox_head", {}).get("loss_cls", {})
    own = {"alpha"} if str(loss.get("type")).startswith("EQLv2") else set()  # EQL v2's, not PCB's
    for settings, names in ((head, _REFINEMENT), (loss, set(_BALANCE) - own)):
        for name in names:
            settings.pop(name, None)
    return config


def differing_settings(ours: Any, theirs: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Settings in which two merged configs differ, by dotted key: (ours, theirs).

    A dict that is of another ``type``, and a list, is one setting. A missing one is None.

    Example:
        >>> theirs = {"optimizer": {"type": "SGD", "lr": 0.01}, "runner": {"max_epochs": 5}}
        >>> ours = {**theirs, "optimizer": {"type": "SGD", "lr": 0.02}}
        >>> differing_settings(ours, theirs)
        {'optimizer.lr': (0.02, 0.01)}
    """
    if ours == theirs:
        return {}
    both = isinstance(ours, Mapping) and isinstance(theirs, Mapping)
    if not both or ours.get("type") != theirs.get("type"):
        return {prefix: (ours, theirs)}
    found: dict[str, tuple[Any, Any]] = {}
    for key in dict.fromkeys([*theirs, *ours]):
        dotted = f"{prefix}.{key}" if prefix else str(key)
        found |= differing_settings(ours.get(key), theirs.get(key), dotted)
    return found
