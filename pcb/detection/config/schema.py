"""Which keys a config may have: arguments of its types, and what is read of plain dictionaries.

A key that nothing reads is a mistake, in a config file as in an override: without this check the
training runs with the default instead.
"""

import ast
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import mmcv.ops
from mmcv.utils import Registry
from mmdet.models.detectors import TwoStageDetector

from pcb.messages.nearest import nearest_names, suggestion

# What builders take out of a dictionary before its type gets the rest.
_TAKEN_BY_BUILDERS = {
    "hook": {"priority"},
    "optimizer": {"constructor", "paramwise_cfg"},
    "dataset": {"separate_eval"},
    "norm layer": {"requires_grad"},
    "conv layer": {"fallback_on_stride"},
    "initializer": {"override", "name"},
    "models": {"bg_cls_weight"},  # of a loss, which DETR's head takes out of it
}
# Of wrappers, mmdet's builder passes on these alone, whatever their signatures have.
_WRAPPERS = {
    "ConcatDataset": {"datasets", "separate_eval"},
    "RepeatDataset": {"dataset", "times"},
    "ClassBalancedDataset": {"dataset", "oversample_thr"},
}
# mmcv's `batched_nms` reads these before the operation does.
_NMS = {"class_agnostic", "split_thr", "max_num"}
_LIBRARIES = ("mmcv", "mmdet", "torch", "torchvision", "pcb")
# Dictionaries by their key whose types are no registered ones, or which are read in other ways.
_FREE_TYPES = re.compile(r"adapt_cfg|bbox_params|\w+_trans")
_FREE_KEYS = {"upsample_cfg", "dcn"}
_FREE_CLASSES = ("BaseTransformerLayer", "DeformableDETR")

_LOADER = {"samples_per_gpu", "workers_per_gpu", "persistent_workers", "shuffle"}
_ONE_STAGE = {"assigner", "sampler", "allowed_border", "pos_weight", "debug"}
_PROPOSALS = {"nms_pre", "max_per_img", "nms", "min_bbox_size", "score_thr"}
_PROPOSALS |= {"nms_across_levels", "nms_post", "max_num", "nms_thr"}  # mmdet's own: deprecated
# Of dictionaries without a type, by dotted key; those that are not here may hold anything.
_PLAIN: dict[str, set[str]] = {
    "data": {"samples_per_gpu", "workers_per_gpu", "persistent_workers", "shuffle"}
    | {"train", "val", "test", "train_dataloader", "val_dataloader", "test_dataloader"},
    **{f"data.{split}_dataloader": _LOADER for split in ("train", "val", "test")},
    "runner": {"type", "max_epochs", "max_iters"},
    "log_config": {"interval", "hooks"},
    "fp16": {"loss_scale", "patience"},
    "optimizer.paramwise_cfg": {"custom_keys", "bypass_duplicate", "bias_lr_mult"}
    | {"bias_decay_mult", "norm_decay_mult", "dwconv_decay_mult", "dcn_offset_lr_mult"},
    "optimizer_config.grad_clip": {"max_norm", "norm_type", "error_if_nonfinite", "foreach"},
    "custom_imports": {"imports", "allow_failed_imports"},
    "dist_params": {"backend", "port"},
    "auto_scale_lr": {"enable", "base_batch_size"},
}
# Of mmdet's constructors by layers; a constructor of the user's may read anything.
_BY_LAYERS = {"num_layers", "decay_rate", "decay_type"}
_OF_LAYERS = ("LearningRateDecayOptimizerConstructor", "LayerDecayOptimizerConstructor")
_CUSTOM_KEYS = "optimizer.paramwise_cfg.custom_keys."  # one dictionary for each part of the model
# Of dictionaries whose type is not written down, by dotted key.
_IMPLIED = {"checkpoint_config": "CheckpointHook", "optimizer_config": "OptimizerHook"}
# Of two-stage detectors: what mmdet 2.28 reads, which are plain dictionaries.
_TWO_STAGE: dict[str, set[str]] = {
    "model.train_cfg": {"rpn", "rpn_proposal", "rcnn"},
    "model.test_cfg": {"rpn", "rcnn", "panoptic"},
    "model.train_cfg.rpn": _ONE_STAGE
    | {"center_ratio", "ignore_ratio", "ga_assigner", "ga_sampler"},
    "model.train_cfg.rpn_proposal": _PROPOSALS,
    "model.train_cfg.rcnn": _ONE_STAGE
    | {"mask_size", "mask_thr_binary"}
    | {"num_points", "oversample_ratio", "importance_sample_ratio"}  # PointRend
    | {"pos_radius", "max_num_grid", "dynamic_rcnn", "carl", "isr"},
    "model.test_cfg.rpn": _PROPOSALS,
    "model.test_cfg.rcnn": {"score_thr", "nms", "max_per_img", "mask_thr_binary"}
    | {"subdivision_steps", "subdivision_num_points", "scale_factor"},  # PointRend
}


