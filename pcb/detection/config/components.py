"""The types that a config may name, and the arguments that each of them takes."""

import inspect
import re
import sys
from collections.abc import Mapping
from typing import Any

import mmcv.ops
from mmcv.utils import Registry

# The signatures in these libraries tell every argument. A type of the user's may read anything.
_LIBRARIES = ("mmcv", "mmdet", "torch", "torchvision", "pcb")
_FREE_CLASSES = ("BaseTransformerLayer", "DeformableDETR")  # they accept any argument
# Types that a config leaves out, by dotted key.
_IMPLIED = {"checkpoint_config": "CheckpointHook", "optimizer_config": "OptimizerHook"}


def type_name(node: Mapping[str, Any], path: str = "") -> Any:
    """The registered type that a dictionary configures, even if it has no ``type``.

    Args:
        node: the dictionary.
        path: its dotted key.

    Example:
        >>> type_name({"policy": "step"}, "lr_config")
        'StepLrUpdaterHook'
    """
    if "policy" in node and path in ("", "lr_config", "momentum_config"):
        policy = str(node["policy"])
        kind = "MomentumUpdaterHook" if path == "momentum_config" else "LrUpdaterHook"
        return f"{policy.title() if policy.islower() else policy}{kind}"
    return node.get("type", _IMPLIED.get(path))


def known_components() -> dict[str, dict[Any, str]]:
    """Every registered type by its name, with the name of its registry, and mmcv's operations.

    The registries are found by searching all loaded modules, so those of other libraries and of the
    user's own code count.
    """
    registries = {
        id(value): value
        for module in list(sys.modules.values())
        for value in list((getattr(module, "__dict__", None) or {}).values())
        # Not `isinstance`, which asks lazy objects for their class and triggers deprecations.
        if issubclass(type(value), Registry)
    }
    found: dict[str, dict[Any, str]] = {}
    for registry in registries.values():
        for name, component in registry.module_dict.items():
            for full_name in (name, f"{registry.scope}.{name}"):
                found.setdefault(full_name, {})[component] = registry.name
    for name, operation in vars(mmcv.ops).items():  # roi_layer and nms name them
        if callable(operation):
            found.setdefault(name, {})[operation] = "operation"
    return found


def is_users_own(component: Any) -> bool:
    """Whether a type comes from the user's code rather than from a library with full signatures."""
    return getattr(component, "__module__", "").split(".")[0] not in _LIBRARIES


def argument_names(component: Any) -> set[str] | None:
    """Names of a type's arguments, including those of its bases; None if it accepts any.

    Example:
        >>> sorted(argument_names(lambda low, high=1: None))
        ['high', 'low']
    """
    names: set[str] = set()
    classes = inspect.getmro(component) if inspect.isclass(component) else [component]
    if any(cls.__name__ in _FREE_CLASSES for cls in classes):
        return None
    for cls in classes:
        init = vars(cls).get("__init__") if inspect.isclass(cls) else cls
        if init is None or init is object.__init__:
            continue
        try:
            parameters = inspect.signature(init).parameters.values()
        except (TypeError, ValueError):  # written in C
            return None
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        forwards = any(p.kind is p.VAR_KEYWORD for p in parameters)
        if forwards and is_users_own(cls):
            return None  # it may read any name from its keywords
        if forwards:
            names |= _names_read_from_keywords(init)
        elif len(getattr(component, "__bases__", ())) <= 1:
            break  # without **kwargs, the base classes receive no further names
    return names - {"self"}


def _names_read_from_keywords(init: Any) -> set[str]:
    """Names that a function reads from its ``**kwargs`` by hand."""
    try:
        source = inspect.getsource(init)
    except (OSError, TypeError):
        return set()
    return set(re.findall(r"kwargs(?:\.(?:pop|get)\(\s*|\[)['\"](\w+)", source))
