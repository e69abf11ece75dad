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
    """Return the learned confusion matrix and the settings of a PairwiseClassBalance module.

    The matrix is a NumPy array.

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
    """Return the learned confusion matrix in a checkpoint, and the PCB settings in a config.

    Checkpoints of the official PCB code are also accepted.

    Args:
        loss: The config's ``model.roi_head.bbox_head.loss_cls``.
        checkpoint: The result of :func:`pcb.detection.checkpoint.read_checkpoint`.
        source: Name of the checkpoint, for error messages.

    Raises:
        ValueError: The checkpoint contains no matrix, the loss in the config learns no matrix, or
            the checkpoint and the config have different numbers of classes.
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
            f"{source} contains no confusion matrix: use a checkpoint that was trained with PCB"
        )
    built = build_loss(loss)
    if getattr(built, "balance", None) is None:
        raise ValueError(
            f"{source} contains a confusion matrix, but the loss {loss['type']} in the config "
            "does not learn one: use the config that the checkpoint was trained with"
        )
    load_weights(built, {"state_dict": state}, source)
    _check_rows(built.balance, source)
    learned = learned_by(built.balance)
    if OFFICIAL_BUFFERS["balance.update_count"] not in state:
        return replace(learned, update_count=None)
    return learned


def _check_rows(balance: PairwiseClassBalance, source: str | Path) -> None:
    """Warn if a confusion matrix was probably not learned by the loss in the config.

    Only a softmax loss learns a matrix whose rows sum to 1.
    """
    sums = balance.confusion.sum(dim=1)[balance.instance_count > 0]
    if len(sums) == 0:
        return
    sum_to_one = bool(((sums - 1).abs() < 0.01).all())
    if sum_to_one != balance.normalize_rows:
        warnings.warn(
            f"the rows of the confusion matrix in {source} {'sum' if sum_to_one else 'do not sum'} "
            f"to 1, so the matrix was probably not learned with the {balance.activation} loss in "
            "the config. Use the config of the training run",
            stacklevel=3,
        )