def unknown_keys(cfg: Mapping[str, Any]) -> list[str]:
    """What in a merged config nothing reads, each as a sentence with the nearest valid name.

    Top-level keys are left to :mod:`pcb.detection.config.faults`: some of them are variables.

    Example:
        >>> unknown_keys({"runner": {"type": "EpochBasedRunner", "max_epoch": 1}})
        ["runner.max_epoch is read by nothing: did you mean 'max_epochs'?"]
    """
    return list(_Check(cfg).faults())


class _Check:
    """One pass over a config.

    Args:
        cfg: the whole config.
    """

    def __init__(self, cfg: Mapping[str, Any]) -> None:
        self.cfg = cfg
        self.known = _components()
        self.plain = _PLAIN | (_TWO_STAGE if self._is_two_stage_of_mmdet() else {})
        optimizer = cfg.get("optimizer")
        constructor = optimizer.get("constructor") if isinstance(optimizer, Mapping) else None
        self.by_parts = constructor in (None, "DefaultOptimizerConstructor")
        if constructor in _OF_LAYERS:
            self.plain["optimizer.paramwise_cfg"] = _BY_LAYERS
        elif not self.by_parts:
            del self.plain["optimizer.paramwise_cfg"]

    def faults(self) -> Iterator[str]:
        for key, value in self.cfg.items():
            if key in TOP_LEVEL:  # variables come to be part of what is built of them
                yield from self._of(value, str(key))

    def _of(self, node: Any, path: str, in_own: bool = False) -> Iterator[str]:
        """Args: ``in_own``: inside a type of the user's, which may read what it wants."""
        if isinstance(node, list | tuple):
            for number, inner in enumerate(node):
                yield from self._of(inner, f"{path}.{number}", in_own)
        if not isinstance(node, Mapping):
            return
        name = type_name(node, path)
        last = path.rpartition(".")[2]
        components = self.known.get(name, {}) if isinstance(name, str) else {}
        if isinstance(name, str) and not (components or in_own or _FREE_TYPES.fullmatch(last)):
            named = f"policy {node['policy']!r}" if "policy" in node else f"type {name!r}"
            near = nearest_names(name, (known for known in self.known if "." not in known))
            hint = suggestion(name, near) if near else "nor is one in what custom_imports names"
            yield f"{path}: mmdet has no {named}, {hint}"
        in_own = in_own or any(map(_is_own, components))
        valid = self.valid(node, path)
        for key, inner in node.items():
            dotted = f"{path}.{key}"
            if valid is not None and key not in valid:
                yield f"{dotted} is read by nothing: {suggestion(str(key), sorted(valid))}"
            elif not (name == "Albu" and key == "transforms"):  # of another library
                yield from self._of(inner, dotted, in_own)

    def valid(self, node: Mapping[str, Any], path: str) -> set[str] | None:
        """The keys that a dictionary may have; None if it may have any."""
        pattern = re.sub(r"(\.rcnn)\.\d+", r"\1", path)  # a list of stages, in cascades
        if pattern in self.plain:
            return self.plain[pattern]
        if self.by_parts and path.startswith(_CUSTOM_KEYS):
            return {"lr_mult", "decay_mult"}
        name, last = type_name(node, path), path.rpartition(".")[2]
        if not isinstance(name, str) or name not in self.known or last in _FREE_KEYS:
            return None
        if name in _WRAPPERS:
            return _WRAPPERS[name] | {"type"}
        found = [_arguments(component) for component in self.known[name]]
        if any(names is None for names in found):
            return None
        taken = {"type", "policy"} if "policy" in node else {"type"}
        for kind in self.known[name].values():
            taken |= _TAKEN_BY_BUILDERS.get(kind, set())
        if last == "nms":
            taken |= _NMS
        return taken.union(*filter(None, found))

    def _is_two_stage_of_mmdet(self) -> bool:
        """Whether the detector is mmdet's, with parts that are mmdet's or the kit's."""
        model = self.cfg.get("model")
        if not isinstance(model, Mapping):
            return False
        of_model = self.known.get(str(model.get("type")), {})
        types = {value for key, value in _leaves(model) if key == "type"}
        own = any(_is_own(c) for name in types for c in self.known.get(name, {}))
        return not own and any(
            inspect.isclass(c) and issubclass(c, TwoStageDetector) for c in of_model
        )


