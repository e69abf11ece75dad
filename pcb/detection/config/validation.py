"""The setting ``evaluation`` of a config, which validates the model during training."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pcb.messages.printable import short_repr
from pcb.runs.files import IOU_TYPES

VALIDATION_METRICS = ("AP", "APr", "APc", "APf")


@dataclass(frozen=True)
class Validation:
    """When training validates the model, and what it measures.

    Attributes:
        interval: Number of epochs between two validations. The last epoch is always validated.
        iou_types: ``"bbox"``, ``"segm"`` or both.
        save_best: The metric by which the best epoch is chosen, such as ``"segm_AP"``. If None, no
            best checkpoint is kept.
    """

    interval: int
    iou_types: tuple[str, ...]
    save_best: str | None

    def is_due(self, epoch: int, max_epochs: int) -> bool:
        """Return whether the model is validated after an epoch, counted from 1.

        Example:
            >>> validation = Validation(2, ("segm",), None)
            >>> [epoch for epoch in range(1, 6) if validation.is_due(epoch, max_epochs=5)]
            [2, 4, 5]
        """
        return epoch % self.interval == 0 or epoch == max_epochs


def read_validation_settings(cfg: Mapping[str, Any]) -> Validation | None:
    """Return the setting ``evaluation`` of a config, or None if the config does not set it.

    ``save_best="auto"`` chooses AP of the first entry of ``metric``, as mmdet does.

    Example:
        >>> read_validation_settings({"evaluation": {"metric": "segm", "save_best": "auto"}})
        Validation(interval=1, iou_types=('segm',), save_best='segm_AP')
    """
    settings = cfg.get("evaluation")
    if settings is None:
        return None
    iou_types = _iou_types(settings)
    best = settings.get("save_best")
    best = f"{iou_types[0]}_AP" if best == "auto" else best
    return Validation(settings.get("interval") or 1, iou_types, best)


def wrong_validation(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error message for each value in ``evaluation`` that training cannot use."""
    settings = cfg.get("evaluation")
    if not isinstance(settings, Mapping):
        return
    iou_types = _iou_types(settings)
    if not iou_types or any(name not in IOU_TYPES for name in iou_types):
        yield (
            "evaluation.metric must be 'bbox', 'segm' or a list of both, got "
            f"{short_repr(settings['metric'])}"
        )
        return
    best = settings.get("save_best")
    names = [f"{iou_type}_{name}" for iou_type in iou_types for name in VALIDATION_METRICS]
    if best not in (None, "auto", *names):
        yield (
            f"evaluation.save_best is {short_repr(best)}, which is not measured: use 'auto' or "
            f"one of {', '.join(names)}"
        )
    data = cfg.get("data")
    val = data.get("val") if isinstance(data, Mapping) else None
    if not (isinstance(val, Mapping) and isinstance(val.get("ann_file"), str)):
        yield (
            "evaluation needs data.val with one annotation file: set data.val.ann_file, or set "
            "evaluation to None"
        )


def _iou_types(settings: Mapping[str, Any]) -> tuple[Any, ...]:
    metric = settings.get("metric")
    if metric is None:
        return IOU_TYPES
    return tuple(metric) if isinstance(metric, list | tuple) else (metric,)
