"""Read the settings of a training run from its config, and check them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmcv.utils import Config, ConfigDict

from pcb.detection.config import load_config
from pcb.detection.config.faults import missing, unread_variables
from pcb.detection.config.validation import Validation, read_validation_settings
from pcb.detection.engine.device import pick_device
from pcb.distributed import world_size
from pcb.runs.folder import RunFolder
from pcb.storage.repository import repository_path


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of one training run.

    Attributes:
        config: The merged config. It is saved in the run folder, and mmdet builds the dataset and
            the detector from it.
        unread: Names of the unused top-level variables in the config.
        device: The device that the model runs on.
        seed: The seed of all random number generators.
        max_epochs: Number of epochs.
        log_interval: Number of iterations between two log records.
        checkpoint_interval: Number of iterations between mid-epoch checkpoints, or 0 if checkpoints
            are saved only at the end of an epoch.
        loader: ``samples_per_gpu`` and ``workers_per_gpu`` for the data loader of each process.
        optimizer: The config of the optimizer, in mmcv's format.
        optimizer_step: Arguments, such as ``grad_clip``, for the hook that updates the weights.
        loss_scaling: Arguments for the loss scaler, or None if training uses float32.
        schedules: Dict with the keys ``lr_config`` and ``momentum_config``. The values come from
            the config. If a value is None, the learning rate or the momentum stays constant.
        custom_hooks: The configs of the additional hooks.
        validation: When the model is validated, or None to train without validation.
        first_weights: The checkpoint that a new training run starts from (``load_from`` in the
            config), or None to start without a checkpoint.
        find_unused_parameters: Argument for PyTorch's ``DistributedDataParallel``.
        cudnn_benchmark: Whether cuDNN searches for the fastest algorithms. If None, PyTorch's
            default is used.
        opencv_threads: Number of threads for OpenCV. If None, OpenCV's default is used.
    """

    config: Config
    unread: tuple[str, ...]
    device: torch.device
    seed: int
    max_epochs: int
    log_interval: int
    checkpoint_interval: int
    loader: Mapping[str, int]
    optimizer: ConfigDict
    optimizer_step: Mapping[str, Any]
    loss_scaling: Mapping[str, Any] | None
    schedules: Mapping[str, Mapping[str, Any] | None]
    custom_hooks: tuple[Mapping[str, Any], ...]
    validation: Validation | None
    first_weights: str | None
    find_unused_parameters: bool
    cudnn_benchmark: bool | None
    opencv_threads: int | None

    def first_weights_file(self) -> Path:
        """Return the path of ``first_weights``, the checkpoint that training starts from.

        A relative path is relative to the current directory or, if the file does not exist there,
        to the repository root.

        Raises:
            ValueError: ``first_weights`` is an address such as ``https://...``, not a path.
        """
        address = str(self.first_weights)
        if "://" in address:
            raise ValueError(
                f"load_from must be a file, got {address!r}: download the checkpoint, and set "
                "load_from to the path of the downloaded file"
            )
        path = Path(address).expanduser()
        return path if path.exists() else repository_path(path)

    def comparable(self) -> dict[str, Any]:
        """Return a dictionary of all settings that affect the result of training.

        Use :func:`pcb.runs.settings.other_settings` to compare the dictionaries of two training
        runs.
        """
        decisive = comparable_settings(self.config, self.seed, world_size())
        if self.device.type == "cpu":  # these two settings affect the last bits of the result
            decisive["threads"] = torch.get_num_threads()
            decisive["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
        return decisive


def read_settings(
    config: str | Path,
    seed: int = 0,
    cfg_options: Mapping[str, Any] | None = None,
    device: str | None = None,
) -> TrainingSettings:
    """Read and check the settings of a training run.

    Args:
        config: The config file.
        seed: The seed of all random number generators.
        cfg_options: New values for settings in the config, such as ``{"runner.max_epochs": 1}``.
        device: ``"cpu"`` or ``"cuda"``. By default, the GPU is used if there is one.

    Raises:
        FileNotFoundError: The config does not exist.
        ValueError: The seed is out of range, the device is not available, or a setting in the
            config or in ``cfg_options`` is wrong or missing.

    Example:
        >>> override = {"checkpoint_config": {"interval": 500, "by_epoch": False}}
        >>> settings = read_settings("configs/lvis_v1/softmax.py", 3, override, device="cpu")
        >>> settings.seed, settings.max_epochs, settings.checkpoint_interval
        (3, 24, 500)
        >>> settings.optimizer_step, settings.loss_scaling  # float32 on CPUs
        ({'grad_clip': None}, None)
    """
    if not (isinstance(seed, int) and 0 <= seed < 2**32):  # NumPy rejects all other seeds
        raise ValueError(f"seed must be an integer from 0 to {2**32 - 1}, got {seed!r}")
    cfg = load_config(config, cfg_options)
    if lacking := missing(cfg._cfg_dict):
        raise ValueError(
            f"{config} cannot be used for training: add the "
            f"setting{'s' * (len(lacking) > 1)} {', '.join(lacking)}"
        )
    picked = pick_device(device)
    return TrainingSettings(
        config=cfg,
        unread=tuple(unread_variables(cfg._cfg_dict, cfg.text)) if cfg.filename else (),
        device=picked,
        seed=seed,
        max_epochs=cfg.runner.max_epochs,
        log_interval=cfg.log_config.interval,
        checkpoint_interval=_checkpoint_interval(cfg.get("checkpoint_config") or {}),
        loader=loader_settings(cfg, "train"),
        optimizer=cfg.optimizer,
        optimizer_step=dict(cfg.get("optimizer_config") or {}),
        loss_scaling=cfg.fp16 if uses_half_precision(cfg, picked) else None,
        schedules={key: cfg.get(key) for key in ("lr_config", "momentum_config")},
        custom_hooks=tuple(cfg.get("custom_hooks") or ()),
        validation=read_validation_settings(cfg),
        first_weights=cfg.get("load_from") or None,
        find_unused_parameters=bool(cfg.get("find_unused_parameters")),
        cudnn_benchmark=cfg.get("cudnn_benchmark"),
        opencv_threads=cfg.get("opencv_num_threads"),
    )


def _checkpoint_interval(config: Mapping[str, Any]) -> int:
    return 0 if config.get("by_epoch", True) else config.get("interval", 1)


def loader_settings(cfg: Config, split: str) -> dict[str, int]:
    """Return the data loader's ``samples_per_gpu`` and ``workers_per_gpu`` for a dataset split.

    As in mmdet, values in ``data.<split>_dataloader`` override values in ``data``. For validation
    and testing, ``samples_per_gpu`` is 1 unless ``data.<split>_dataloader`` sets it.

    Example:
        >>> cfg = Config(dict(data=dict(samples_per_gpu=4, workers_per_gpu=2)))
        >>> loader_settings(cfg, "train")
        {'samples_per_gpu': 4, 'workers_per_gpu': 2}
        >>> loader_settings(cfg, "val")
        {'samples_per_gpu': 1, 'workers_per_gpu': 2}
    """
    own = cfg.data.get(f"{split}_dataloader") or {}
    common = {"samples_per_gpu": 1} if split != "train" else {}
    names = ("samples_per_gpu", "workers_per_gpu")
    merged = {**cfg.data, **common, **own}
    return {name: merged[name] for name in names if name in merged}


def uses_half_precision(cfg: Config, device: torch.device) -> bool:
    """Return whether the config asks for half precision and the device is a GPU.

    Example:
        >>> cfg = Config(dict(fp16=dict(loss_scale="dynamic")))
        >>> [uses_half_precision(cfg, torch.device(name)) for name in ("cpu", "cuda")]
        [False, True]
    """
    return bool(cfg.get("fp16")) and device.type == "cuda"


def comparable_settings(config: Config, seed: int | None, processes: int | None) -> dict[str, Any]:
    """Combine a config, a seed and the number of processes into one dictionary.

    Use :func:`pcb.runs.settings.other_settings` to compare the dictionaries of two training runs.

    Example:
        >>> comparable_settings(Config({"runner": {"max_epochs": 9}}), seed=0, processes=1)
        {'runner': {'max_epochs': 9}, 'seed': 0, 'processes': 1}
    """
    return {**config._cfg_dict.to_dict(), "seed": seed, "processes": processes}


def recorded_settings(folder: RunFolder) -> dict[str, Any]:
    """Return the settings of a training run, read from its folder.

    Settings that the folder does not contain are None. Use
    :func:`pcb.runs.settings.other_settings` to compare the settings of two training runs.

    Raises:
        FileNotFoundError: The folder has no merged config.
    """
    known = folder.read_environment() if folder.environment_file.is_file() else {}
    config = load_config(folder.path, for_training=False)
    recorded = comparable_settings(config, known.get("seed"), known.get("processes"))
    if known.get("device") == "cpu":
        recorded |= {name: known.get(name) for name in ("threads", "cpu_capability")}
    return recorded