def check_option(cfg: Mapping[str, Any], key: str, value: Any = None) -> Any:
    """Raise a ValueError unless an override's dotted key exists or is a known argument.

    The keys of a value that is merged into a dictionary are checked likewise. Returns what the
    override changes, an empty dictionary where the config says nothing.
    """
    if not isinstance(key, str):
        raise ValueError(f"cfg_options key {key!r} must be text, such as 'runner.max_epochs'")
    check = _Check(cfg)
    node: Any = cfg
    parts = key.split(".")
    if parts[0] == "custom_imports":
        raise ValueError(
            f"cfg_options key {key!r}: modules are imported when the config file is read, which is "
            "before: set custom_imports in the file"
        )
    if parts[0] in cfg and parts[0] not in TOP_LEVEL:
        raise ValueError(
            f"cfg_options key {key!r}: {parts[0]} is a variable that the config files have used "
            "already: set what is built of it"
        )
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
            valid = set(node) | (check.valid(node, here) or set() if here else TOP_LEVEL)
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
        for number in value:  # as mmcv merges them, entry by entry
            if not str(number).isdecimal() or int(number) >= len(node):
                raise ValueError(
                    f"cfg_options key {key!r} is a list of {len(node)} entries: give a list, or "
                    f"dictionaries by their numbers; got {value!r}"
                )
    if isinstance(node, Mapping) and isinstance(value, Mapping) and "_delete_" not in value:
        for inner in value:
            check_option(cfg, f"{key}.{inner}", value[inner])
    return node


# What mmdet's own tools and this kit's read at the top of a config.
TOP_LEVEL = {
    *("model", "data", "optimizer", "optimizer_config", "lr_config", "momentum_config", "runner"),
    *("checkpoint_config", "log_config", "custom_hooks", "custom_imports", "fp16", "evaluation"),
    *("load_from", "resume_from", "auto_resume", "workflow", "dist_params", "log_level"),
    *("opencv_num_threads", "mp_start_method", "cudnn_benchmark", "find_unused_parameters"),
    *("auto_scale_lr", "gpu_ids", "gpus", "seed", "deterministic", "work_dir", "device"),
    *("total_epochs", "train_cfg", "test_cfg"),
}


def type_name(node: Mapping[str, Any], path: str = "") -> Any:
    """Registered type that a dictionary configures, also where it is not called ``type``."""
    if "policy" in node and path in ("", "lr_config", "momentum_config"):
        policy = str(node["policy"])
        kind = "MomentumUpdaterHook" if path == "momentum_config" else "LrUpdaterHook"
        return f"{policy.title() if policy.islower() else policy}{kind}"
    return node.get("type", _IMPLIED.get(path))


def names_read(text: str) -> set[str]:
    """Names that the config files in mmcv's joined text read: variables that others are built of.

    Args:
        text: ``Config.text``: of every file its path in a line, then its content.

    Example:
        >>> sorted(names_read("rate = 0.1\\noptimizer = dict(lr=rate, momentum={{_base_.m}})"))
        ['dict', 'm', 'rate']
    """
    return {name for _, tree in _files(text) for name in _read_in(tree)}


