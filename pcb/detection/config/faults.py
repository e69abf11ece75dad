"""Find the config settings that training would ignore or could not use.

A config may contain settings that mmdet's tools read, but this kit does not. A setting is accepted
if this kit uses it, or if ignoring it changes nothing. Every other setting is rejected with a
message that says what to do instead.
"""

from collections.abc import Mapping
from typing import Any

from pcb.detection.config.keys import TOP_LEVEL, unknown_keys
from pcb.detection.config.unsupported import UNSUPPORTED, unsupported_hooks, unsupported_settings
from pcb.detection.config.values import get_dotted, other_than_dictionaries, wrong_values
from pcb.detection.config.variables import names_read, set_too_late
from pcb.messages.nearest import MISSPELLING, nearest_names

# Variables that many configs define but do not use. In this kit's configs, `pcb` contains the
# settings of PCB.
_USUAL_VARIABLES = {
    *("pcb", "num_classes", "data_root", "dataset_type", "img_norm_cfg", "classes", "normalize"),
    *("train_pipeline", "val_pipeline", "test_pipeline", "default_scope"),
}

# The types of top-level settings. Settings that are not listed are dictionaries.
_TYPES: dict[str, type] = {"custom_hooks": list, "workflow": list, "gpu_ids": list}
_TYPES |= dict.fromkeys(("load_from", "resume_from", "log_level", "work_dir", "device"), str)
_TYPES |= dict.fromkeys(("opencv_num_threads", "gpus", "seed", "total_epochs"), int)
_TYPES |= dict.fromkeys(("cudnn_benchmark", "find_unused_parameters", "auto_resume"), bool)
_TYPES |= {"deterministic": bool, "mp_start_method": str}


def faults(cfg: Mapping[str, Any], text: str = "") -> list[str]:
    """Return an error message for each setting that training would ignore or could not use.

    Unknown top-level keys are also reported, except variables that a config file uses.

    Args:
        cfg: The merged config.
        text: The text of all config files (the attribute ``text`` of mmcv's ``Config``).

    Example:
        >>> faults({"load_from": None, "runner": {"type": "IterBasedRunner", "max_epochs": 0}})
        ... # doctest: +NORMALIZE_WHITESPACE
        ["runner.type is 'IterBasedRunner', which is not supported: set EpochBasedRunner, and set
          runner.max_epochs", 'runner.max_epochs must be a whole number, at least 1, got 0']
    """
    return [
        *ignored_keys(cfg, text),
        *unsupported_settings(cfg),
        *unsupported_hooks(cfg),
        *wrong_values(cfg),
    ]


def ignored_keys(cfg: Mapping[str, Any], text: str = "") -> list[str]:
    """Return an error message for each config key that neither training nor testing can use.

    The result of :func:`faults` includes these messages.
    """
    misspelt = [
        f"{key} is unknown: did you mean {near!r}?"
        for key in _unknown_names(cfg, text)
        if (near := _misspelt_setting(key, cfg[key]))
    ]
    too_late = [
        f"{file} changes {key}, but {reader} has already used the old value: instead, change the "
        f"settings that are built from {key}"
        for key, file, reader in set_too_late(text)
        if key not in TOP_LEVEL
    ]
    return [*misspelt, *too_late, *other_than_dictionaries(cfg), *unknown_keys(cfg)]


def unread_variables(cfg: Mapping[str, Any], text: str) -> list[str]:
    """Return the names of the top-level variables that a config sets but does not use."""
    return [key for key in _unknown_names(cfg, text) if not _misspelt_setting(key, cfg[key])]


def _unknown_names(cfg: Mapping[str, Any], text: str) -> list[str]:
    known = TOP_LEVEL | _USUAL_VARIABLES | set(UNSUPPORTED) | names_read(text)
    return [key for key in cfg if key not in known]


def _misspelt_setting(key: str, value: Any) -> str | None:
    """Return the known setting that is most similar to an unknown top-level name, or None."""
    types = {name: _TYPES.get(name, dict) for name in TOP_LEVEL}
    alike = [name for name, kind in types.items() if isinstance(value, kind)]
    if not isinstance(value, Mapping | list):  # a number or a string is more likely a variable
        alike = [name for name in alike if name not in UNSUPPORTED]
    return next(iter(nearest_names(key, alike, least=MISSPELLING)), None)


def missing(cfg: Mapping[str, Any]) -> list[str]:
    """Return the settings that training requires but the config does not set.

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
    """Return the dotted key of each dictionary that testing needs but the config lacks.

    Example:
        >>> missing_to_test({"model": {"backbone": {}}, "data": {"val": None}}, "val")
        ['data.val']
    """
    needed = ("model.backbone", f"data.{split}")
    return [key for key in needed if not isinstance(get_dotted(cfg, key), Mapping)]
