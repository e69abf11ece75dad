"""Settings that mmdet's tools support but this kit does not, and what to do instead."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmcv.runner import HOOKS
from mmcv.runner.hooks import CheckpointHook, LrUpdaterHook, OptimizerHook
from mmcv.runner.hooks.momentum_updater import MomentumUpdaterHook
from mmcv.runner.priority import Priority

from pcb.detection.config.values import get_dotted
from pcb.messages.printable import short_repr

_REMOVE = "remove this setting or set it to None, because"
_RESUME = "use `pcb train --resume`, which continues from latest.pth in the run folder"
_MMDET_3 = "this setting belongs to MMDetection 3; write the config for MMDetection 2"
_IN_RUN_FOLDER = f"{_REMOVE} training always saves checkpoints in the run folder"
_SHUFFLE = f"{_REMOVE} training always shuffles the images, and testing never does"
_PROCESSES = "start the processes with torchrun, or set `gpus` in notebook 01"
_WORKERS = (
    f"{_REMOVE} with persistent workers, resumed training would draw different random numbers"
)

# For each dotted key: the accepted values, and what to do instead of setting a different value.
# None is always accepted. An accepted value only requests what training does anyway.
UNSUPPORTED: dict[str, tuple[tuple, str]] = {
    "workflow": (
        ([["train", 1]],),
        "set workflow to None, because training has only one phase; to validate during training, "
        "set evaluation",
    ),
    "resume_from": ((), _RESUME),
    "auto_resume": ((False,), _RESUME),
    "seed": ((), "use the option --seed"),
    "deterministic": (
        (False,),
        f"{_REMOVE} training on a CPU is always deterministic, and determinism on a GPU is not "
        "supported",
    ),
    "work_dir": ((), "use the option --work-dir"),
    "device": ((), "use the option --device"),
    "gpu_ids": (([0], []), _PROCESSES),
    "gpus": ((1,), _PROCESSES),
    "dist_params": (
        ({}, {"backend": "nccl"}, {"backend": "gloo"}),
        f"{_REMOVE} the device determines the backend, and torchrun sets the address and the port",
    ),
    "log_level": (("INFO",), f"{_REMOVE} train.log.json always contains every record"),
    "mp_start_method": (("fork",), f"{_REMOVE} data-loading processes are always forked"),
    "total_epochs": ((), "set runner.max_epochs instead"),
    "train_cfg": ((), "set model.train_cfg instead"),
    "test_cfg": ((), "set model.test_cfg instead"),
    "runner.type": (
        ("EpochBasedRunner",),
        "set EpochBasedRunner, and set runner.max_epochs",
    ),
    "runner.max_iters": ((), "set runner.max_epochs instead"),
    "auto_scale_lr.enable": (
        (False,),
        "set it to False, and multiply optimizer.lr by (images per iteration in all processes) / "
        "base_batch_size",
    ),
    "checkpoint_config.save_optimizer": (
        (True,),
        f"{_REMOVE} checkpoints always contain the optimizer state, which resuming needs",
    ),
    "checkpoint_config.max_keep_ckpts": (
        (1,),
        f"{_REMOVE} training keeps only the newest checkpoint, latest.pth",
    ),
    "checkpoint_config.save_last": (
        (True,),
        f"{_REMOVE} training always saves a checkpoint after the last epoch",
    ),
    "checkpoint_config.sync_buffer": ((False,), "use SyncBuffersHook in custom_hooks"),
    "checkpoint_config.out_dir": ((), _IN_RUN_FOLDER),
    "checkpoint_config.file_client_args": ((), _IN_RUN_FOLDER),
    "checkpoint_config.args": ((), _IN_RUN_FOLDER),
    "data.shuffle": ((True,), _SHUFFLE),
    "data.persistent_workers": ((False,), _WORKERS),
    **{
        f"data.{split}_dataloader.{key}": value
        for split in ("train", "val", "test")
        for key, value in {
            "shuffle": ((split == "train",), _SHUFFLE),
            "persistent_workers": ((False,), _WORKERS),
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

# Training itself registers one hook of each of these types, configured by the named setting.
_OWN_HOOKS = {
    CheckpointHook: "checkpoint_config",
    OptimizerHook: "optimizer_config",
    LrUpdaterHook: "lr_config",
    MomentumUpdaterHook: "momentum_config",
}


def unsupported_settings(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error message for each unsupported setting in a config."""
    for key, (harmless, instead) in UNSUPPORTED.items():
        value = get_dotted(cfg, key)
        if value is not None and _with_lists(value) not in harmless:
            yield f"{key} is {short_repr(value)}, which is not supported: {instead}"


def unsupported_hooks(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error message for each invalid or unsupported hook of a config."""
    loggers = get_dotted(cfg, "log_config.hooks")
    if not isinstance(loggers, list | tuple | None):
        yield f"log_config.hooks must be a list of dictionaries, got {short_repr(loggers)}"
    for number, hook in enumerate(_entries(loggers)):
        name = hook.get("type") if isinstance(hook, Mapping) else hook
        if name != "TextLoggerHook":  # train.log.json replaces this hook
            yield (
                f"log_config.hooks.{number} is {name}, which is not supported: move this hook to "
                "custom_hooks, or remove it, because train.log.json contains all records"
            )
    hooks = cfg.get("custom_hooks")
    if hooks is not None and not isinstance(hooks, list | tuple):
        yield f"custom_hooks must be a list of dictionaries with a 'type', got {short_repr(hooks)}"
    for number, hook in enumerate(_entries(hooks)):
        yield from _custom_hook(f"custom_hooks.{number}", hook)


def _custom_hook(key: str, hook: Any) -> Iterator[str]:
    name = hook.get("type") if isinstance(hook, Mapping) else None
    if not isinstance(name, str):
        yield f"{key} must be a dictionary with a 'type', got {short_repr(hook)}"
        return
    if name in ("EvalHook", "DistEvalHook"):  # these hooks are not in any registry
        yield f"{key} is {name}, which is not supported: set evaluation instead"
    component = HOOKS.get(name)
    for kind, setting in _OWN_HOOKS.items():
        if isinstance(component, type) and issubclass(component, kind):
            yield (
                f"{key} is {name}, but training already has a hook of this type: use {setting} "
                "instead"
            )
    if "priority" in hook and not _is_priority(hook["priority"]):
        yield (
            f"{key}.priority must be a whole number in [0, 100] or one of "
            f"{', '.join(Priority.__members__)}, got {short_repr(hook['priority'])}"
        )
    if hook.get("resume_from") is not None:
        yield f"{key}.resume_from is not supported: {_RESUME}"


def _is_priority(value: Any) -> bool:
    if isinstance(value, str):
        return value.upper() in Priority.__members__
    return type(value) is int and 0 <= value <= 100


def _entries(value: Any) -> list | tuple:
    return value if isinstance(value, list | tuple) else ()


def _with_lists(value: Any) -> Any:
    """Return a value with all its tuples converted to lists and all its mappings to dicts."""
    if isinstance(value, Mapping):
        return {key: _with_lists(inner) for key, inner in value.items()}
    return [_with_lists(inner) for inner in value] if isinstance(value, list | tuple) else value
