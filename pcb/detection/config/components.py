"""Find the classes and functions that a config may use, and the names of their arguments."""

import inspect
import re
import sys
from collections.abc import Mapping
from typing import Any

import mmcv.ops
from mmcv.utils import Registry

# Signatures in these libraries list every argument. Other types may read further arguments.
_LIBRARIES = ("mmcv", "mmdet", "torch", "torchvision", "pcb")
_FREE_CLASSES = ("BaseTransformerLayer", "DeformableDETR")  # these classes accept any argument
# The types of dictionaries that have no "type" key, by the dotted key of the dictionary.
_IMPLIED = {"checkpoint_config": "CheckpointHook", "optimizer_config": "OptimizerHook"}


# Ends of the names of the hooks that a `policy` at a place in the config refers to.
POLICY_SUFFIXES = {"lr_config": "LrUpdaterHook", "momentum_config": "MomentumUpdaterHook"}


def type_name(node: Mapping[str, Any], path: str = "") -> Any:
    """Return the name of the class or function that a dictionary in a config refers to.

    If the dictionary has no key ``type``, its key ``policy`` or its place in the config determines
    the name.

    Args:
        node: The dictionary.
        path: The dotted key of the dictionary.

    Example:
        >>> type_name({"policy": "step"}, "lr_config")
        'StepLrUpdaterHook'
    """
    if "policy" in node and path in POLICY_SUFFIXES:
        policy = str(node["policy"])
        return f"{policy.title() if policy.islower() else policy}{POLICY_SUFFIXES[path]}"
    return node.get("type", _IMPLIED.get(path))


def policy_of(name: str, path: str) -> str:
    """Return the value of ``policy`` that refers to a hook; "" if the hook is none of a policy.

    Example:
        >>> policy_of("StepLrUpdaterHook", "lr_config"), policy_of("EMAHook", "lr_config")
        ('step', '')
    """
    suffix = POLICY_SUFFIXES[path]
    policy = name.removesuffix(suffix) if name.endswith(suffix) else ""
    return policy.lower() if policy.lower().title() == policy else policy


def known_components() -> dict[str, dict[Any, str]]:
    """Return all classes and functions to which a config can refer by name.

    These are the operations in ``mmcv.ops`` and the entries of all mmcv registries, including
    registries in the user's code.

    Returns:
        ``{name: {class_or_function: registry_name}}``. For an operation in ``mmcv.ops``, the
        registry name is ``"operation"``. Several classes or functions can have the same name.
    """
    registries = {
        id(value): value
        for module in list(sys.modules.values())
        for value in list((getattr(module, "__dict__", None) or {}).values())
        # `isinstance` would ask lazy objects for their class and trigger deprecation warnings.
        if issubclass(type(value), Registry)
    }
    found: dict[str, dict[Any, str]] = {}
    for registry in registries.values():
        for name, component in registry.module_dict.items():
            for full_name in (name, f"{registry.scope}.{name}"):
                found.setdefault(full_name, {})[component] = registry.name
    for name, operation in vars(mmcv.ops).items():  # used as the type of roi_layer and nms
        if callable(operation):
            found.setdefault(name, {})[operation] = "operation"
    return found


def is_users_own(component: Any) -> bool:
    """Return whether a class or function belongs to the user's code.

    The code of pcb, mmcv, mmdet, torch and torchvision is not the user's code.
    """
    return getattr(component, "__module__", "").split(".")[0] not in _LIBRARIES


def argument_names(component: Any) -> set[str] | None:
    """Return the argument names that a class or function accepts, or None if it accepts any name.

    The names include arguments that a class passes on to its base classes.

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
            return None  # the user's code may read any name from **kwargs
        if forwards:
            names |= _names_read_from_keywords(init)
        elif len(getattr(component, "__bases__", ())) <= 1:
            break  # without **kwargs, no further names reach the base classes
    return names - {"self"}


def _names_read_from_keywords(init: Any) -> set[str]:
    """Return the names of the arguments that a function reads from its ``**kwargs``."""
    try:
        source = inspect.getsource(init)
    except (OSError, TypeError):
        return set()
    return set(re.findall(r"kwargs(?:\.(?:pop|get)\(\s*|\[)['\"](\w+)", source))
