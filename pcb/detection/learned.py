"""Get PCB's learned confusion matrix from a loss or from a checkpoint."""

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
    """Return the confusion matrix that a PairwiseClassBalance has learned so far.

    The matrix is a NumPy array. The result also contains the settings of PCB.

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
    """Return the confusion matrix that PCB had learned when a checkpoint was saved.

    Checkpoints of the official PCB code are also accepted. The result also contains the settings of
    PCB. These settings come from the config, because a checkpoint does not contain them.

    Args:
        loss: The config's ``model.roi_head.bbox_head.loss_cls``.
        checkpoint: The result of :func:`pcb.detection.checkpoint.read_checkpoint`.
        source: The name of the checkpoint in error messages.

    Raises:
        ValueError: The checkpoint contains no matrix, the loss in the config has no matrix, or the
            shapes of the two matrices differ.
    """
    state = checkpoint.get("state_dict", checkpoint)
    state = {
        name.removeprefix(LOSS_PREFIX): value
        for name, value in state.items()
        if name.startswith(LOSS_PREFIX)
    }
    needed = (OFFICIAL_BUFFERS[own] for own in ("balance.confusion", "balance.instance_count"))
    if any(name not in state for name in needed):
        raise ValueError(
            f"{source} contains no confusion matrix, because it was trained without PCB: use a "
            "checkpoint that was trained with PCB"
        )
    built = build_loss(loss)
    if getattr(built, "balance", None) is None:
        raise ValueError(
            f"{source} contains a confusion matrix, but the loss {loss['type']} in the config has "
            "none: use the config that the checkpoint was trained with"
        )
    load_weights(built, {"state_dict": state}, source)
    _check_rows(built.balance, source)
    learned = learned_by(built.balance)
    if OFFICIAL_BUFFERS["balance.update_count"] not in state:
        return replace(learned, update_count=None)
    return learned


def _check_rows(balance: PairwiseClassBalance, source: str | Path) -> None:
    """Warn if a softmax loss learned the matrix, but the config has a sigmoid loss, or vice versa.

    Only a softmax loss learns a matrix whose rows sum to 1. If the config has the wrong loss, the
    soft labels computed from the matrix are wrong.
    """
    sums = balance.confusion.sum(dim=1)[balance.instance_count > 0]
    if len(sums) == 0:
        return
    sum_to_one = bool(((sums - 1).abs() < 0.01).all())
    if sum_to_one != balance.normalize_rows:
        warnings.warn(
            f"{source} was probably trained with a different loss than the one in the config. The "
            f"row sums of its confusion matrix are between {sums.min():.3g} and {sums.max():.3g}, "
            f"but a {balance.activation} loss learns rows that "
            f"{'sum' if balance.normalize_rows else 'do not sum'} to 1. Use the config that the "
            "checkpoint was trained with",
            stacklevel=3,
        )
