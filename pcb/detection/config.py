"""Configurations: reading one with overrides that must mean something, and writing it back."""

import copy
import inspect
import pprint
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmcv.cnn import MODELS as MMCV_MODELS
from mmcv.runner import HOOKS, OPTIMIZERS, RUNNERS
from mmcv.utils import Config, ConfigDict, Registry
from mmdet.core.anchor import ANCHOR_GENERATORS
from mmdet.core.bbox.builder import BBOX_ASSIGNERS, BBOX_CODERS, BBOX_SAMPLERS
from mmdet.core.bbox.iou_calculators.builder import IOU_CALCULATORS
from mmdet.datasets import DATASETS, PIPELINES
from mmdet.models.builder import MODELS

from pcb.files import write_atomically
from pcb.nearest import nearest_names, suggestion
from pcb.runs import RunFolder, repository_path, repository_root

_REGISTRIES: tuple[Registry, ...] = (
    MODELS,
    MMCV_MODELS,
    DATASETS,
    PIPELINES,
    HOOKS,
    OPTIMIZERS,
    RUNNERS,
    ANCHOR_GENERATORS,
    BBOX_ASSIGNERS,
    BBOX_CODERS,
    BBOX_SAMPLERS,
    IOU_CALCULATORS,
)
_DATA_PATHS = ("ann_file", "img_prefix")


def load_config(path: str | Path, cfg_options: Mapping[str, Any] | None = None) -> Config:
    """Read a config file, which is a Python program; paths of data in it become absolute.

    Args:
        path: the file; a relative path starts at the current directory if it exists there, else
            at the repository root. A run folder stands for its merged config, in which nothing is
            executed; nor are the modules imported that it may name.
        cfg_options: overrides by dotted key, such as ``{"runner.max_epochs": 1}`` or
            ``{"data.train.pipeline.2.flip_ratio": 0.0}``.

    Raises:
        FileNotFoundError: no such file (names the nearest configs), or no config in a folder.
        ValueError: an override whose key is neither in the config nor an argument of the type
            configured there (names the nearest valid key), or text where a number belongs.

    Example:
        >>> cfg = load_config("configs/openmoji/softmax.py", {"runner.max_epochs": 1})
        >>> cfg.runner.max_epochs
        1
    """
    cfg = _read(path)
    for key, value in dict(cfg_options or {}).items():
        overridden = check_option(cfg._cfg_dict, key, value)
        # A copy: mmcv takes _delete_ out of what it merges.
        cfg.merge_from_dict({key: _over_none(overridden, copy.deepcopy(value))})
    for dataset in datasets(cfg):
        for name in _DATA_PATHS:
            if dataset.get(name):
                dataset[name] = str(repository_path(dataset[name]))
    return cfg


def _read(named: str | Path) -> Config:
    path = Path(named)
    if not path.exists():
        path = repository_path(path)
    if (path / "config.py").is_file():
        return Config(RunFolder(path).read_config())
    if path.is_file():
        return Config.fromfile(str(path))
    root = repository_root()
    known = sorted(
        str(p.relative_to(root))
        for p in (root / "configs").glob("*/*.py")
        if p.parent.name != "_base_"
    )
    raise FileNotFoundError(
        f"no config {named}, neither here nor in {root}; {suggestion(str(named), known)}"
    )


def datasets(cfg: Config) -> Iterator[ConfigDict]:
    """The innermost dataset of every split, inside wrappers such as ClassBalancedDataset."""
    for split in ("train", "val", "test"):
        dataset = cfg.data.get(split)
        while dataset is not None and "dataset" in dataset:
            dataset = dataset["dataset"]
        if dataset is not None:
            yield dataset


def default_work_dir(path: str | Path, seed: int = 0) -> Path:
    """Where a run of this config goes: ``runs/<dataset>/<config>/seed<seed>`` in the repository.

    Example:
        >>> default_work_dir("configs/openmoji/softmax.py", 1).parts[-4:]
        ('runs', 'openmoji', 'softmax', 'seed1')
    """
    path = Path(path)
    return repository_path(Path("runs") / path.parent.name / path.stem / f"seed{seed}")


def save_config(cfg: Config, path: str | Path) -> None:
    """Write a merged config as Python literals; data paths inside the repository are relative.

    mmcv's own dump does not escape strings, so that a quote in a path would end up as code.
    """
    cfg = copy.deepcopy(cfg)
    root = repository_root()
    for dataset in datasets(cfg):
        for name in _DATA_PATHS:
            if dataset.get(name) and Path(dataset[name]).is_relative_to(root):
                dataset[name] = str(Path(dataset[name]).relative_to(root))
    values = cfg._cfg_dict.to_dict()
    lines = [f"{key} = {pprint.pformat(value, sort_dicts=False)}" for key, value in values.items()]
    write_atomically(path, "\n".join(lines) + "\n")


def check_option(cfg: ConfigDict, key: str, value: Any = None) -> Any:
    """Raise a ValueError unless an override's dotted key exists or is a known argument.

    The keys of a value that is merged into a dictionary are checked likewise. Returns what the
    override changes, an empty dictionary where the config says nothing.
    """
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
            valid = set(node) | _arguments(_type_name(node))
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
    if isinstance(node, Mapping) and isinstance(value, Mapping) and "_delete_" not in value:
        for inner in value:
            check_option(cfg, f"{key}.{inner}", value[inner])
    return node


def _paths(node: Mapping, prefix: str = "") -> Iterator[str]:
    """Dotted keys of everything inside nested dictionaries."""
    for key, value in node.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _paths(value, f"{prefix}{key}.")


def _over_none(node: Any, value: Any) -> Any:
    """An override in the form in which mmcv lets a dictionary take the place of None."""
    if isinstance(value, Mapping) and node is None:
        return {**value, "_delete_": True}
    if isinstance(value, Mapping) and isinstance(node, Mapping):
        return {key: _over_none(node.get(key, {}), inner) for key, inner in value.items()}
    return value


def _type_name(node: Mapping) -> Any:
    """Registered type that a dictionary configures; ``policy`` is short for a learning rate's."""
    if "policy" in node:
        policy = node["policy"]
        return f"{policy.title() if policy.islower() else policy}LrUpdaterHook"
    return node.get("type")


def _arguments(type_name: Any) -> set[str]:
    """Names of the arguments of a registered type, base classes included."""
    if not isinstance(type_name, str):
        return set()
    found = (registry.get(type_name) for registry in _REGISTRIES)
    component = next((c for c in found if c is not None), None)
    if component is None:
        return set()
    names: set[str] = set()
    for cls in inspect.getmro(component) if inspect.isclass(component) else [component]:
        init = vars(cls).get("__init__") if inspect.isclass(cls) else cls
        if init is None or init is object.__init__:
            continue
        parameters = inspect.signature(init).parameters.values()
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break  # base classes get nothing that this one does not name
    return names - {"self"}
