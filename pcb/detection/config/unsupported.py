"""Settings that mmdet's tools support but this kit does not, and what to do instead."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmcv.runner import HOOKS
from mmcv.runner.hooks import CheckpointHook, LrUpdaterHook, OptimizerHook
from mmcv.runner.hooks.momentum_updater import MomentumUpdaterHook
from mmcv.runner.priority import Priority

from pcb.detection.config.values import get_dotted
from pcb.messages.printable import short_repr

_RESUME = "`pcb train --resume` continues from the run folder's latest.pth"
_EVALUATE = "evaluate with `pcb test` or notebook 02 after training"
_MMDET_3 = "this setting belongs to MMDetection 3; write the config for MMDetection 2"
_IN_RUN_FOLDER = "training always saves checkpoints in the run folder"
_SHUFFLE = "training images are always shuffled, validation and test images never are"
_PROCESSES = "start the processes with torchrun, or set `gpus` in notebook 01"
_WORKERS = "with persistent workers, a resumed training run would draw different random numbers"

# For each dotted key: the accepted values, and what to do instead of setting a different value. The
# accepted values, as well as None, request nothing that the kit does not support.
UNSUPPORTED: dict[str, tuple[tuple, str]] = {
    "evaluation": (
        ({},),
        f"set evaluation to None, because training does not validate, and {_EVALUATE}",
    ),
    "workflow": (
        ([["train", 1]],),
        f"set workflow to None, because training has one phase, and {_EVALUATE}",
    ),
    "resume_from": ((), _RESUME),
    "auto_resume": ((False,), _RESUME),
    "seed": ((), "use the option --seed"),
    "deterministic": (
        (False,),
        "training on a CPU is always deterministic; on a GPU, this cannot be guaranteed",
    ),
    "work_dir": ((), "use the option --work-dir"),
    "device": ((), "use the option --device"),
    "gpu_ids": (([0], []), _PROCESSES),
    "gpus": ((1,), _PROCESSES),
    "dist_params": (
        ({}, {"backend": "nccl"}, {"backend": "gloo"}),
        "the device determines the backend, and torchrun sets the address and the port",
    ),
    "log_level": (("INFO",), "train.log.json always contains every record"),
    "mp_start_method": (("fork",), "data-loading processes are always forked"),
    "total_epochs": ((), "set runner.max_epochs"),
    "train_cfg": ((), "set model.train_cfg"),
    "test_cfg": ((), "set model.test_cfg"),
    "runner.type": (
        ("EpochBasedRunner",),
        "training is counted in epochs, so set EpochBasedRunner",
    ),
    "runner.max_iters": ((), "training is counted in epochs, so set runner.max_epochs"),
    "auto_scale_lr.enable": (
        (False,),
        "multiply optimizer.lr by (images per iteration in all processes combined) / "
        "base_batch_size",
    ),
    "checkpoint_config.save_optimizer": (
        (True,),
        "checkpoints always contain the optimizer state, which resuming needs",
    ),
    "checkpoint_config.max_keep_ckpts": (
        (1,),
        "a run keeps only its newest checkpoint, latest.pth",
    ),
    "checkpoint_config.save_last": ((True,), "a checkpoint is always saved after the last epoch"),
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
    """Yield one sentence for each setting whose value this kit does not support."""
    for key, (harmless, instead) in UNSUPPORTED.items():
        value = get_dotted(cfg, key)
        if value is not None and _with_lists(value) not in harmless:
            yield f"{key} is {short_repr(value)}, which is not supported: {instead}"


def unsupported_hooks(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield one sentence for each unsupported or invalid hook in the config.

    The hooks are those in ``log_config`` and ``custom_hooks``.
    """
    loggers = get_dotted(cfg, "log_config.hooks")
    if not isinstance(loggers, list | tuple | None):
        yield f"log_config.hooks must be a list of dictionaries, got {short_repr(loggers)}"
    for number, hook in enumerate(_entries(loggers)):
        name = hook.get("type") if isinstance(hook, Mapping) else hook
        if name != "TextLoggerHook":  # train.log.json replaces this hook
            yield (
                f"log_config.hooks.{number} is {name}, which is not supported: every record is in "
                "train.log.json; to log somewhere else as well, add the hook to custom_hooks"
            )
    hooks = cfg.get("custom_hooks")
    if hooks is not None and not isinstance(hooks, list | tuple):
        yield f"custom_hooks must be a list of dictionaries with a type, got {short_repr(hooks)}"
    for number, hook in enumerate(_entries(hooks)):
        yield from _custom_hook(f"custom_hooks.{number}", hook)


def _custom_hook(key: str, hook: Any) -> Iterator[str]:
    name = hook.get("type") if isinstance(hook, Mapping) else None
    if not isinstance(name, str):
        yield f"{key} must be a dictionary with a type, got {short_repr(hook)}"
        return
    if name in ("EvalHook", "DistEvalHook"):  # these hooks are not in any registry
        yield f"{key} is {name}, which is not supported: {_EVALUATE}"
    component = HOOKS.get(name)
    for kind, setting in _OWN_HOOKS.items():
        if isinstance(component, type) and issubclass(component, kind):
            yield f"{key} is {name}, but training already adds such a hook: use {setting} instead"
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
    """Return a copy of a value in which tuples are lists and mappings are dictionaries."""
    if isinstance(value, Mapping):
        return {key: _with_lists(inner) for key, inner in value.items()}
    return [_with_lists(inner) for inner in value] if isinstance(value, list | tuple) else value
