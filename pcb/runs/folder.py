"""What a run folder holds: reading it, writing it, collecting many.

A run is one training and everything said about it, in one folder::

    runs/<dataset>/<baseline>[_pcb]/seed<N>/
        config.py                    the merged configuration
        environment.json             versions, git commit, machine, seed
        train.log.json               one JSON object a line
        latest.pth                   newest checkpoint
        predictions/{bbox,segm}.json results in COCO format (also .json.gz)
        metrics.json                 {"bbox": {"AP": ...}, "segm": {...}}, fractions
        confusion.npz                learned and measured matrices
        confused_pairs.csv           which classes are taken for which, by name
        confusion_history/           the learned matrix after every epoch, epoch_07.npz
        figures/*.{png,pdf}          what the notebooks drew
        figures/*_settings.json      with which settings, a file for each notebook

Only NumPy and the standard library are needed, so that a notebook, a report or a test can read a
run without the detector that made it (and NumPy for the matrices alone, so that `pcb doctor` can
say that it is missing). Every writer replaces its file in one step: an interrupted
run leaves the previous file, never half of a new one.
"""

from __future__ import annotations

import ast
import io
import json
import math
import os
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcb.messages.printable import csv_text
from pcb.storage.files import write_atomically
from pcb.storage.literals import read_literal
from pcb.storage.locks import locked

if TYPE_CHECKING:
    import numpy as np


_TOO_DEEP = (MemoryError, RecursionError)  # what Python's parser raises for deep nesting


