"""The run folder: reading and writing the files of a run.

:mod:`pcb.runs.files` lists every file. Reading needs only NumPy and the standard library, and NumPy
only for matrices, so that a notebook, a report or ``pcb doctor`` opens a run without the detector.
Every file is replaced in one step: an interrupted run leaves the previous file, never half of a new
one.
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
    """A run: its files by name, with a reader and a writer for each.

    Naming a folder creates nothing; :meth:`create` and the writers do.

    Args:
        path: The folder, relative to the current directory or absolute.

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
        """Whether the folder holds a run: its environment, a checkpoint or a merged config.

        Raises:
            ValueError: ``config.py`` holds more than literals, so it is not a merged config.
        """
        if self.environment_file.exists() or self.checkpoint.exists():
            return True
        if not self.config_file.exists():
            return False
        keys = self.read_config().keys()  # a config that somebody wrote usually inherits
        return "_base_" not in keys and {"model", "data"} <= keys

    def figures_of(self, notebook: str, settings: Mapping[str, Any]) -> Path:
        """Return the figures folder to a notebook that is about to draw with these settings.

        The names of figures do not depend on the settings. If earlier figures were drawn with other
        settings, a line says that they are replaced.

        Args:
            notebook: Name of the notebook, without its number; the settings are stored under it.
            settings: Everything that its figures depend on.

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
            settings_text = ", ".join(differing)
            print(f"Replacing the figures in {self.figures} that were drawn with {settings_text}")
        if earlier != current:
            # Without the check for NaN, which a notebook's parameter may be.
            write_atomically(file, json.dumps(current, indent=2) + "\n")
        return self.figures

    def write_prediction_source(
        self,
        checkpoint: str | os.PathLike[str],
        cfg_options: Mapping[str, Any] | None = None,
        matrices: Iterable[str] = (),
    ) -> None:
        """Record what made the predictions, for :meth:`predicted_with`.

        Args:
            checkpoint: The checkpoint's file.
            cfg_options: Overrides of the config.
            matrices: Names of the arrays in ``confusion.npz`` that were made with the predictions.
        """
        source = {**_source(checkpoint, cfg_options), "matrices": list(matrices)}
        write_json(self.prediction_source, source)

    def predicted_with(
        self, checkpoint: str | os.PathLike[str], cfg_options: Mapping[str, Any] | None = None
    ) -> bool:
        """Whether the predictions exist and were made with this checkpoint as it is now.

        The matrices that predicting makes must exist, too; runs of earlier versions lack them.
        """
        files = [self.prediction_source, *map(self.predictions, IOU_TYPES)]
        if not all(file.is_file() for file in files):
            return False
        source = read_json(self.prediction_source)
        matrices = source.pop("matrices", None)
        if matrices is None or source != _source(checkpoint, cfg_options):
            return False
        found = self.read_confusion() if self.confusion_file.is_file() else {}
        return set(matrices) <= set(found)

    def read_log(self) -> list[dict[str, Any]]:
        """Return the records of ``train.log.json`` that have an epoch, oldest first.

        A training record has ``mode`` "train", ``epoch`` (from 1), ``iter`` (since the start),
        ``lr``, ``loss`` and its parts, and ``pcb_strength``, ``pcb_gate``, ``pcb_classes_seen``.
        A resumed run repeats the iterations after its checkpoint; their later records count. A last
        line that is still being written is left out.

        Raises:
            FileNotFoundError: The run has no log.
            ValueError: A line other than the last is not JSON.
        """
        return read_log(self._existing(self.log_file, "train it with `pcb train`"))

    def read_metrics(self) -> dict[str, dict[str, float]]:
        """Return ``{"bbox": {"AP": ...}, "segm": {...}}``, fractions; undefined metrics are NaN.

        Raises:
            FileNotFoundError: The run has not been evaluated.
        """
        hint = "evaluate it with `pcb test` or notebook 02"
        return read_metrics(self._existing(self.metrics_file, hint))

    def write_metrics(self, metrics: Mapping[str, Mapping[str, float]]) -> None:
        """Write ``metrics.json``; see :func:`pcb.runs.write_metrics`."""
        write_metrics(self.metrics_file, metrics)

    def read_confusion(self) -> dict[str, np.ndarray]:
        """Return every array of ``confusion.npz``.

        Element ``[i, j]`` of a matrix is about true class i and predicted class j:

        - ``learned`` (C, C): the running matrix of the training.
        - ``ground_truth_boxes`` (C, C): the same quantity at the ground-truth boxes of the
          predicted images; NaN for classes without boxes.
        - ``ground_truth_box_count`` (C,): the number of these boxes.
        - ``detections`` (C+1, C+1): counts of matched detections.

        The other arrays, such as ``instance_count`` (C,), describe how the learned matrix was made.

        Raises:
            FileNotFoundError: The run has no matrix yet.
            ValueError: The file is damaged.
        """
        return read_arrays(self._existing(self.confusion_file, "train it with `pcb train`"))

    def write_confusion(self, **arrays: Any) -> None:
        """Add arrays to ``confusion.npz``, or replace them; its other arrays stay."""
        # One process at a time, or the arrays that another adds in between would be lost.
        with locked(self.confusion_lock, wait=True):
            merged = self.read_confusion() if self.confusion_file.exists() else {}
            write_arrays(self.confusion_file, {**merged, **arrays})

    def write_confusion_history(self, epoch: int, matrix: Any) -> None:
        """Keep the learned matrix (C, C) at the end of an epoch, counted from 1.

        It is kept as float16; :mod:`pcb.runs.history` says how exact that is.
        """
        write_history(self.confusion_history, epoch, matrix)

    def read_confusion_history(self) -> dict[int, np.ndarray]:
        """Return the learned matrix (C, C), float32, after every epoch, oldest first.

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
        """Remove the learned matrices of the epochs after this one; 0 removes all."""
        drop_history(self.confusion_history, after)

    def write_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
        """Write ``<name>.csv``, with a line per row under the keys of the first row.

        Text that a spreadsheet would run as a formula gets a leading apostrophe, see
        :func:`pcb.messages.printable.csv_text`. Without rows, an earlier table is removed.

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
        """Return the merged config in ``config.py``, which holds literals; nothing is executed.

        Raises:
            FileNotFoundError: The run has none.
            ValueError: The file holds something else, as configs that inherit do.

        Example:
            >>> import tempfile
            >>> run = RunFolder(tempfile.mkdtemp())
            >>> _ = run.config_file.write_text("runner = {'max_epochs': 9}")
            >>> run.read_config()
            {'runner': {'max_epochs': 9}}
        """
        file = self._existing(self.config_file, "train it with `pcb train`")
        values = {}
        try:
            for statement in ast.parse(file.read_text(encoding="utf-8")).body:
                (target,) = statement.targets  # type: ignore[attr-defined]
                values[target.id] = read_literal(statement.value)  # type: ignore[attr-defined]
        except (AttributeError, SyntaxError, TypeError, ValueError, *_TOO_DEEP) as error:
            raise ValueError(
                f"{file} is not a run's merged config, which holds only literals"
            ) from error
        return values

    def read_environment(self) -> dict[str, Any]:
        """Return ``environment.json``: versions, git commit, machine, seed.

        Raises:
            FileNotFoundError: The run has none.
        """
        return read_json(self._existing(self.environment_file, "train it with `pcb train`"))

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Write ``environment.json``."""
        write_json(self.environment_file, dict(environment))

    def _existing(self, file: Path, hint: str) -> Path:
        if not file.is_file():
            raise FileNotFoundError(f"{self.path} has no {file.name}; {hint}")
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
    # As it will be read: tuples become lists, and what JSON does not know becomes text.
    return json.loads(json.dumps(source, default=str), parse_constant=str)
