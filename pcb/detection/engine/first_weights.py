"""Start training from the weights of a checkpoint that fit, and report those that do not."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from torch import Tensor, nn

from pcb.detection.checkpoint import (
    averages_in,
    class_names_in,
    describe_other_classes,
    read_checkpoint,
)
from pcb.detection.engine.settings import TrainingSettings
from pcb.detection.roi_head import IterativeRoIHead

_SHOWN = 20  # number of layers that a message lists


@dataclass(frozen=True)
class FirstWeights:
    """What :func:`load_fitting_weights` loaded from a checkpoint.

    Attributes:
        file: The checkpoint.
        loaded: Number of the model's weights and buffers that were loaded.
        total: Number of the model's weights and buffers.
        new: The layers that keep their initialisation, each with the reason.
        unused: The layers in the checkpoint that were not loaded because the model lacks them.
        classes: How the classes differ, or that the checkpoint contains no class names. The text is
            empty if the classes are the same.
    """

    file: Path
    loaded: int
    total: int
    new: dict[str, str]
    unused: tuple[str, ...]
    classes: str

    def describe(self) -> str:
        """Return the numbers, the classes, the new layers and the unused layers as text.

        Example:
            >>> new = {"fc_cls": "81 outputs in the checkpoint, 41 here"}
            >>> print(FirstWeights(Path("coco.pth"), 8, 10, new, ("fc_iou",), "").describe())
            8 of 10 weights and buffers loaded from coco.pth
              new: fc_cls (81 outputs in the checkpoint, 41 here)
              only in the checkpoint, not used: fc_iou
        """
        lines = [f"{self.loaded} of {self.total} weights and buffers loaded from {self.file}"]
        if self.classes:
            lines.append(self.classes)
        layers = [f"{layer} ({reason})" for layer, reason in self.new.items()]
        lines += [f"new: {layer}" for layer in layers[:_SHOWN]]
        if layers[_SHOWN:]:
            lines.append(f"new: {len(layers) - _SHOWN} more layers, listed in environment.json")
        if self.unused:
            names, more = ", ".join(self.unused[:_SHOWN]), len(self.unused) - _SHOWN
            more_text = f" and {more} more" if more > 0 else ""
            lines.append(f"only in the checkpoint, not used: {names}{more_text}")
        return "\n  ".join(lines)

    def record(self, name: str | None) -> dict[str, Any]:
        """Return the entry for ``environment.json``, with the file's SHA-256.

        Args:
            name: The file as the config's ``load_from`` names it.
        """
        with open(self.file, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        counts = {"loaded": self.loaded, "total": self.total}
        lists = {"new": dict(self.new), "unused": list(self.unused)}
        return {"file": name, "sha256": digest, **counts, **lists}


def read_first_weights(settings: TrainingSettings, trust_checkpoint: bool) -> dict[str, Any]:
    """Read the checkpoint that training starts from.

    Args:
        settings: The settings of a training run that has ``load_from``.
        trust_checkpoint: Whether to read the file even if reading it may execute code.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not a checkpoint.
    """
    try:
        return read_checkpoint(settings.first_weights_file(), trust_checkpoint)
    except (OSError, ValueError) as error:
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        raise kind(f"load_from in the config: {error}") from error


def load_fitting_weights(
    model: nn.Module,
    checkpoint: dict[str, Any],
    class_names: Sequence[str],
    source: str | Path,
) -> FirstWeights:
    """Load every weight and buffer whose name and shape fit; the others keep their initial values.

    Nothing is loaded into a layer that depends on the classes, such as ``fc_cls`` or the confusion
    matrix of PCB, if one of its tensors has a different shape or if the class names in the
    checkpoint differ from those of the training set.

    Args:
        model: The model. If an error is raised, the model is not changed.
        checkpoint: The result of :func:`pcb.detection.checkpoint.read_checkpoint`.
        class_names: (C,) class names of the training set, in label order.
        source: The path of the checkpoint.

    Returns:
        The number of loaded tensors, the new layers and the unused layers.

    Raises:
        ValueError: Fewer than half of the model's weights and buffers fit, or none of its backbone.
    """
    state, expected = checkpoint.get("state_dict", checkpoint), model.state_dict()
    missing = {name for name in expected if name not in state}
    fitting = {name for name in expected if name in state and not _misfit(state, expected, name)}
    in_backbone = [name for name in expected if name.startswith("backbone.")]
    if 2 * len(fitting) < len(expected) or (in_backbone and fitting.isdisjoint(in_backbone)):
        raise ValueError(
            f"{source} does not fit the config: only {len(fitting)} of the model's "
            f"{len(expected)} weights and buffers have the same name and shape in the checkpoint"
            f"{', none of them in the backbone' * fitting.isdisjoint(in_backbone)}. It probably "
            "belongs to a different architecture: set load_from to a checkpoint of this "
            "architecture, or to None"
        )
    other = describe_other_classes(checkpoint, class_names)
    class_layers = [
        [name for name in expected if name.startswith(f"{layer}.")]
        for layer in sorted(set(_class_layers(model)))
    ]
    dependent = {name for names in class_layers for name in names}
    for names in class_layers:
        if other or any(name not in fitting | missing for name in names):
            fitting -= set(names)
    model.load_state_dict({name: state[name] for name in state if name in fitting}, strict=False)

    reasons = {
        name: "not in the checkpoint" if name in missing else _misfit(state, expected, name)
        for name in expected
        if name not in fitting
    }
    new: dict[str, str] = {}
    for name, layer in _layers(reasons, expected).items():
        new[layer] = new.get(layer) or reasons[name]
    classes = other
    if class_names_in(checkpoint) is None and fitting & dependent:
        classes = (
            "the checkpoint does not contain class names, so layers that depend on the classes "
            "were loaded wherever their shapes fit"
        )
    averages = averages_in(model, checkpoint)
    others = [name for name in state if name not in expected and name not in averages]
    unused = [*_layers(others, state).values()]
    if averages:
        unused.append(f"{len(averages)} running averages of weights (ema_...)")
    return FirstWeights(
        file=Path(source),
        loaded=len(fitting),
        total=len(expected),
        new={layer: reason or "other classes" for layer, reason in new.items()},
        unused=tuple(dict.fromkeys(unused)),
        classes=classes,
    )


def _class_layers(model: nn.Module) -> Iterator[str]:
    """Yield the names of the modules whose weights or buffers belong to certain classes."""
    for name, module in model.named_modules():
        prefix = f"{name}." * bool(name)
        if isinstance(module, BBoxHead):
            yield from (f"{prefix}fc_cls", f"{prefix}loss_cls")
            if not module.reg_class_agnostic:
                yield f"{prefix}fc_reg"
        elif isinstance(module, FCNMaskHead):
            if not module.class_agnostic:
                yield f"{prefix}conv_logits"
        elif isinstance(module, IterativeRoIHead):
            yield f"{prefix}cls_sub_module"
            if not module.bbox_head.reg_class_agnostic:
                yield f"{prefix}loc_sub_module"
        elif getattr(module, "num_classes", 1) > 1:  # other heads and losses
            yield name


def _misfit(state: Mapping[str, Any], expected: Mapping[str, Tensor], name: str) -> str:
    """Describe how a tensor's shape differs from the expected shape; empty if it does not."""
    here = tuple(expected[name].shape)
    if not isinstance(state[name], Tensor):
        return f"{name} is a value of type {type(state[name]).__name__} in the checkpoint"
    there = tuple(state[name].shape)
    if here == there:
        return ""
    if len(here) == len(there) > 1:
        if here[1:] == there[1:]:
            return f"{there[0]} outputs in the checkpoint, {here[0]} here"
        if here[:1] + here[2:] == there[:1] + there[2:]:
            return f"{there[1]} inputs in the checkpoint, {here[1]} here"
    return f"shape {there} in the checkpoint, {here} here"


def _layers(names: Sequence[str] | Mapping[str, Any], among: Mapping[str, Any]) -> dict[str, str]:
    """Map each name to the largest module all of whose names are given, or else to itself."""
    others = [name for name in among if name not in names]
    kept = {name[:end] for name in others for end in _ends(name)}
    return {
        name: next((name[:end] for end in _ends(name) if name[:end] not in kept), name)
        for name in names
    }


def _ends(name: str) -> list[int]:
    """Return the positions of the dots in a name."""
    return [position for position, char in enumerate(name) if char == "."]