class RunFolder:
    """The files of one run, by name.

    Naming a folder creates nothing; :meth:`create` and the writers do.

    Args:
        path: the folder, relative to the current directory or absolute.

    Example:
        >>> import tempfile
        >>> run = RunFolder(Path(tempfile.mkdtemp()) / "openmoji" / "softmax" / "seed0")
        >>> run.write_metrics({"segm": {"AP": 0.25, "APl": float("nan")}})
        >>> run.metrics_file.read_text()
        '{\\n  "segm": {\\n    "AP": 0.25,\\n    "APl": null\\n  }\\n}\\n'
        >>> run.read_metrics()
        {'segm': {'AP': 0.25, 'APl': nan}}
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.py"
        self.environment_file = self.path / "environment.json"
        self.log_file = self.path / "train.log.json"
        self.checkpoint = self.path / "latest.pth"
        self.metrics_file = self.path / "metrics.json"
        self.confusion_file = self.path / "confusion.npz"
        self.confusion_history = self.path / "confusion_history"
        self.figures = self.path / "figures"

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def create(self) -> RunFolder:
        """Make the folder and its figures folder; return the run itself."""
        self.figures.mkdir(parents=True, exist_ok=True)
        return self

    def figures_of(self, notebook: str, settings: Mapping[str, Any]) -> Path:
        """Return the figures folder to a notebook that is about to draw with these settings.

        Figures have the same names whatever the settings. If earlier ones were drawn with other
        settings, one line says that they are about to be replaced.

        Args:
            notebook: its name, without a number; the settings are kept under it.
            settings: what its figures depend on.

        Example:
            >>> import tempfile
            >>> run = RunFolder(tempfile.mkdtemp()).create()
            >>> folder = run.figures_of("confusion_matrix", {"order": "name"})
            >>> run.figures.joinpath("learned_confusion.png").touch()
            >>> _ = run.figures_of("confusion_matrix", {"order": "cluster"})
            ... # doctest: +ELLIPSIS
            Replacing the figures in ... that were drawn with order 'name'
        """
        note = self.figures / f"{notebook}_settings.json"
        text = json.dumps(dict(settings), indent=2, default=str) + "\n"
        drawn = _read_json(note) if note.is_file() else {}
        asked = json.loads(text)
        other = [
            f"{name} {reprlib.repr(drawn[name])}"
            for name in asked
            if name in drawn and drawn[name] != asked[name]
        ]
        if other and any(self.figures.glob("*.png")):
            print(
                f"Replacing the figures in {self.figures} that were drawn with {', '.join(other)}"
            )
        if drawn != asked:
            write_atomically(note, text)
        return self.figures

    def predictions(self, iou_type: str) -> Path:
        """Return the results file of ``iou_type`` ("bbox" or "segm").

        It is ``predictions/<iou_type>.json`` unless only the compressed ``.json.gz`` is there.
        """
        if iou_type not in ("bbox", "segm"):
            raise ValueError(f"iou_type must be 'bbox' or 'segm', got {iou_type!r}")
        plain = self.path / "predictions" / f"{iou_type}.json"
        packed = plain.with_suffix(".json.gz")
        return packed if packed.exists() and not plain.exists() else plain

    def write_prediction_source(
        self,
        checkpoint: str | os.PathLike[str],
        cfg_options: Mapping[str, Any] | None = None,
        matrices: Iterable[str] = (),
    ) -> None:
        """Note beside the predictions what made them, and which arrays of ``confusion.npz`` with
        them; see :meth:`predicted_with`.
        """
        file = self.path / "predictions" / "source.json"
        note = {**_source(checkpoint, cfg_options), "matrices": list(matrices)}
        write_atomically(file, _to_json(note))

    def predicted_with(
        self, checkpoint: str | os.PathLike[str], cfg_options: Mapping[str, Any] | None = None
    ) -> bool:
        """Whether the predictions are there and were made with this checkpoint as it is now.

        So must be the matrices that predicting makes; those of older runs are not.
        """
        file = self.path / "predictions" / "source.json"
        files = [file, *(self.predictions(iou_type) for iou_type in ("bbox", "segm"))]
        if not all(f.is_file() for f in files):
            return False
        note = _read_json(file)
        matrices = note.pop("matrices", None)
        if matrices is None or note != _source(checkpoint, cfg_options):
            return False
        found = self.read_confusion() if self.confusion_file.is_file() else {}
        return set(matrices) <= set(found)

    def read_log(self) -> list[dict[str, Any]]:
        """Return the records of ``train.log.json`` that carry an epoch, oldest first.

        A training record has ``mode`` "train", ``epoch`` (1-based), ``iter`` (since the start),
        ``lr``, ``loss`` and its parts, and ``pcb_strength``, ``pcb_gate``, ``pcb_classes_seen``.
        A resumed run repeats the iterations after its checkpoint; the repeated ones count. A last
        line that is still being written is left out.

        Raises:
            FileNotFoundError: the run has no log.
            ValueError: a line other than the last is not JSON.
        """
        lines = self._existing(self.log_file, "train it with `pcb train`").read_text().splitlines()
        records: list[dict[str, Any]] = []
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                if number == len(lines):
                    break
                raise ValueError(f"{self.log_file}, line {number}: not JSON ({error})") from error
            if "epoch" not in record:  # logs of mmcv itself begin with such a line
                continue
            while records and _position(records[-1]) >= _position(record):
                records.pop()
            records.append(record)
        return records

    def read_metrics(self) -> dict[str, dict[str, float]]:
        """Return ``{"bbox": {"AP": ...}, "segm": {...}}``, fractions; undefined metrics are NaN.

        Raises:
            FileNotFoundError: the run has not been evaluated.
        """
        way_out = "evaluate it with `pcb test` or notebook 02"
        return read_metrics(self._existing(self.metrics_file, way_out))

    def write_metrics(self, metrics: Mapping[str, Mapping[str, float]]) -> None:
        """Write ``metrics.json``; see :func:`write_metrics`."""
        write_metrics(self.metrics_file, metrics)

    def read_confusion(self) -> dict[str, np.ndarray]:
        """Return every array of ``confusion.npz``.

        All matrices are ``[i, j]``: true class i, predicted as j. ``learned`` (C, C) is the running
        one of training; ``ground_truth_boxes`` (C, C) is the same quantity at the ground-truth
        boxes of the predicted images, nan for classes without any, of which there are
        ``ground_truth_box_count`` (C,); ``detections`` (C+1, C+1) counts matched detections. The
        others, such as ``instance_count`` (C,), say how the learned matrix came about.

        Raises:
            FileNotFoundError: the run has no matrix yet.
        """
        import numpy as np

        file = self._existing(self.confusion_file, "train it with `pcb train`")
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    def write_confusion(self, **arrays: Any) -> None:
        """Add ``arrays`` to ``confusion.npz``; those of other names that are there already stay."""
        import numpy as np

        # Read and written by one process at a time, or what another adds meanwhile would be lost.
        with locked(self.path / ".confusion.lock", wait=True):
            merged = self.read_confusion() if self.confusion_file.exists() else {}
            merged.update({name: np.asarray(array) for name, array in arrays.items()})
            _write_arrays(self.confusion_file, merged)

    def write_confusion_history(self, epoch: int, matrix: Any) -> None:
        """Keep the learned matrix (C, C) as it was at the end of an epoch, counted from 1.

        It is kept in float16, for drawing: entries from 6e-5 up lose at most 5e-4 of their value,
        smaller ones at most 3e-8, so that those below 3e-8 become 0: the soft label of a class for
        which hardly anything is taken may look sharper than it was. With the 1203 classes of LVIS
        v1 that is at most 2.9 MB an epoch.
        """
        import numpy as np

        file = self.confusion_history / f"epoch_{epoch:02d}.npz"
        _write_arrays(file, {"learned": np.asarray(matrix).astype(np.float16)})

    def read_confusion_history(self) -> dict[int, np.ndarray]:
        """Return the learned matrix after every epoch, float32, oldest first; {} without any.

        Example:
            >>> import tempfile
            >>> run = RunFolder(tempfile.mkdtemp())
            >>> run.write_confusion_history(1, [[0.75, 0.25], [0.5, 0.5]])
            >>> run.read_confusion_history()
            {1: array([[0.75, 0.25],
                   [0.5 , 0.5 ]], dtype=float32)}
        """
        import numpy as np

        history = {}
        for epoch, file in self._history_files():
            with np.load(file, allow_pickle=False) as archive:
                history[epoch] = archive["learned"].astype(np.float32)
        return history

    def drop_confusion_history(self, after: int) -> None:
        """Remove the matrices of the epochs after this one, as a training does that goes on there.

        0 removes those of all epochs.
        """
        for epoch, file in self._history_files():
            if epoch > after:
                file.unlink()

    def _history_files(self) -> list[tuple[int, Path]]:
        """Epoch and file of every matrix in the history, oldest first."""
        numbered = (
            (file.stem.removeprefix("epoch_"), file)
            for file in self.confusion_history.glob("epoch_*.npz")
        )
        return sorted((int(number), file) for number, file in numbered if number.isdigit())

    def write_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
        """Write ``<name>.csv`` with a line per row and the keys of the first as its head.

        A text that a spreadsheet would run as a formula gets an apostrophe in front, see
        :func:`pcb.messages.printable.csv_text`. Without rows there is no such file, nor one of an
        earlier look at the run.

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

    @property
    def tables(self) -> list[Path]:
        """The tables that were written."""
        return sorted(self.path.glob("*.csv"))

    def read_config(self) -> dict[str, Any]:
        """Return the merged config in ``config.py``, which holds literals; nothing is executed.

        Raises:
            FileNotFoundError: the run has none.
            ValueError: it holds something else, as configs that inherit do.

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
                f"{file} is not a run's merged config, which holds literals"
            ) from error
        return values

    def read_environment(self) -> dict[str, Any]:
        """Return ``environment.json``: versions, git commit, machine, seed.

        Raises:
            FileNotFoundError: the run has none.
        """
        return _read_json(self._existing(self.environment_file, "train it with `pcb train`"))

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Write ``environment.json``."""
        write_atomically(self.environment_file, _to_json(dict(environment)))

    def _existing(self, file: Path, way_out: str) -> Path:
        if not file.is_file():
            raise FileNotFoundError(f"{self.path} has no {file.name}; {way_out}")
        return file


