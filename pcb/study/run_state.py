"""The state of a run: whether its training runs, has finished or was stopped."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from pcb.runs.folder import RunFolder
from pcb.runs.processes import TRAINING
from pcb.storage.locks import Writer, writer


@dataclass(frozen=True)
class RunState:
    """The state of a run at the moment of :func:`state_of`.

    Attributes:
        run: The run folder.
        kind: ``"running"`` while a process trains in the folder, on any machine; ``"finished"`` if
            the checkpoint is that of the last epoch; else ``"stopped"``, also if no training was
            ever started.
        trainer: The process that trains; None unless the run is running.
    """

    run: RunFolder
    kind: Literal["running", "finished", "stopped"]
    trainer: Writer | None = None

    @property
    def is_launched(self) -> bool:
        """Whether the training was started by :func:`pcb.study.start_training`.

        Its output is then in :attr:`pcb.runs.RunFolder.output_file`.
        """
        return self.trainer is not None and bool(self.trainer.note)

    @cached_property
    def settings(self) -> dict[str, Any] | None:
        """Merged config, seed and other settings, for :func:`pcb.runs.settings.other_settings`.

        None if the folder holds no training: no checkpoint, and nothing is running.

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
    """Return the state of a run.

    Example:
        >>> import tempfile
        >>> run = RunFolder(tempfile.mkdtemp())
        >>> state_of(run).kind
        'stopped'
        >>> from pcb.storage.locks import writing_alone
        >>> with writing_alone(run.path, "training"):
        ...     state_of(run).kind
        'running'
    """
    if found := trainer(run):
        return RunState(run, "running", found)
    return RunState(run, "finished" if _has_last_checkpoint(run) else "stopped")


def trainer(run: RunFolder) -> Writer | None:
    """Return the process that trains in a folder; None if there is none."""
    found = writer(run.path)
    return found if found and found.purpose == TRAINING else None


def _has_last_checkpoint(run: RunFolder) -> bool:
    if not (run.checkpoint.is_file() and run.config_file.is_file()):
        return False
    from pcb.detection.checkpoint import read_checkpoint

    epochs = run.read_config()["runner"]["max_epochs"]
    return read_checkpoint(run.checkpoint).get("meta", {}).get("epoch", 0) >= epochs
