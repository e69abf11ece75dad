"""Find the settings in which two training runs differ, and remove PCB's settings from a config."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

# REFINEMENT: arguments that PCB adds to the RoI head. BALANCE: arguments that PCB adds to the loss,
# besides the strength. RECIPE: top-level key under which a config defines the values of these
# arguments. A test compares the arguments with the signatures in `pcb.detection`.
REFINEMENT = (
    *("n_iter", "mlp_layers", "iter_loss_weight", "reg_iter", "box_reg_iter"),
    *("use_layer_norm", "identity_init"),
)
BALANCE = ("momentum", "start_epoch", "n_iter", "required_classes")
RECIPE = "pcb"

# Settings of a config that do not change the result of training.
_WITHOUT_EFFECT = ("evaluation",)

# Settings outside the config that can change the result of training. Earlier versions of the kit
# did not record all of these settings.
_CONDITIONS = ("seed", "processes", "threads", "cpu_capability")


def strength_argument(loss: Mapping[str, Any]) -> str:
    """Return the name of the loss argument that sets PCB's strength.

    Example:
        >>> [strength_argument({"type": name}) for name in ("SeesawPCBLoss", "EQLv2PCBLoss")]
        ['alpha', 'alpha_pcb']
    """
    # EQL v2 already has an `alpha` with a different meaning.
    is_eqlv2 = str(loss.get("type")).startswith("EQLv2")
    return "alpha_pcb" if is_eqlv2 else "alpha"


def loss_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a merged config's classification loss; {} if there is no such loss."""
    return config.get("model", {}).get("roi_head", {}).get("bbox_head", {}).get("loss_cls", {})


def without_pcb(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a merged config without the settings that belong to PCB.

    These settings are the ``pcb`` key, the type of the RoI head, and the arguments that PCB adds to
    the loss and to the RoI head.

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
    """Return the settings in which two merged configs differ.

    The top-level setting ``evaluation`` is left out, because it does not change what is trained.
    A list counts as a single setting. A dictionary also counts as a single setting if its ``type``
    differs between the two configs.

    Args:
        ours: The first config.
        theirs: The second config.
        prefix: Dotted key to put before each returned key. For example, pass ``"model"`` to compare
            the ``model`` sections of two configs.

    Returns:
        A dictionary that maps the dotted key of each differing setting to a pair: the value in
        ``ours``, then the value in ``theirs``. A value is None if the setting is missing.

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
        if dotted in _WITHOUT_EFFECT:
            continue
        found |= differing_settings(ours.get(key), theirs.get(key), dotted)
    return found


def other_settings(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Return the dotted keys of the settings in which two training runs differ.

    Each argument is a run's merged config with four additional keys: ``seed``, ``processes``,
    ``threads`` and ``cpu_capability``. Each of these four settings is compared only if both runs
    recorded it. Data paths must be absolute. A tuple counts as equal to a list with the same
    entries.

    Example:
        >>> ours = {"runner": {"max_epochs": 5}, "seed": 0, "processes": 2}
        >>> other_settings(ours, {"runner": {"max_epochs": 9}, "seed": 1, "processes": None})
        ['runner.max_epochs', 'seed']
    """
    found = differing_settings(plain(ours), plain(theirs))
    unknown = {name for name in _CONDITIONS if None in found.get(name, ())}
    return sorted(found.keys() - unknown)


def plain(value: Any) -> Any:
    """Convert a setting to types that JSON supports. Sets become sorted lists.

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