def read_metrics(path: str | os.PathLike[str]) -> dict[str, dict[str, float]]:
    """Return the metrics in a JSON file, undefined ones (null) as NaN."""
    return {
        iou_type: {name: math.nan if v is None else v for name, v in values.items()}
        for iou_type, values in _read_json(Path(path)).items()
    }


def write_metrics(path: str | os.PathLike[str], metrics: Mapping[str, Mapping[str, float]]) -> None:
    """Write ``{"bbox": {"AP": ...}, ...}`` as JSON; NaN (undefined) becomes null.

    Raises:
        ValueError: a metric is infinite; the file stays as it was.
    """
    rows = {
        iou_type: {name: None if math.isnan(value) else float(value) for name, value in row.items()}
        for iou_type, row in metrics.items()
    }
    write_atomically(path, _to_json(rows))


def is_metrics_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file holds metrics as :func:`write_metrics` writes them.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "metrics.json")
        >>> write_metrics(file, {"segm": {"AP": 0.25}})
        >>> is_metrics_file(file)
        True
    """
    try:
        metrics = _read_json(Path(path))
    except ValueError:
        return False
    return (
        isinstance(metrics, dict)
        and bool(metrics)
        and set(metrics) <= {"bbox", "segm"}
        and all(isinstance(values, dict) and "AP" in values for values in metrics.values())
        and all(
            value is None or isinstance(value, int | float)
            for values in metrics.values()
            for value in values.values()
        )
    )


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
    # As it is read again: tuples are lists, and what JSON does not know is text.
    return json.loads(json.dumps(source, default=str), parse_constant=str)


def _write_arrays(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomically(file, buffer.getvalue())


def _position(record: Mapping[str, Any]) -> tuple[int, float]:
    """Place of a log record in training; a validation record follows its whole epoch."""
    return record["epoch"], record["iter"] if record.get("mode") == "train" else math.inf


def _to_json(value: Any) -> str:
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is not JSON ({error})") from error
