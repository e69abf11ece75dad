"""Overrides of a config by dotted key: each must change a setting that exists."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pcb.detection.config.keys import TOP_LEVEL, Schema
from pcb.messages.nearest import nearest_names


def check_override(cfg: Mapping[str, Any], key: str, value: Any = None) -> Any:
    """Check that an override's dotted key exists or is a known argument.

    If the override merges a dictionary into another one, the keys of that dictionary are checked
    too.

    Args:
        cfg: the merged config.
        key: the dotted key, such as ``"runner.max_epochs"``.
        value: the new value.

    Returns:
        The value that the override changes; an empty dictionary if the config does not set it.

    Raises:
        ValueError: the key is unknown (the message names the nearest valid one), comes too late to
            have an effect, or does not fit the value.

    Example:
        >>> check_override({"runner": {"max_epochs": 9}}, "runner.epoch")
        Traceback (most recent call last):
        ValueError: cfg_options key 'runner.epoch' is unknown: the config has no runner.epoch; did
        you mean runner.max_epochs?
    """
    if not isinstance(key, str):
        raise ValueError(f"cfg_options key {key!r} must be text, such as 'runner.max_epochs'")
    parts = key.split(".")
    if parts[0] == "custom_imports":
        raise ValueError(
            f"cfg_options key {key!r}: the modules are imported while the config file is read, "
            "before overrides apply: set custom_imports in the file"
        )
    if parts[0] in cfg and parts[0] not in TOP_LEVEL:
        raise ValueError(
            f"cfg_options key {key!r}: {parts[0]} is a variable that the config files have already "
            "used: set the settings that are built from it"
        )
    node = _find(cfg, key)
    _check_value(key, node, value)
    if isinstance(node, Mapping) and isinstance(value, Mapping) and "_delete_" not in value:
        for inner in value:
            check_override(cfg, f"{key}.{inner}", value[inner])
    return node


def _find(cfg: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key; an empty dictionary for a known argument that is not set."""
    schema = Schema(cfg)
    node: Any = cfg
    parts = key.split(".")
    for depth, part in enumerate(parts):
        here = ".".join(parts[:depth])
        if isinstance(node, list | tuple):
            if not part.isdigit() or int(part) >= len(node):
                raise ValueError(
                    f"cfg_options key {key!r}: {here!r} is a list of {len(node)} entries, "
                    f"so {part!r} must be a number below {len(node)}"
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
            raise ValueError(f"cfg_options key {key!r}: {here!r} is {node!r} and has no parts")
    return node


def _check_value(key: str, node: Any, value: Any) -> None:
    """Refuse a new value of another kind than the one that it replaces."""
    if isinstance(node, int | float) and isinstance(value, str):
        hint = ""
        if re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
            hint = ", which is text in YAML: write it as 1.0e-3, with a dot and a sign"
        raise ValueError(f"cfg_options key {key!r} must be a number, got {value!r}{hint}")
    if isinstance(node, Mapping) and node and not isinstance(value, Mapping | None):
        raise ValueError(
            f"cfg_options key {key!r} has parts ({', '.join(map(str, node))}): give one of them, "
            f"as {key}.{next(iter(node))}, or a dictionary; got {value!r}"
        )
    if isinstance(node, list | tuple) and isinstance(value, Mapping):
        for number in value:  # mmcv merges such a dictionary entry by entry
            if not str(number).isdecimal() or int(number) >= len(node):
                raise ValueError(
                    f"cfg_options key {key!r} is a list of {len(node)} entries: give a list, or a "
                    f"dictionary with numbers of entries as keys; got {value!r}"
                )


def _paths(node: Mapping, prefix: str = "") -> Iterator[str]:
    """Dotted keys of everything inside nested dictionaries."""
    for key, value in node.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _paths(value, f"{prefix}{key}.")
