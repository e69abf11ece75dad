"""The settings in which two runs differ, and which of them are PCB's own."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

# The arguments that PCB adds: to the RoI head, to the loss besides its strength, and the top-level
# key from which configs take both. A test compares them with the signatures in `pcb.detection`.
REFINEMENT = (
    *("n_iter", "mlp_layers", "iter_loss_weight", "reg_iter", "box_reg_iter"),
    *("use_layer_norm", "identity_init"),
)
BALANCE = ("momentum", "start_epoch", "n_iter", "required_classes")
RECIPE = "pcb"

# Besides the config, these decide how a training ends. Earlier versions did not record all of them.
_CONDITIONS = ("seed", "processes", "threads", "cpu_capability")


def strength_argument(loss: Mapping[str, Any]) -> str:
    """Return the name of the argument of a loss that is PCB's strength.

    Example:
        >>> [strength_argument({"type": name}) for name in ("SeesawPCBLoss", "EQLv2PCBLoss")]
        ['alpha', 'alpha_pcb']
    """
    is_eqlv2 = str(loss.get("type")).startswith("EQLv2")  # which has another `alpha` of its own
    return "alpha_pcb" if is_eqlv2 else "alpha"


def loss_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the classification loss of a merged config; {} if it has none."""
    return config.get("model", {}).get("roi_head", {}).get("bbox_head", {}).get("loss_cls", {})


def without_pcb(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a merged config without the balance, the refinement and the recipe of both.

    Example:
        >>> loss = {"type": "EQLv2PCBLoss", "alpha": 4.0, "alpha_pcb": 0.2, "momentum": 0.99}
        >>> head = {"type": "IterativeRoIHead", "n_iter": 3, "bbox_head": {"loss_cls": loss}}
        >>> without_pcb({"model": {"roi_head": head}, "pcb": {}})
        {'model': {'roi_head': {'bbox_head': {'loss_cls': {'type': 'EQLv2PCBLoss', 'alpha': 4.0}}}}}
    """
    config = {key: deepcopy(value) for key, value in config.items() if key != RECIPE}
    head, loss = config.get("model", {}).get("roi_head", {}), loss_settings(config)
    balance = (*BALANCE, strength_argument(loss))
    for settings, names in ((head, ("type", *REFINEMENT)), (loss, balance)):
        for name in names:
            settings.pop(name, None)
    return config


def differing_settings(ours: Any, theirs: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Return the settings in which two merged configs differ, by dotted key: (ours, theirs).

    A list is one setting, and so is a dictionary if the ``type`` differs. A missing setting is
    None.

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


def other_settings(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Dotted names of the settings in which two trainings differ; empty if they are the same.

    A training is described by its merged config, whose data paths are absolute, and by ``seed``,
    ``processes``, ``threads`` and ``cpu_capability`` beside it. If one of the two does not record
    one of these four, it counts as equal. Tuples equal lists, because JSON cannot tell them apart.

    Example:
        >>> ours = {"runner": {"max_epochs": 5}, "seed": 0, "processes": 2}
        >>> other_settings(ours, {"runner": {"max_epochs": 9}, "seed": 1, "processes": None})
        ['runner.max_epochs', 'seed']
    """
    found = differing_settings(plain(ours), plain(theirs))
    unknown = {name for name in _CONDITIONS if None in found.get(name, ())}
    return sorted(found.keys() - unknown)


def plain(value: Any) -> Any:
    """A setting as JSON can hold it, such that equal settings stay equal.

    Example:
        >>> plain({"steps": (16, 19), "names": {"b", "a"}})
        {'steps': [16, 19], 'names': ['a', 'b']}
    """
    match value:
        case Mapping():
            return {str(key): plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case set():
            return sorted(map(plain, value), key=repr)
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)
