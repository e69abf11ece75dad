"""What a balance has learned, during a training or in a checkpoint."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmdet.models.builder import build_loss

from pcb.balance import PairwiseClassBalance
from pcb.detection.box_head_loss import OFFICIAL_BUFFERS
from pcb.detection.checkpoint import load_weights
from pcb.metrics.learned import LearnedConfusion

LOSS_PREFIX = "roi_head.bbox_head.loss_cls."


def learned_by(balance: PairwiseClassBalance) -> LearnedConfusion:
    """The matrix that a balance has learned so far, on the CPU.

    Example:
        >>> learned = learned_by(PairwiseClassBalance(2, alpha=0.2, activation="sigmoid"))
        >>> learned.matrix.shape, learned.alpha, learned.normalize_columns
        ((2, 2), 0.2, False)
    """
    return LearnedConfusion(
        matrix=balance.confusion.cpu().numpy(),
        instance_count=balance.instance_count.cpu().numpy(),
        update_count=balance.update_count.cpu().numpy(),
        momentum=balance.momentum,
        alpha=balance.alpha,
        start_epoch=balance.start_epoch,
        normalize_rows=balance.normalize_rows,
        normalize_columns=balance.normalize_columns,
        epoch=int(balance.epoch),
    )


def learned_in_checkpoint(
    loss: Mapping[str, Any], checkpoint: Mapping[str, Any], source: str | Path
) -> LearnedConfusion:
    """The matrix that a checkpoint holds, such as a downloaded official one.

    The settings come from the config, because a checkpoint does not tell how to read its matrix.

    Args:
        loss: the config's ``model.roi_head.bbox_head.loss_cls``.
        checkpoint: from :func:`pcb.detection.checkpoint.read_checkpoint`.
        source: the checkpoint's name in errors.

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
    learned = learned_by(built.balance)
    if OFFICIAL_BUFFERS["balance.update_count"] not in state:
        return replace(learned, update_count=None)
    return learned


def _check_rows(balance: PairwiseClassBalance, source: str | Path) -> None:
    """Warn if the matrix was learned with another kind of loss: its soft labels would be wrong."""
    sums = balance.confusion.sum(dim=1)[balance.instance_count > 0]
    if len(sums) == 0:
        return
    sum_to_one = bool(((sums - 1).abs() < 0.01).all())
    if sum_to_one != balance.normalize_rows:
        warnings.warn(
            f"{source} seems to be trained with another loss than the config's: the rows of its "
            f"confusion matrix sum to {sums.min():.3g} to {sums.max():.3g}, but those of a "
            f"{balance.activation} loss sum to {'1' if balance.normalize_rows else 'other values'}",
            stacklevel=3,
        )
