"""Check config overrides, and apply the valid ones."""

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmcv.utils import Config

from pcb.detection.config.components import known_components
from pcb.detection.config.keys import TOP_LEVEL, Schema
from pcb.messages.nearest import nearest_names


def apply_overrides(cfg: Config, cfg_options: Mapping[str, Any]) -> list[str]:
    """Apply all valid overrides to a config, and return an error message for each invalid one.

    Args:
        cfg: The merged config. It is changed in place.
        cfg_options: A dict from dotted keys to new values, such as ``{"runner.max_epochs": 12}``.
    """
    if not cfg_options:
        return []
    components = known_components()
    faults = []
    for key, value in cfg_options.items():
        try:
            overridden = check_override(cfg._cfg_dict, key, value, components)
        except ValueError as error:
            faults.append(str(error))
            continue
        # Merge a copy, because mmcv removes the key _delete_ from the value.
        cfg.merge_from_dict({key: _over_none(overridden, copy.deepcopy(value))})
    return faults


def _over_none(node: Any, value: Any) -> Any:
    """Return ``value`` in a form that mmcv can merge into ``node``.

    If a dict replaces None, mmcv requires the entry ``"_delete_": True`` in the dict.
    """
    if isinstance(value, Mapping) and node is None:
        return {**value, "_delete_": True}
    if isinstance(value, Mapping) and isinstance(node, Mapping):
        return {key: _over_none(node.get(key, {}), inner) for key, inner in value.items()}
    return value


def check_override(
    cfg: Mapping[str, Any],
    key: str,
    value: Any = None,
    components: dict[str, dict[Any, str]] | None = None,
) -> Any:
    """Check that an override has a known key and a value of the right type.

    If the override merges a dictionary into an existing dictionary, the new keys are checked too.

    Args:
        cfg: The merged config.
        key: The dotted key, such as ``"runner.max_epochs"``.
        value: The new value.
        components: The result of :func:`known_components`. If None, it is computed.

    Returns:
        The current value of the setting, or an empty dictionary if the config does not set it.

    Raises:
        ValueError: The key is unknown, or the new value has the wrong type.
        ValueError: The override would have no effect, because the config files have already used
            the old value.

    Example:
        >>> check_override({"runner": {"max_epochs": 9}}, "runner.epoch")
        Traceback (most recent call last):
        ValueError: cfg_options key 'runner.epoch' is unknown: the config has no runner.epoch; did
        you mean runner.max_epochs?
    """
    if not isinstance(key, str):
        raise ValueError(f"cfg_options key {key!r} must be a string, such as 'runner.max_epochs'")
    parts = key.split(".")
    if parts[0] == "custom_imports":
        raise ValueError(
            f"cfg_options key {key!r} has no effect, because the config file imports its modules "
            "before overrides are applied. Set custom_imports in the config file"
        )
    if parts[0] in cfg and parts[0] not in TOP_LEVEL:
        raise ValueError(
            f"cfg_options key {key!r} has no effect, because the config files have already used "
            f"the variable {parts[0]}. Instead, override the settings that depend on {parts[0]}"
        )
    schema = Schema(cfg, components)
    node = _find(cfg, key, schema)
    _check_value(key, node, value)
    if isinstance(node, Mapping) and isinstance(value, Mapping) and "_delete_" not in value:
        for inner in value:
            check_override(cfg, f"{key}.{inner}", value[inner], schema.components)
    return node


def _find(cfg: Mapping[str, Any], key: str, schema: Schema) -> Any:
    """Return the value of a dotted key; {} if the key is valid but the config does not set it."""
    node: Any = cfg
    parts = key.split(".")
    for depth, part in enumerate(parts):
        here = ".".join(parts[:depth])
        if isinstance(node, list | tuple):
            if not part.isdigit() or int(part) >= len(node):
                raise ValueError(
                    f"cfg_options key {key!r} is invalid, because {part!r} is not an index of the "
                    f"list {here!r}. Use a whole number less than {len(node)}, the list's length"
                )
            node = node[int(part)]
        elif isinstance(node, Mapping):
            valid = set(node) | (schema.valid_keys(node, here) or set() if here else TOP_LEVEL)
            if part not in valid and (valid or not here):
                prefix, name = f"{here}." if here else "", ".".join(parts[: depth + 1])
                deeper = [path for path in _paths(node) if path.endswith(f".{part}")]
                near = deeper or nearest_names(part, valid)
                hint = f"; did you mean {prefix}{min(near, key=len)}?" if near else ""
                raise ValueError(
                    f"cfg_options key {key!r} is unknown: the config has no {name}{hint}"
                )
            node = node.get(part, {})
        else:
            raise ValueError(
                f"cfg_options key {key!r} is invalid, because the value of {here!r} is {node!r}, "
                f"not a dictionary. Override {here!r} itself"
            )
    return node


def _check_value(key: str, node: Any, value: Any) -> None:
    """Reject a new value whose type differs from the type of the current value."""
    if isinstance(node, int | float) and isinstance(value, str):
        hint = ""
        if re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
            hint = ". YAML requires a decimal point and a sign, as in 1.0e-3"
        raise ValueError(
            f"the value of cfg_options key {key!r} must be a number, got {value!r}{hint}"
        )
    if isinstance(node, Mapping) and node and not isinstance(value, Mapping | None):
        raise ValueError(
            f"cfg_options key {key!r} refers to a dictionary (keys: {', '.join(map(str, node))}), "
            f"but the new value is {value!r}. Pass a dictionary, or override a single key, such as "
            f"{key}.{next(iter(node))}"
        )
    if isinstance(node, list | tuple) and isinstance(value, Mapping):
        for number in value:  # mmcv merges such a dictionary entry by entry
            if not str(number).isdecimal() or int(number) >= len(node):
                raise ValueError(
                    f"cfg_options key {key!r} refers to a list of length {len(node)}, but "
                    f"{number!r} in {value!r} is not an index of this list. Pass a list, or a "
                    "dictionary from indices to new entries"
                )


def _paths(node: Mapping, prefix: str = "") -> Iterator[str]:
    """Yield the dotted key of every entry in nested dictionaries."""
    for key, value in node.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _paths(value, f"{prefix}{key}.")
