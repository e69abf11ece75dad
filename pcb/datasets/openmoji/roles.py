"""The role of each OpenMoji-LT class in its pair of look-alike classes."""

from collections.abc import Mapping
from typing import Any

# All roles. Pairwise Class Balance should improve classes in the first role most.
ROLES = (
    "tail of a head-tail pair",
    "head of a head-tail pair",
    "in a tail-tail pair",
    "in a head-head pair",
    "singleton",
)


def class_roles(design: Mapping[str, Any]) -> list[str]:
    """Return the role of each class in its pair of look-alike classes, as a list in label order.

    Args:
        design: The result of :func:`pcb.datasets.openmoji.read_design`.

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
