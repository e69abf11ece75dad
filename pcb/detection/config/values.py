"""Find config values that training cannot use."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pcb.detection.config.validation import wrong_validation
from pcb.messages.printable import short_repr

# These settings must be dictionaries; mmcv and mmdet do not check this before reading their keys.
_DICTIONARIES = (
    *("model", "data", "optimizer", "runner", "log_config", "checkpoint_config", "fp16"),
    *(
        "lr_config",
        "momentum_config",
        "optimizer_config",
        "optimizer_config.grad_clip",
        "evaluation",
    ),
    *("optimizer.paramwise_cfg", "custom_imports", "model.backbone"),
    *(f"data.{split}_dataloader" for split in ("train", "val", "test")),
)


def get_dotted(cfg: Mapping[str, Any], key: str) -> Any:
    """Return the value at a dotted key in nested dictionaries, or None if there is no such key.

    Example:
        >>> get_dotted({"runner": {"max_epochs": 9}}, "runner.max_epochs")
        9
    """
    node: Any = cfg
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def other_than_dictionaries(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error message for each setting that should be a dictionary but is not."""
    for key in _DICTIONARIES:
        if not isinstance(value := get_dotted(cfg, key), Mapping | None):
            yield f"{key} must be a dictionary, got {short_repr(value)}"


def wrong_values(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error message for each setting that has the wrong type or is out of range."""
    for key in ("runner.max_epochs", "data.samples_per_gpu", "log_config.interval"):
        yield from _whole_number(cfg, key, 1)
    yield from _whole_number(cfg, "evaluation.interval", 1)
    yield from wrong_validation(cfg)
    yield from _whole_number(cfg, "data.workers_per_gpu", 0)
    yield from _whole_number(cfg, "opencv_num_threads", 0)
    for split in ("train", "val", "test"):
        yield from _whole_number(cfg, f"data.{split}_dataloader.samples_per_gpu", 1)
        yield from _whole_number(cfg, f"data.{split}_dataloader.workers_per_gpu", 0)
    for key in ("optimizer.lr", "optimizer.weight_decay"):
        name, value = key.partition(".")[2], get_dotted(cfg, key)
        if name in (get_dotted(cfg, "optimizer") or ()) and not (value == 0 or _is_positive(value)):
            yield f"{key} must be a number, at least 0, got {short_repr(value)}"
    for key in ("cudnn_benchmark", "find_unused_parameters"):
        if not isinstance(cfg.get(key), bool | None):
            yield f"{key} must be True or False, got {short_repr(cfg[key])}"
    clipping = get_dotted(cfg, "optimizer_config.grad_clip")
    if isinstance(clipping, Mapping) and not _is_positive(norm := clipping.get("max_norm")):
        key = "optimizer_config.grad_clip.max_norm"
        yield f"{key} must be a positive number, got {short_repr(norm)}"
    scale = get_dotted(cfg, "fp16.loss_scale")
    if not (scale in (None, "dynamic") or isinstance(scale, Mapping) or _is_positive(scale)):
        yield f"fp16.loss_scale must be a positive number or 'dynamic', got {short_repr(scale)}"
    for key in ("lr_config", "momentum_config"):
        if isinstance(cfg.get(key), Mapping) and "policy" not in cfg[key]:
            yield f"{key} has no policy: set {key}.policy, for example to 'step'"
    if not isinstance(cfg.get("load_from"), str | None):
        yield f"load_from must be the path of a file, got {short_repr(cfg['load_from'])}"
    yield from _checkpoint_interval(cfg)
    stepping = str(get_dotted(cfg, "optimizer_config.type") or "OptimizerHook")
    if "Fp16" in stepping:
        yield (
            f"optimizer_config.type is {stepping!r}, which is not supported: remove this setting, "
            "and set fp16=dict(loss_scale='dynamic')"
        )
    elif cfg.get("fp16") and stepping != "OptimizerHook":
        yield (
            f"optimizer_config.type is {stepping!r}, which cannot be used together with fp16: "
            "remove one of the two settings"
        )


def _checkpoint_interval(cfg: Mapping[str, Any]) -> Iterator[str]:
    settings = cfg.get("checkpoint_config")
    if not isinstance(settings, Mapping):
        return
    yield from _whole_number(cfg, "checkpoint_config.interval", 1)
    interval = settings.get("interval", 1)
    if settings.get("by_epoch", True) and type(interval) is int and interval > 1:
        yield (
            f"checkpoint_config.interval is {interval} epochs, but training saves a checkpoint "
            "after every epoch: remove this setting. To save additional checkpoints within epochs, "
            "set checkpoint_config.by_epoch to False, and give the interval in iterations"
        )


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _whole_number(cfg: Mapping[str, Any], key: str, least: int) -> Iterator[str]:
    value = get_dotted(cfg, key)
    if value is not None and (type(value) is not int or value < least):
        yield f"{key} must be a whole number, at least {least}, got {short_repr(value)}"
