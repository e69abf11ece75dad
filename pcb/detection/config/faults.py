"""Settings of a config: each is honoured, asks for nothing, or is refused with what to do instead.

A config may inherit from mmdet's own files, whose tools read more than this kit does.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from mmcv.runner import HOOKS
from mmcv.runner.hooks import (
    CheckpointHook,
    LrUpdaterHook,
    OptimizerHook,
)
from mmcv.runner.hooks.momentum_updater import MomentumUpdaterHook
from mmcv.runner.priority import Priority

from pcb.detection.config.schema import TOP_LEVEL, names_read, set_in_vain, unknown_keys
from pcb.messages.nearest import nearest_names

_RESUME = "`pcb train --resume` goes on after the run folder's latest.pth"
_VALIDATE = "set it to None, and evaluate with `pcb test` or notebook 02 after the training"
_MMDET_3 = "it is of MMDetection 3, and configs here are those of MMDetection 2"

# Settings that are not honoured, by dotted key: the values, besides None, that ask for nothing that
# is not done anyway, and what to do instead.
NOT_HONOURED: dict[str, tuple[tuple, str]] = {
    "evaluation": (({},), f"the training does not validate: {_VALIDATE}"),
    "workflow": (([["train", 1]],), f"the training has no other phase: {_VALIDATE}"),
    "resume_from": ((), _RESUME),
    "auto_resume": ((False,), _RESUME),
    "seed": ((), "give it as --seed"),
    "deterministic": ((False,), "a training on a CPU is; on a GPU it cannot be promised"),
    "work_dir": ((), "give it as --work-dir"),
    "device": ((), "give it as --device"),
    "gpu_ids": (([0], []), "start processes with torchrun, or notebook 01 with its `gpus`"),
    "gpus": ((1,), "start processes with torchrun, or notebook 01 with its `gpus`"),
    "dist_params": (
        ({}, {"backend": "nccl"}, {"backend": "gloo"}),
        "the device decides how processes talk, and torchrun where",
    ),
    "log_level": (("INFO",), "everything is logged, in train.log.json"),
    "mp_start_method": (("fork",), "loading processes are forked"),
    "total_epochs": ((), "set runner.max_epochs"),
    "train_cfg": ((), "set model.train_cfg"),
    "test_cfg": ((), "set model.test_cfg"),
    "runner.type": (("EpochBasedRunner",), "trainings run by epochs: EpochBasedRunner"),
    "runner.max_iters": ((), "trainings run by epochs: set runner.max_epochs"),
    "auto_scale_lr.enable": (
        (False,),
        "set optimizer.lr yourself: multiply it by the images of an iteration on all processes "
        "together, and divide by base_batch_size",
    ),
    "checkpoint_config.save_optimizer": ((True,), "checkpoints have what resuming needs"),
    "checkpoint_config.max_keep_ckpts": ((1,), "the newest checkpoint alone is kept: latest.pth"),
    "checkpoint_config.save_last": ((True,), "the last epoch has a checkpoint in any case"),
    "checkpoint_config.sync_buffer": ((False,), "use SyncBuffersHook in custom_hooks"),
    "checkpoint_config.out_dir": ((), "checkpoints lie in the run folder"),
    "checkpoint_config.file_client_args": ((), "checkpoints lie in the run folder"),
    "checkpoint_config.args": ((), "checkpoints lie in the run folder"),
    "data.shuffle": ((True,), "training images are shuffled, others never"),
    "data.persistent_workers": ((False,), "a resumed training would draw other random numbers"),
    **{
        f"data.{split}_dataloader.{key}": value
        for split in ("train", "val", "test")
        for key, value in {
            "shuffle": ((split == "train",), "training images are shuffled, others never"),
            "persistent_workers": (
                (False,),
                "a resumed training would draw other random numbers",
            ),
        }.items()
    },
    **dict.fromkeys(
        (
            *("optim_wrapper", "param_scheduler", "train_dataloader", "val_dataloader"),
            *("test_dataloader", "val_evaluator", "test_evaluator", "val_cfg", "default_hooks"),
            *("env_cfg", "visualizer", "vis_backends", "log_processor", "randomness"),
        ),
        ((), _MMDET_3),
    ),
}

# Variables that configs have by custom, used or not; `pcb` is what these configs take PCB from.
_USUAL_VARIABLES = {"pcb", "num_classes", "data_root", "dataset_type", "img_norm_cfg", "classes"}
_USUAL_VARIABLES |= {
    "normalize",
    "train_pipeline",
    "val_pipeline",
    "test_pipeline",
    "default_scope",
}

_SLIP = 0.78  # least likeness of a name to the setting that it misspells: `modle`, not `my_hooks`

# Of what other kind than a dictionary a top-level setting is.
_KINDS = {"custom_hooks": list, "workflow": list, "gpu_ids": list}
_KINDS |= dict.fromkeys(("load_from", "resume_from", "log_level", "work_dir", "device"), str)
_KINDS |= dict.fromkeys(("opencv_num_threads", "gpus", "seed", "total_epochs"), int)
_KINDS |= dict.fromkeys(("cudnn_benchmark", "find_unused_parameters", "auto_resume"), bool)
_KINDS |= {"deterministic": bool, "mp_start_method": str}
# Settings that are dictionaries, by dotted key; mmcv and mmdet take them apart without a look.
_DICTIONARIES = ("model", "data", "optimizer", "runner", "log_config", "checkpoint_config", "fp16")
_DICTIONARIES += ("lr_config", "momentum_config", "optimizer_config", "optimizer_config.grad_clip")
_DICTIONARIES += ("optimizer.paramwise_cfg", "custom_imports", "model.backbone")


def faults(cfg: Mapping[str, Any], text: str = "") -> list[str]:
    """Everything in a merged config that would be ignored or cannot be, each as a sentence.

    Args:
        cfg: the merged config.
        text: the config files, as mmcv joins them, which say what is a variable.

    Example:
        >>> faults({"load_from": None, "runner": {"type": "IterBasedRunner", "max_epochs": 0}})
        ... # doctest: +NORMALIZE_WHITESPACE
        ["runner.type is 'IterBasedRunner', which is not honoured: trainings run by epochs:
          EpochBasedRunner", 'runner.max_epochs must be a whole number, at least 1, got 0']
    """
    return [*unread_keys(cfg, text), *_not_honoured(cfg), *_hooks(cfg), *_values(cfg)]


def unread_keys(cfg: Mapping[str, Any], text: str = "") -> list[str]:
    """The part of :func:`faults` that no reader of a config can mean: keys that nothing reads."""
    misspelt = [
        f"{key} is read by nothing: did you mean {near!r}?"
        for key in _unread(cfg, text)
        if (near := _misspelt(key, cfg[key]))
    ]
    in_vain = [
        f"{key} is set again by {file}, but {reader} was read before it and has used the old "
        "value: set what is built of it instead"
        for key, file, reader in set_in_vain(text)
        if key not in TOP_LEVEL
    ]
    return [*misspelt, *in_vain, *_no_dictionaries(cfg), *unknown_keys(cfg)]


def unread_variables(cfg: Mapping[str, Any], text: str) -> list[str]:
    """Top-level names that are no settings, and which the config files do not read either."""
    return [key for key in _unread(cfg, text) if not _misspelt(key, cfg[key])]


def _unread(cfg: Mapping[str, Any], text: str) -> list[str]:
    known = TOP_LEVEL | _USUAL_VARIABLES | set(NOT_HONOURED) | names_read(text)
    return [key for key in cfg if key not in known]


def _misspelt(key: str, value: Any) -> str | None:
    """The setting that a top-level name was to be: one of its kind that it hardly differs from."""
    kinds = {name: _KINDS.get(name, dict) for name in TOP_LEVEL}
    of_kind = [name for name, kind in kinds.items() if isinstance(value, kind)]
    if not isinstance(value, Mapping | list):  # a number or text is more likely a variable
        of_kind = [name for name in of_kind if name not in NOT_HONOURED]
    return next(iter(nearest_names(key, of_kind, least=_SLIP)), None)


def _no_dictionaries(cfg: Mapping[str, Any]) -> Iterator[str]:
    for key in _DICTIONARIES:
        if not isinstance(value := _get(cfg, key), Mapping | None):
            yield f"{key} must be a dictionary, got {_short(value)}"


def _not_honoured(cfg: Mapping[str, Any]) -> Iterator[str]:
    for key, (harmless, instead) in NOT_HONOURED.items():
        value = _get(cfg, key)
        if value is not None and _plain(value) not in harmless:
            yield f"{key} is {_short(value)}, which is not honoured: {instead}"


def _hooks(cfg: Mapping[str, Any]) -> Iterator[str]:
    loggers = _get(cfg, "log_config.hooks")
    if not isinstance(loggers, list | tuple | None):
        yield f"log_config.hooks must be a list of dictionaries, got {_short(loggers)}"
    for number, hook in enumerate(_list(loggers)):
        name = hook.get("type") if isinstance(hook, Mapping) else hook
        if name != "TextLoggerHook":  # train.log.json takes its place
            yield (
                f"log_config.hooks.{number} is {name}, which is not honoured: train.log.json has "
                "every record; for another place name the hook in custom_hooks"
            )
    hooks = cfg.get("custom_hooks")
    if hooks is not None and not isinstance(hooks, list | tuple):
        yield f"custom_hooks must be a list of dictionaries with a type, got {_short(hooks)}"
    for number, hook in enumerate(_list(hooks)):
        key = f"custom_hooks.{number}"
        name = hook.get("type") if isinstance(hook, Mapping) else None
        if not isinstance(name, str):
            yield f"{key} must be a dictionary with a type, got {_short(hook)}"
            continue
        if name in ("EvalHook", "DistEvalHook"):  # which are in no registry
            yield f"{key} is {name}, which is not honoured: {_VALIDATE.partition(', and ')[2]}"
        component = HOOKS.get(name)
        for kind, instead in (
            (CheckpointHook, "set checkpoint_config"),
            (OptimizerHook, "set optimizer_config"),
            (LrUpdaterHook, "set lr_config"),
            (MomentumUpdaterHook, "set momentum_config"),
        ):
            if isinstance(component, type) and issubclass(component, kind):
                yield f"{key} is {name}, which the training does itself: {instead}"
        if "priority" in hook and not _is_priority(hook["priority"]):
            yield (
                f"{key}.priority is {_short(hook['priority'])}: give a whole number in [0, 100], "
                f"or one of {', '.join(Priority.__members__)}"
            )
        if hook.get("resume_from") is not None:
            yield f"{key}.resume_from is not honoured: {_RESUME}"


def _is_priority(value: Any) -> bool:
    if isinstance(value, str):
        return value.upper() in Priority.__members__
    return type(value) is int and 0 <= value <= 100


def _values(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Numbers out of range, and dictionaries that are something else."""
    for key in ("runner.max_epochs", "data.samples_per_gpu", "log_config.interval"):
        yield from _whole_number(cfg, key, 1)
    yield from _whole_number(cfg, "data.workers_per_gpu", 0)
    yield from _whole_number(cfg, "opencv_num_threads", 0)
    for split in ("train", "val", "test"):
        yield from _whole_number(cfg, f"data.{split}_dataloader.samples_per_gpu", 1)
        yield from _whole_number(cfg, f"data.{split}_dataloader.workers_per_gpu", 0)
    for key in ("optimizer.lr", "optimizer.weight_decay"):
        name, value = key.partition(".")[2], _get(cfg, key)
        if name in (_get(cfg, "optimizer") or ()) and not (value == 0 or _is_positive(value)):
            yield f"{key} must be a number, at least 0, got {_short(value)}"
    for key in ("cudnn_benchmark", "find_unused_parameters"):
        if not isinstance(cfg.get(key), bool | None):
            yield f"{key} must be True or False, got {_short(cfg[key])}"
    clipping = _get(cfg, "optimizer_config.grad_clip")
    if isinstance(clipping, Mapping) and not _is_positive(norm := clipping.get("max_norm")):
        yield f"optimizer_config.grad_clip.max_norm must be a positive number, got {_short(norm)}"
    scale = _get(cfg, "fp16.loss_scale")
    if not (scale in (None, "dynamic") or isinstance(scale, Mapping) or _is_positive(scale)):
        yield f"fp16.loss_scale must be a positive number or 'dynamic', got {_short(scale)}"
    for key in ("lr_config", "momentum_config"):
        if isinstance(cfg.get(key), Mapping) and "policy" not in cfg[key]:
            yield f"{key} has no policy, such as 'step'"
    if not isinstance(cfg.get("load_from"), str | None):
        yield f"load_from must be a file, got {_short(cfg['load_from'])}"
    settings = cfg.get("checkpoint_config")
    if isinstance(settings, Mapping):
        yield from _whole_number(cfg, "checkpoint_config.interval", 1)
        interval = settings.get("interval", 1)
        if settings.get("by_epoch", True) and type(interval) is int and interval > 1:
            yield (
                f"checkpoint_config.interval is {interval} epochs, but the end of every epoch has "
                "a checkpoint; for more of them set by_epoch=False, and an interval in iterations"
            )
    stepping = str(_get(cfg, "optimizer_config.type") or "OptimizerHook")
    if "Fp16" in stepping:
        yield f"optimizer_config.type is {stepping!r}: set fp16=dict(loss_scale='dynamic') instead"
    elif cfg.get("fp16") and stepping != "OptimizerHook":
        yield f"optimizer_config.type is {stepping!r}, and fp16 is set: leave one of them out"


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _whole_number(cfg: Mapping[str, Any], key: str, least: int) -> Iterator[str]:
    value = _get(cfg, key)
    if value is not None and (type(value) is not int or value < least):
        yield f"{key} must be a whole number, at least {least}, got {_short(value)}"


def missing(cfg: Mapping[str, Any]) -> list[str]:
    """Settings without which nothing can be trained, and which a config has not.

    Example:
        >>> missing({"model": {}, "data": {"train": {}}, "optimizer": {}, "runner": {}})
        ['data.samples_per_gpu', 'data.workers_per_gpu', 'log_config.interval', 'runner.max_epochs']
    """
    needed = ["model", "data.train", "optimizer", "log_config.interval", "runner.max_epochs"]
    needed += [
        f"data.{key}"
        for key in ("samples_per_gpu", "workers_per_gpu")
        if _get(cfg, f"data.train_dataloader.{key}") is None
    ]
    return sorted(key for key in needed if _get(cfg, key) is None)


def missing_to_test(cfg: Mapping[str, Any], split: str) -> list[str]:
    """Dictionaries without which nothing can be tested, and which a config has not.

    Example:
        >>> missing_to_test({"model": {"backbone": {}}, "data": {"val": None}}, "val")
        ['data.val']
    """
    needed = ("model.backbone", f"data.{split}")
    return [key for key in needed if not isinstance(_get(cfg, key), Mapping)]


def _get(cfg: Mapping[str, Any], key: str) -> Any:
    """What a dotted key stands for; None if there is nothing."""
    node: Any = cfg
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _list(value: Any) -> list | tuple:
    return value if isinstance(value, list | tuple) else ()


def _plain(value: Any) -> Any:
    """With lists for tuples and plain dictionaries."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
