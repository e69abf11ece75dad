"""Everything in a config that a training would ignore or could not use.

A config may inherit from mmdet's own files, whose tools read more settings than this kit does. Each
setting either has its effect, requests nothing, or is refused with what to do instead.
"""

from collections.abc import Mapping
from typing import Any

from pcb.detection.config.keys import TOP_LEVEL, unknown_keys
from pcb.detection.config.unsupported import UNSUPPORTED, unsupported_hooks, unsupported_settings
from pcb.detection.config.values import get_dotted, other_than_dictionaries, wrong_values
from pcb.detection.config.variables import names_read, set_too_late
from pcb.messages.nearest import MISSPELLING, nearest_names

# Variables that many configs define without using them; `pcb` holds PCB's settings in this kit's.
_USUAL_VARIABLES = {
    *("pcb", "num_classes", "data_root", "dataset_type", "img_norm_cfg", "classes", "normalize"),
    *("train_pipeline", "val_pipeline", "test_pipeline", "default_scope"),
}

# Types of top-level settings that are not dictionaries.
_TYPES: dict[str, type] = {"custom_hooks": list, "workflow": list, "gpu_ids": list}
_TYPES |= dict.fromkeys(("load_from", "resume_from", "log_level", "work_dir", "device"), str)
_TYPES |= dict.fromkeys(("opencv_num_threads", "gpus", "seed", "total_epochs"), int)
_TYPES |= dict.fromkeys(("cudnn_benchmark", "find_unused_parameters", "auto_resume"), bool)
_TYPES |= {"deterministic": bool, "mp_start_method": str}


def faults(cfg: Mapping[str, Any], text: str = "") -> list[str]:
    """Everything in a merged config that would be ignored or cannot be used, each in a sentence.

    Args:
        cfg: the merged config.
        text: the text of the config files as mmcv joins them, which shows what is a variable.

    Example:
        >>> faults({"load_from": None, "runner": {"type": "IterBasedRunner", "max_epochs": 0}})
        ... # doctest: +NORMALIZE_WHITESPACE
        ["runner.type is 'IterBasedRunner', which is not supported: trainings run by epochs: set
          EpochBasedRunner", 'runner.max_epochs must be a whole number, at least 1, got 0']
    """
    return [
        *ignored_keys(cfg, text),
        *unsupported_settings(cfg),
        *unsupported_hooks(cfg),
        *wrong_values(cfg),
    ]


def ignored_keys(cfg: Mapping[str, Any], text: str = "") -> list[str]:
    """The part of :func:`faults` that is a mistake for every reader: keys without any effect."""
    misspelt = [
        f"{key} is unknown: did you mean {near!r}?"
        for key in _unknown_names(cfg, text)
        if (near := _misspelt_setting(key, cfg[key]))
    ]
    too_late = [
        f"{file} changes {key}, but {reader} has already used the old value: change the settings "
        "that are built from it instead"
        for key, file, reader in set_too_late(text)
        if key not in TOP_LEVEL
    ]
    return [*misspelt, *too_late, *other_than_dictionaries(cfg), *unknown_keys(cfg)]


def unread_variables(cfg: Mapping[str, Any], text: str) -> list[str]:
    """Top-level names that are not settings and that the config files do not use either."""
    return [key for key in _unknown_names(cfg, text) if not _misspelt_setting(key, cfg[key])]


def _unknown_names(cfg: Mapping[str, Any], text: str) -> list[str]:
    known = TOP_LEVEL | _USUAL_VARIABLES | set(UNSUPPORTED) | names_read(text)
    return [key for key in cfg if key not in known]


def _misspelt_setting(key: str, value: Any) -> str | None:
    """The setting of the same type whose name a top-level name nearly matches; None if none."""
    types = {name: _TYPES.get(name, dict) for name in TOP_LEVEL}
    alike = [name for name, kind in types.items() if isinstance(value, kind)]
    if not isinstance(value, Mapping | list):  # a number or text is more likely a variable
        alike = [name for name in alike if name not in UNSUPPORTED]
    return next(iter(nearest_names(key, alike, least=MISSPELLING)), None)


def missing(cfg: Mapping[str, Any]) -> list[str]:
    """The settings that a training needs and a config lacks.

    Example:
        >>> missing({"model": {}, "data": {"train": {}}, "optimizer": {}, "runner": {}})
        ['data.samples_per_gpu', 'data.workers_per_gpu', 'log_config.interval', 'runner.max_epochs']
    """
    needed = ["model", "data.train", "optimizer", "log_config.interval", "runner.max_epochs"]
    needed += [
        f"data.{key}"
        for key in ("samples_per_gpu", "workers_per_gpu")
        if get_dotted(cfg, f"data.train_dataloader.{key}") is None
    ]
    return sorted(key for key in needed if get_dotted(cfg, key) is None)


def missing_to_test(cfg: Mapping[str, Any], split: str) -> list[str]:
    """The dictionaries that testing needs and a config lacks.

    Example:
        >>> missing_to_test({"model": {"backbone": {}}, "data": {"val": None}}, "val")
        ['data.val']
    """
    needed = ("model.backbone", f"data.{split}")
    return [key for key in needed if not isinstance(get_dotted(cfg, key), Mapping)]
