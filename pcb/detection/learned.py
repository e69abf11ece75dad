"""What a balance has learned, as arrays: of a training, or of a checkpoint alone."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.models.builder import build_loss

from pcb.balance import PairwiseClassBalance
from pcb.detection.box_head_loss import OFFICIAL_BUFFERS
from pcb.detection.checkpoint import load_weights

LOSS_PREFIX = "roi_head.bbox_head.loss_cls."


def learned_arrays(balance: PairwiseClassBalance) -> dict[str, np.ndarray]:
    """The running matrix and what is needed to read it.

    Returns:
        ``learned`` (C, C), true class i predicted as j; ``instance_count`` and ``update_count``
        (C,); and the settings ``momentum``, ``alpha``, ``start_epoch``, ``normalize_rows``,
        ``normalize_columns`` and ``epoch``.

    Example:
        >>> arrays = learned_arrays(PairwiseClassBalance(2, alpha=0.2, activation="sigmoid"))
        >>> arrays["learned"].shape, float(arrays["alpha"]), bool(arrays["normalize_columns"])
        ((2, 2), 0.2, False)
    """
    values = {
        "learned": balance.confusion.cpu(),
        "instance_count": balance.instance_count.cpu(),
        "update_count": balance.update_count.cpu(),
        "momentum": balance.momentum,
        "alpha": balance.alpha,
        "start_epoch": balance.start_epoch,
        "normalize_rows": balance.normalize_rows,
        "normalize_columns": balance.normalize_columns,
        "epoch": int(balance.epoch),
    }
    return {name: np.asarray(value) for name, value in values.items()}


def learned_in_checkpoint(
    loss: Mapping[str, Any], checkpoint: Mapping[str, Any], source: str | Path
) -> dict[str, np.ndarray]:
    """The same of a checkpoint, such as a downloaded official one.

    The settings are those of the config: a checkpoint does not say how its matrix is to be read.

    Args:
        loss: the config's ``model.roi_head.bbox_head.loss_cls``.
        checkpoint: from :func:`pcb.detection.checkpoint.read_checkpoint`.
        source: named in errors.

    Returns:
        See :func:`learned_arrays`; without ``update_count`` where the checkpoint has none, as
        official ones.

    Raises:
        ValueError: the checkpoint or the config's loss has no matrix, or they do not fit.
    """
    state = checkpoint.get("state_dict", checkpoint)
    state = {
        name.removeprefix(LOSS_PREFIX): value
        for name, value in state.items()
        if name.startswith(LOSS_PREFIX)
    }
    needed = (OFFICIAL_BUFFERS[own] for own in ("balance.confusion", "balance.instance_count"))
    if any(name not in state for name in needed):
        raise ValueError(f"{source} holds no confusion matrix: it was trained without PCB")
    built = build_loss(loss)
    if getattr(built, "balance", None) is None:
        raise ValueError(
            f"{source} holds a confusion matrix, but the config's loss {loss['type']} has none: "
            "use the config that it was trained with"
        )
    load_weights(built, {"state_dict": state}, source)
    _check_rows(built.balance, source)
    arrays = learned_arrays(built.balance)
    if OFFICIAL_BUFFERS["balance.update_count"] not in state:
        del arrays["update_count"]
    return arrays


def _check_rows(balance: PairwiseClassBalance, source: str | Path) -> None:
    """Warn of a matrix of another kind of loss: its soft labels would all be wrong."""
    sums = balance.confusion.sum(dim=1)[balance.instance_count > 0]
    if len(sums) == 0:
        return
    sum_to_one = bool(((sums - 1).abs() < 0.01).all())
    if sum_to_one != balance.normalize_rows:
        warnings.warn(
            f"{source} seems to be trained with another loss than the config's: the rows of its "
            f"confusion matrix sum to {sums.min():.3g} to {sums.max():.3g}, and those of a "
            f"{balance.activation} loss to {'1' if balance.normalize_rows else 'other values'}",
            stacklevel=3,
        )
