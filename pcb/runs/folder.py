"""Read and write the files in a run folder.

:mod:`pcb.runs.files` lists the files. An interrupted write keeps the previous content of a file.
"""

from __future__ import annotations

import ast
import json
import os
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcb.messages.printable import csv_text
from pcb.runs.arrays import read_arrays, write_arrays
from pcb.runs.files import IOU_TYPES, RunFiles
from pcb.runs.history import drop_history, read_history, write_history
from pcb.runs.log import read_log
from pcb.runs.metrics import read_metrics, write_metrics
from pcb.storage.files import read_json, write_atomically, write_json
from pcb.storage.literals import read_literal
from pcb.storage.locks import locked

if TYPE_CHECKING:
    import numpy as np

_TOO_DEEP = (MemoryError, RecursionError)  # Python's parser raises these for deep nesting


class RunFolder(RunFiles):
    """The folder of one training run, with methods that read and write its files.

    The constructor does not create the folder. Methods that write a file create the folder.

    Args:
        path: The run folder, absolute or relative to the current directory.

    Example:
        >>> import tempfile
        >>> run = RunFolder(Path(tempfile.mkdtemp()) / "openmoji" / "softmax" / "seed0")
        >>> run.write_metrics({"segm": {"AP": 0.25, "APl": float("nan")}})
        >>> run.metrics_file.read_text()
        '{\\n  "segm": {\\n    "AP": 0.25,\\n    "APl": null\\n  }\\n}\\n'
        >>> run.read_metrics()
        {'segm': {'AP': 0.25, 'APl': nan}}
    """

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @property
    def holds_a_run(self) -> bool:
        """Whether the folder contains ``environment.json``, a checkpoint or a merged config.

        Raises:
            ValueError: ``config.py`` contains code other than assignments of literals.
        """
        if self.environment_file.exists() or self.checkpoint.exists():
            return True
        if not self.config_file.exists():
            return False
        keys = self.read_config().keys()  # a config that a person wrote usually has `_base_`
        return "_base_" not in keys and {"model", "data"} <= keys

    def figures_of(self, notebook: str, settings: Mapping[str, Any]) -> Path:
        """Record the settings of a notebook's figures, and return the folder for the figures.

        If the folder contains figures that were drawn with other settings, a message says that
        these figures will be replaced.

        Args:
            notebook: Name of the notebook without the leading number, such as ``confusion_matrix``.
            settings: All settings on which the notebook's figures depend.

        Example:
            >>> import tempfile
            >>> run = RunFolder(tempfile.mkdtemp()).create()
            >>> folder = run.figures_of("confusion_matrix", {"order": "name"})
            >>> run.figures.joinpath("learned_confusion.png").touch()
            >>> _ = run.figures_of("confusion_matrix", {"order": "cluster"})
            ... # doctest: +ELLIPSIS
            Replacing the figures in ... that were drawn with order 'name'
        """
        file = self.settings_file(notebook)
        earlier = read_json(file) if file.is_file() else {}
        current = json.loads(json.dumps(dict(settings), default=str))
        differing = [
            f"{name} {reprlib.repr(earlier[name])}"
            for name in current
            if name in earlier and earlier[name] != current[name]
        ]
        if differing and any(self.figures.glob("*.png")):
            print(f"Replacing the figures in {self.figures} that were drawn with", end=" ")
            print(", ".join(differing))
        if earlier != current:
            # `write_json` would refuse NaN, but a notebook's parameter may be NaN.
            write_atomically(file, json.dumps(current, indent=2) + "\n")
        return self.figures

    def write_prediction_source(
        self,
        checkpoint: str | os.PathLike[str],
        cfg_options: Mapping[str, Any] | None = None,
        matrices: Iterable[str] = (),
        iou_types: Iterable[str] = IOU_TYPES,
    ) -> None:
        """Record how the predictions were made; :meth:`predicted_with` reads this record.

        Args:
            checkpoint: Checkpoint file with which the predictions were made.
            cfg_options: Config options with which the predictions were made.
            matrices: Names of the arrays that were written to ``confusion.npz``.
            iou_types: IoU types of the predictions.
        """
        made = {"matrices": list(matrices), "iou_types": list(iou_types)}
        write_json(self.prediction_source, _source(checkpoint, cfg_options) | made)

    def predicted_with(
        self, checkpoint: str | os.PathLike[str], cfg_options: Mapping[str, Any] | None = None
    ) -> bool:
        """Return whether predictions exist and were made with this checkpoint and these options.

        The result is False if a confusion matrix of these predictions is missing.
        """
        source = read_json(self.prediction_source) if self.prediction_source.is_file() else {}
        iou_types = source.pop("iou_types", IOU_TYPES)  # earlier versions always wrote both
        if not all(self.predictions(iou_type).is_file() for iou_type in iou_types):
            return False
        matrices = source.pop("matrices", None)
        if matrices is None or source != _source(checkpoint, cfg_options):
            return False
        found = self.read_confusion() if self.confusion_file.is_file() else {}
        return set(matrices) <= set(found)

    def read_log(self) -> list[dict[str, Any]]:
        """Return the training and validation records of ``train.log.json``, oldest first.

        A training record contains ``mode`` ("train"), ``epoch`` (from 1), ``iter`` (counted from
        the start of training), ``lr``, ``pcb_strength``, ``pcb_gate``, ``pcb_classes_seen``,
        ``loss``, and the parts of the loss. If an iteration was repeated, only its newest record is
        returned.

        A validation record contains ``mode`` ("val"), ``epoch``, ``iter``, and metrics such as
        ``segm_APr``, as fractions or None.

        Raises:
            FileNotFoundError: The run has no log.
            ValueError: A line other than the last is not JSON. An incomplete last line is ignored.
        """
        return read_log(self._existing(self.log_file, "train the run with `pcb train`"))

    def read_metrics(self) -> dict[str, dict[str, float]]:
        """Return metrics as fractions, such as ``{"bbox": {"AP": 0.25}}``; NaN means undefined.

        Raises:
            FileNotFoundError: The run has not been evaluated.
        """
        hint = "evaluate the run with `pcb test` or the notebook 02_evaluate"
        return read_metrics(self._existing(self.metrics_file, hint))

    def write_metrics(self, metrics: Mapping[str, Mapping[str, float]]) -> None:
        """Write metrics, which are fractions: ``{"bbox": {"AP": 0.25}}`` is an AP of 25%."""
        write_metrics(self.metrics_file, metrics)

    def read_confusion(self) -> dict[str, np.ndarray]:
        """Return all arrays in ``confusion.npz``.

        Rows are true classes, and columns are predicted classes. The main arrays are:

        - ``learned`` (C, C): running mean of the predictions during training.
        - ``ground_truth_boxes`` (C, C): mean prediction for the ground-truth boxes of the
          validation images. The row of a class without boxes is NaN.
        - ``ground_truth_box_count`` (C,): number of ground-truth boxes of each class.
        - ``detections`` (C+1, C+1): number of detections by true and predicted class. The last row
          counts detections on background. The last column counts missed objects.

        Other arrays, such as ``instance_count`` (C,), describe how ``learned`` was computed.

        Raises:
            FileNotFoundError: The run has no ``confusion.npz`` yet.
            ValueError: The file is damaged.
        """
        hint = "train the run with `pcb train`"
        return read_arrays(self._existing(self.confusion_file, hint))

    def write_confusion(self, **arrays: Any) -> None:
        """Add or replace arrays in ``confusion.npz``; the other arrays in the file are kept."""
        # Without the lock, arrays that another process adds at the same time would be lost.
        with locked(self.confusion_lock, wait=True):
            merged = self.read_confusion() if self.confusion_file.exists() else {}
            write_arrays(self.confusion_file, {**merged, **arrays})

    def write_confusion_history(self, epoch: int, matrix: Any) -> None:
        """Store the learned (C, C) confusion matrix of an epoch; the first epoch is 1.

        The values are rounded to float16; :mod:`pcb.runs.history` describes the rounding errors.
        """
        write_history(self.confusion_history, epoch, matrix)

    def read_confusion_history(self) -> dict[int, np.ndarray]:
        """Return a dict that maps each epoch to its learned (C, C) confusion matrix.

        The epochs are in ascending order.

        Example:
            >>> import tempfile
            >>> run = RunFolder(tempfile.mkdtemp())
            >>> run.write_confusion_history(1, [[0.75, 0.25], [0.5, 0.5]])
            >>> run.read_confusion_history()
            {1: array([[0.75, 0.25],
                   [0.5 , 0.5 ]], dtype=float32)}
        """
        return read_history(self.confusion_history)

    def drop_confusion_history(self, after: int) -> None:
        """Remove the learned confusion matrices of all epochs later than ``after``."""
        drop_history(self.confusion_history, after)

    def write_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
        """Write ``<name>.csv``: a header with the keys of the first row, then one line per row.

        Text that spreadsheets would treat as a formula gets a leading apostrophe; see
        :func:`pcb.messages.printable.csv_text`. If there are no rows, an existing table is deleted.

        Example:
            >>> import tempfile
            >>> run = RunFolder(tempfile.mkdtemp())
            >>> run.write_table("pairs", [{"true": "dog, hot", "share": 0.25}]).read_text()
            'true,share\\n"dog, hot",0.25\\n'
        """
        file = self.path / f"{name}.csv"
        if not rows:
            file.unlink(missing_ok=True)
            return file
        head = list(rows[0])
        write_atomically(file, csv_text([head, *([row[key] for key in head] for row in rows)]))
        return file

    def read_config(self) -> dict[str, Any]:
        """Read the merged config from ``config.py`` without executing code.

        Raises:
            FileNotFoundError: The run has no ``config.py``.
            ValueError: The file contains code other than assignments of literals.

        Example:
            >>> import tempfile
            >>> run = RunFolder(tempfile.mkdtemp())
            >>> _ = run.config_file.write_text("runner = {'max_epochs': 9}")
            >>> run.read_config()
            {'runner': {'max_epochs': 9}}
        """
        file = self._existing(self.config_file, "train the run with `pcb train`")
        values = {}
        try:
            for statement in ast.parse(file.read_text(encoding="utf-8")).body:
                match statement:
                    case ast.Assign(targets=[ast.Name(id=name)], value=value):
                        values[name] = read_literal(value)
                    case _:
                        raise ValueError(f"line {statement.lineno} is not an assignment")
        except (SyntaxError, TypeError, ValueError, *_TOO_DEEP) as error:
            raise ValueError(
                f"{file} is not the merged config of a run ({error}): move the file to another "
                "folder, or choose another run folder"
            ) from error
        return values

    def read_environment(self) -> dict[str, Any]:
        """Return the content of ``environment.json``: versions, git commit, machine and seed.

        Raises:
            FileNotFoundError: The run has no ``environment.json``.
        """
        return read_json(self._existing(self.environment_file, "train the run with `pcb train`"))

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Write a run's software versions, git commit, machine and seed to ``environment.json``."""
        write_json(self.environment_file, dict(environment))

    def _existing(self, file: Path, hint: str) -> Path:
        if not file.is_file():
            raise FileNotFoundError(f"{self.path} has no {file.name}: {hint}")
        return file


def _source(
    checkpoint: str | os.PathLike[str], cfg_options: Mapping[str, Any] | None
) -> dict[str, Any]:
    state = Path(checkpoint).stat()
    source = {
        "checkpoint": Path(checkpoint).name,
        "bytes": state.st_size,
        "modified_ns": state.st_mtime_ns,
        "cfg_options": dict(cfg_options or {}),
    }
    # Convert values as writing and reading JSON would, so that two sources can be compared.
    return json.loads(json.dumps(source, default=str), parse_constant=str)
