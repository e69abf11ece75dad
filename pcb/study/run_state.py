"""The state of a training run: running, finished or stopped."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from pcb.runs.folder import RunFolder
from pcb.runs.processes import TRAINING
from pcb.storage.locks import Writer
from pcb.storage.writing import writer


@dataclass(frozen=True)
class RunState:
    """The state of a run at the time when :func:`state_of` was called.

    Attributes:
        run: The run folder.
        kind: ``"running"``, ``"finished"`` or ``"stopped"``. A finished run has a checkpoint of
            the last epoch. A run that was never started counts as stopped.
        trainer: The process that is training, on any machine; None if no process is training.
    """

    run: RunFolder
    kind: Literal["running", "finished", "stopped"]
    trainer: Writer | None = None

    @property
    def is_launched(self) -> bool:
        """Whether :func:`pcb.study.start_training` started the process that is now training.

        If so, the output of the training process is in :attr:`pcb.runs.RunFolder.output_file`.
        """
        return self.trainer is not None and bool(self.trainer.note)

    @cached_property
    def settings(self) -> dict[str, Any] | None:
        """The settings of the training run, such as its merged config and its seed.

        The value is None if the settings are unknown, or if the run is stopped and has no
        checkpoint. Use :func:`pcb.runs.settings.other_settings` to compare the settings of two
        training runs.

        Raises:
            ValueError: The run's ``config.py`` is not a merged config.
        """
        if self.trainer and self.trainer.note:  # launched
            return json.loads(self.trainer.note)
        run = self.run
        if not run.config_file.is_file() or (not self.trainer and not run.checkpoint.is_file()):
            return None
        from pcb.detection.engine.settings import recorded_settings

        return recorded_settings(run)


def state_of(run: RunFolder) -> RunState:
    """Find out whether a training run is running, finished or stopped.

    Example:
        >>> import tempfile
        >>> run = RunFolder(tempfile.mkdtemp())
        >>> state_of(run).kind
        'stopped'
        >>> from pcb.storage.writing import writing_alone
        >>> with writing_alone(run.path, "training"):
        ...     state_of(run).kind
        'running'
    """
    if found := trainer(run):
        return RunState(run, "running", found)
    return RunState(run, "finished" if _has_last_checkpoint(run) else "stopped")


def trainer(run: RunFolder) -> Writer | None:
    """Return the process that is training in a run folder; None if no process is training."""
    found = writer(run.path)
    return found if found and found.purpose == TRAINING else None


def _has_last_checkpoint(run: RunFolder) -> bool:
    if not (run.checkpoint.is_file() and run.config_file.is_file()):
        return False
    from pcb.detection.checkpoint import read_checkpoint

    epochs = run.read_config()["runner"]["max_epochs"]
    return read_checkpoint(run.checkpoint).get("meta", {}).get("epoch", 0) >= epochs