def set_in_vain(text: str) -> Iterator[tuple[str, str, str]]:
    """Variables that a file sets to something new after a base has already been built of them.

    mmcv runs every file by itself, the bases first, so that the new value reaches nothing but what
    the file, or one that inherits from it, builds of it.

    Args:
        text: see :func:`names_read`.

    Yields:
        Name, the file that sets it again, and the base.

    Example:
        >>> text = "/a.py\\nn = 1\\nrunner = dict(max_epochs=n)\\n/b.py\\nn = 2\\n"
        >>> list(set_in_vain(text))
        [('n', '/b.py', '/a.py')]
    """
    files = list(_files(text))
    for number, (file, tree) in enumerate(files):
        for name, value in _assigned_in(tree).items():
            if any(name in _read_in(later) for _, later in files[number:]):
                continue
            for base, earlier in files[:number]:
                old = _assigned_in(earlier).get(name)
                if old not in (None, value) and name in _read_in(earlier):
                    yield name, file, base
                    break


def _files(text: str) -> Iterator[tuple[str, ast.Module]]:
    """Path and program of every config file in mmcv's joined text, the bases first."""
    parts = ["", *re.split(r"^(/.*)$", text, flags=re.MULTILINE)]
    for path, source in zip(parts[::2], parts[1::2], strict=True):
        with suppress(SyntaxError, ValueError):  # YAML or JSON, which have no variables
            yield path, ast.parse(source)


def _read_in(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    changed = set()  # `x["key"] = 1` and `x.key = 1` read `x` only to change it
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            changed.add(id(node.value))
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            if id(node) not in changed:  # a parent is walked before its parts
                found.add(node.id)
        elif isinstance(node, ast.Attribute):  # {{_base_.name}}
            inner = node
            while isinstance(inner.value, ast.Attribute):
                inner = inner.value
            if isinstance(inner.value, ast.Name) and inner.value.id == "_base_":
                found.add(inner.attr)
    return found - {"_base_"}


def _assigned_in(tree: ast.Module) -> dict[str, str]:
    """The variables that a program sets at its top, with the last value of each as text."""
    return {
        target.id: ast.dump(statement.value)
        for statement in tree.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }


def _components() -> dict[str, dict[Any, str]]:
    """Every registered type by its name, with the name of its registry, and mmcv's operations.

    Registries are looked for in all modules: those of other libraries, and a user's own, count.
    """
    registries = {
        id(value): value
        for module in list(sys.modules.values())
        for value in list((getattr(module, "__dict__", None) or {}).values())
        if issubclass(type(value), Registry)  # `isinstance` wakes what is deprecated elsewhere
    }
    found: dict[str, dict[Any, str]] = {}
    for registry in registries.values():
        for name, component in registry.module_dict.items():
            for called in (name, f"{registry.scope}.{name}"):
                found.setdefault(called, {})[component] = registry.name
    for name, operation in vars(mmcv.ops).items():  # roi_layer and nms name them
        if callable(operation):
            found.setdefault(name, {})[operation] = "operation"
    return found


def _is_own(component: Any) -> bool:
    """Whether a type is not of the libraries whose signatures say everything."""
    return getattr(component, "__module__", "").split(".")[0] not in _LIBRARIES


def _arguments(component: Any) -> set[str] | None:
    """Names of a type's arguments, of base classes included; None if it may take any."""
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
        if forwards and _is_own(cls):
            return None  # it may take out of them what it wants
        if forwards:
            names |= _taken_from_keywords(init)
        elif len(getattr(component, "__bases__", ())) <= 1:
            break  # base classes get nothing that this one does not name
    return names - {"self"}


def _taken_from_keywords(init: Any) -> set[str]:
    """Names that a function takes out of its ``**kwargs`` by hand."""
    try:
        source = inspect.getsource(init)
    except (OSError, TypeError):
        return set()
    return set(re.findall(r"kwargs(?:\.(?:pop|get)\(\s*|\[)['\"](\w+)", source))


def _leaves(node: Any) -> Iterator[tuple[str, Any]]:
    """Key and value of everything inside nested dictionaries and lists that is neither."""
    inside: Iterable = node.items() if isinstance(node, Mapping) else (("", v) for v in node)
    for key, value in inside:
        if isinstance(value, Mapping | list | tuple):
            yield from _leaves(value)
        else:
            yield key, value


def _paths(node: Mapping, prefix: str = "") -> Iterator[str]:
    """Dotted keys of everything inside nested dictionaries."""
    for key, value in node.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _paths(value, f"{prefix}{key}.")
