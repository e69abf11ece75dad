"""The valid keys of a config: arguments of the classes that it uses, and keys that mmdet reads.

A key that no code reads is reported as an error, both in a config file and in an override.
Otherwise, a misspelt key would be ignored, and training would silently use the default value.
"""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mmdet.models.detectors import TwoStageDetector

from pcb.detection.config.components import (
    POLICY_SUFFIXES,
    argument_names,
    is_users_own,
    known_components,
    policy_of,
    type_name,
)
from pcb.messages.nearest import nearest_names, suggestion

# The top-level settings that mmdet's own tools or this kit read.
TOP_LEVEL = {
    *("model", "data", "optimizer", "optimizer_config", "lr_config", "momentum_config", "runner"),
    *("checkpoint_config", "log_config", "custom_hooks", "custom_imports", "fp16", "evaluation"),
    *("load_from", "resume_from", "auto_resume", "workflow", "dist_params", "log_level"),
    *("opencv_num_threads", "mp_start_method", "cudnn_benchmark", "find_unused_parameters"),
    *("auto_scale_lr", "gpu_ids", "gpus", "seed", "deterministic", "work_dir", "device"),
    *("total_epochs", "train_cfg", "test_cfg"),
}

# Keys that builders remove from a dictionary before they pass the rest of it to the type.
_READ_BY_BUILDERS = {
    "hook": {"priority"},
    "optimizer": {"constructor", "paramwise_cfg"},
    "dataset": {"separate_eval"},
    "norm layer": {"requires_grad"},
    "conv layer": {"fallback_on_stride"},
    "initializer": {"override", "name"},
    "models": {"bg_cls_weight"},  # in a loss: DETR's head removes the key
}
# mmdet's builder passes only these keys to dataset wrappers, even if their signatures have more.
_WRAPPERS = {
    "ConcatDataset": {"datasets", "separate_eval"},
    "RepeatDataset": {"dataset", "times"},
    "ClassBalancedDataset": {"dataset", "oversample_thr"},
}
# mmcv's `batched_nms` reads these keys itself and passes the others to the operation.
_NMS = {"class_agnostic", "split_thr", "max_num"}
# Dictionaries under these keys are not checked, because their types are not registered or because
# they are not built from a type.
_FREE_TYPES = re.compile(r"adapt_cfg|bbox_params|\w+_trans")
_FREE_KEYS = {"upsample_cfg", "dcn"}

_LOADER = {"samples_per_gpu", "workers_per_gpu", "persistent_workers", "shuffle"}
_ONE_STAGE = {"assigner", "sampler", "allowed_border", "pos_weight", "debug"}
_PROPOSALS = {"nms_pre", "max_per_img", "nms", "min_bbox_size", "score_thr"}
_PROPOSALS |= {"nms_across_levels", "nms_post", "max_num", "nms_thr"}  # deprecated by mmdet
# Valid keys of dictionaries without a type. Dictionaries that are not listed may have any key.
_PLAIN: dict[str, set[str]] = {
    "data": {"samples_per_gpu", "workers_per_gpu", "persistent_workers", "shuffle"}
    | {"train", "val", "test", "train_dataloader", "val_dataloader", "test_dataloader"},
    **{f"data.{split}_dataloader": _LOADER for split in ("train", "val", "test")},
    "runner": {"type", "max_epochs", "max_iters"},
    "log_config": {"interval", "hooks"},
    "evaluation": {"interval", "metric", "save_best"},
    "fp16": {"loss_scale", "patience"},
    "optimizer.paramwise_cfg": {"custom_keys", "bypass_duplicate", "bias_lr_mult"}
    | {"bias_decay_mult", "norm_decay_mult", "dwconv_decay_mult", "dcn_offset_lr_mult"},
    "optimizer_config.grad_clip": {"max_norm", "norm_type", "error_if_nonfinite", "foreach"},
    "custom_imports": {"imports", "allow_failed_imports"},
    "dist_params": {"backend", "port"},
    "auto_scale_lr": {"enable", "base_batch_size"},
}
# mmdet's two constructors that set learning rates by layer read these keys. A user-defined
# constructor may read any key.
_BY_LAYERS = {"num_layers", "decay_rate", "decay_type"}
_LAYER_CONSTRUCTORS = ("LearningRateDecayOptimizerConstructor", "LayerDecayOptimizerConstructor")
_CUSTOM_KEYS = "optimizer.paramwise_cfg.custom_keys."  # contains one dictionary per model part
# Valid keys of the dictionaries without a type that two-stage detectors of mmdet 2.28 read.
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
    """Return an error message, with a hint, for each unknown key or type in a merged config.

    Top-level keys are not checked here, but in :mod:`pcb.detection.config.faults`.

    Example:
        >>> unknown_keys({"runner": {"type": "EpochBasedRunner", "max_epoch": 1}})
        ["runner.max_epoch is unknown: did you mean 'max_epochs'?"]
    """
    return list(Schema(cfg).faults())


