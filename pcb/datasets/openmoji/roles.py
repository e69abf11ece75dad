"""Roles of the classes of OpenMoji-LT."""

from collections.abc import Mapping
from typing import Any

# Roles that a class of OpenMoji-LT can have; PCB promises most to the first.
ROLES = (
    "tail of a head-tail pair",
    "head of a head-tail pair",
    "in a tail-tail pair",
    "in a head-head pair",
    "singleton",
)


def class_roles(design: Mapping[str, Any]) -> list[str]:
    """Role of each class of OpenMoji-LT, one of ``ROLES``, from its ``design.json``.

    Example:
        >>> class_roles({"pairs": [{"kind": "head-tail"}], "classes": [
        ...     {"role": "tail", "pair": 0}, {"role": "singleton", "pair": None}]})
        ['tail of a head-tail pair', 'singleton']
    """
    roles = []
    for entry in design["classes"]:
        kind = None if entry["pair"] is None else design["pairs"][entry["pair"]]["kind"]
        if kind is None:
            roles.append("singleton")
        elif kind == "head-tail":
            roles.append(f"{entry['role']} of a head-tail pair")
        else:
            roles.append(f"in a {kind} pair")
    return roles