class Schema:
    """The valid keys of one config. They depend on the types that the config uses.

    Args:
        cfg: The whole merged config.
        components: The result of :func:`known_components`; None to compute it.
    """

    def __init__(
        self, cfg: Mapping[str, Any], components: dict[str, dict[Any, str]] | None = None
    ) -> None:
        self.cfg = cfg
        self.components = known_components() if components is None else components
        self.plain = _PLAIN | (_TWO_STAGE if self._is_two_stage_of_mmdet() else {})
        optimizer = cfg.get("optimizer")
        constructor = optimizer.get("constructor") if isinstance(optimizer, Mapping) else None
        self.default_constructor = constructor in (None, "DefaultOptimizerConstructor")
        if constructor in _LAYER_CONSTRUCTORS:
            self.plain["optimizer.paramwise_cfg"] = _BY_LAYERS
        elif not self.default_constructor:
            del self.plain["optimizer.paramwise_cfg"]

    def faults(self) -> Iterator[str]:
        """Yield an error message for each unknown key or type in the config."""
        for key, value in self.cfg.items():
            if key in TOP_LEVEL:  # the values of variables are checked where settings use them
                yield from self._faults_in(value, str(key))

    def _faults_in(self, node: Any, path: str, in_users_own: bool = False) -> Iterator[str]:
        """Yield an error message for each unknown key or type in a part of the config.

        Args:
            node: The part of the config.
            path: The dotted key of the part.
            in_users_own: Whether the part belongs to a user-defined type. If so, every ``type`` in
                this part is accepted.
        """
        if isinstance(node, list | tuple):
            for number, inner in enumerate(node):
                yield from self._faults_in(inner, f"{path}.{number}", in_users_own)
        if not isinstance(node, Mapping):
            return
        name = type_name(node, path)
        last = path.rpartition(".")[2]
        found = self.components.get(name, {}) if isinstance(name, str) else {}
        if isinstance(name, str) and not (found or in_users_own or _FREE_TYPES.fullmatch(last)):
            known = [one for one in self.components if "." not in one]
            if "policy" in node and path in POLICY_SUFFIXES:
                named, wanted = f"policy {node['policy']!r}", str(node["policy"])
                known = sorted(policy for one in known if (policy := policy_of(one, path)))
                near = nearest_names(wanted, known) or known
            else:
                named, wanted = f"type {name!r}", name
                near = nearest_names(wanted, known)
            hint = (
                suggestion(wanted, near)
                if near
                else "add the module that registers the type to custom_imports"
            )
            yield f"{path}: {named} is not registered: {hint}"
        in_users_own = in_users_own or any(map(is_users_own, found))
        valid = self.valid_keys(node, path)
        for key, inner in node.items():
            dotted = f"{path}.{key}"
            if valid is not None and key not in valid:
                yield f"{dotted} is unknown: {suggestion(str(key), sorted(valid))}"
            elif not (name == "Albu" and key == "transforms"):  # from albumentations
                yield from self._faults_in(inner, dotted, in_users_own)

    def valid_keys(self, node: Mapping[str, Any], path: str) -> set[str] | None:
        """Return the valid keys of a dictionary in the config, or None if every key is valid.

        Args:
            node: The dictionary.
            path: The dotted key of the dictionary.
        """
        pattern = re.sub(r"(\.rcnn)\.\d+", r"\1", path)  # in a cascade, rcnn is a list of stages
        if pattern in self.plain:
            return self.plain[pattern]
        if self.default_constructor and path.startswith(_CUSTOM_KEYS):
            return {"lr_mult", "decay_mult"}
        name, last = type_name(node, path), path.rpartition(".")[2]
        if not isinstance(name, str) or name not in self.components or last in _FREE_KEYS:
            return None
        if name in _WRAPPERS:
            return _WRAPPERS[name] | {"type"}
        valid = {"type", "policy"} if "policy" in node else {"type"}
        for component, registry in self.components[name].items():
            arguments = argument_names(component)
            if arguments is None:
                return None
            valid |= arguments | _READ_BY_BUILDERS.get(registry, set())
        return valid | _NMS if last == "nms" else valid

    def _is_two_stage_of_mmdet(self) -> bool:
        """Return whether the model is a two-stage detector that has no user-defined parts."""
        model = self.cfg.get("model")
        if not isinstance(model, Mapping):
            return False
        detectors = self.components.get(str(model.get("type")), {})
        types = {value for key, value in _leaves(model) if key == "type"}
        has_own = any(is_users_own(c) for name in types for c in self.components.get(name, {}))
        return not has_own and any(
            inspect.isclass(c) and issubclass(c, TwoStageDetector) for c in detectors
        )


def _leaves(node: Any) -> Iterator[tuple[str, Any]]:
    """Flatten nested containers: yield each (key, value) pair whose value is not a container."""
    inside: Iterable = node.items() if isinstance(node, Mapping) else (("", v) for v in node)
    for key, value in inside:
        if isinstance(value, Mapping | list | tuple):
            yield from _leaves(value)
        else:
            yield key, value
