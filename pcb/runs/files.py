"""The names of all files in a run folder.

A run is a trained detector and everything computed from it. :mod:`pcb.runs.paths` composes the path
of the folder::

    runs/<dataset>/<config>[-<override>]/seed<N>/
        config.py                      merged config, as literals
        environment.json               versions, git commit, machine, seed
        train.log.json                 log, one JSON object per line
        train.out                      output of a training process that a notebook started
        latest.pth                     newest checkpoint
        best.pth                       weights of the best validated epoch
        predictions/{bbox,segm}.json   detections in COCO's results format (also .json.gz)
        predictions/source.json        checkpoint and options used for the predictions
        predictions/.<type>.<N>.part   detections of process N, only during prediction
        .validation/                   predictions of a validation that is running
        metrics.json                   {"bbox": {"AP": ...}, "segm": {...}}, fractions
        confusion.npz                  learned and measured confusion matrices
        confusion_history/epoch_07.npz learned confusion matrix after epoch 7; one file per epoch
        confused_pairs.csv, ...        tables that the notebooks wrote
        figures/*.{png,pdf}            figures that the notebooks drew
        figures/<notebook>_settings.json  settings with which a notebook drew its figures
        <notebook>.ipynb, .html        executed notebook, also as a web page
        <notebook>.failed.json         why a notebook did not finish
        <notebook>.failed.html         web page of a notebook that did not finish
        .lock                          lock of the process that writes to the folder
        .confusion.lock                lock for confusion.npz
        .<notebook>.lock               lock of the process that executes a notebook
        .<file>.<uuid>                 incomplete <file>

Earlier versions of this package also created a file ``train.lock``. This file is ignored.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Self

from pcb.storage.files import is_unfinished
from pcb.storage.locks import is_lock

# Endings of the files that executing a notebook creates.
EXECUTED, PAGE = ".ipynb", ".html"
FAILURE_NOTE, FAILURE_PAGE = ".failed.json", ".failed.html"

IOU_TYPES = ("bbox", "segm")


class RunFiles:
    """The paths of the files in a run folder.

    Call :meth:`create` to create the folder.

    Args:
        path: The run folder, absolute or relative to the current directory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.py"
        self.environment_file = self.path / "environment.json"
        self.log_file = self.path / "train.log.json"
        self.output_file = self.path / "train.out"
        self.checkpoint = self.path / "latest.pth"
        self.best_checkpoint = self.path / "best.pth"
        self.validation_folder = self.path / ".validation"
        self.predictions_folder = self.path / "predictions"
        self.prediction_source = self.predictions_folder / "source.json"
        self.metrics_file = self.path / "metrics.json"
        self.confusion_file = self.path / "confusion.npz"
        self.confusion_lock = self.path / ".confusion.lock"
        self.confusion_history = self.path / "confusion_history"
        self.figures = self.path / "figures"

    def results_file(self, iou_type: str) -> Path:
        """Return the file to which detected boxes ("bbox") or masks ("segm") are written."""
        if iou_type not in IOU_TYPES:
            raise ValueError(f"iou_type must be 'bbox' or 'segm', got {iou_type!r}")
        return self.predictions_folder / f"{iou_type}.json"

    def predictions(self, iou_type: str) -> Path:
        """Return the file from which detected boxes ("bbox") or masks ("segm") are read.

        The file is ``<iou_type>.json``, or ``<iou_type>.json.gz`` if only the compressed file
        exists.
        """
        plain = self.results_file(iou_type)
        packed = plain.with_suffix(".json.gz")
        return packed if packed.exists() and not plain.exists() else plain

    def prediction_part(self, iou_type: str, rank: int) -> Path:
        """Return the temporary file to which a process writes its detections while it predicts.

        The file has one line for each image.

        Args:
            iou_type: ``"bbox"`` for boxes, ``"segm"`` for masks.
            rank: Rank of the process, from 0.
        """
        return self.predictions_folder / f".{iou_type}.{rank}.part"

    def prediction_parts(self, iou_type: str) -> list[Path]:
        """Return the paths of all existing temporary files with detections."""
        return sorted(self.predictions_folder.glob(f".{iou_type}.*.part"))

    def settings_file(self, notebook: str) -> Path:
        """Return the file that records the settings with which a notebook drew its figures."""
        return self.figures / f"{notebook}_settings.json"

    @property
    def tables(self) -> list[Path]:
        """Paths of all tables (``.csv``) in the run folder."""
        return sorted(self.path.glob("*.csv"))

    def create(self) -> Self:
        """Create the run folder and its subfolder for figures, then return this object."""
        self.figures.mkdir(parents=True, exist_ok=True)
        return self

    def check_untrained(self) -> None:
        """Check that a new training run would not replace the checkpoint of an earlier one.

        Raises:
            ValueError: The run folder contains a checkpoint.
        """
        if self.checkpoint.exists():
            raise ValueError(
                f"{self.path} already contains a training run: continue it (--resume), delete it "
                "and train from scratch (--replace), or choose another --work-dir"
            )

    def foreign_files(self) -> list[str]:
        """Return the names of the files that prevent a new run from starting in the run folder.

        Executed notebooks, ``train.out``, figures, lock files and incomplete files are allowed.

        Example:
            >>> import tempfile
            >>> run = RunFiles(tempfile.mkdtemp())
            >>> for name in ("thesis.tex", "01_train.ipynb", ".lock"):
            ...     (run.path / name).touch()
            >>> run.foreign_files()
            ['thesis.tex']
        """
        own = {self.output_file.name, self.figures.name}
        endings = (EXECUTED, PAGE, FAILURE_NOTE)
        names = os.listdir(self.path) if self.path.exists() else []
        return sorted(
            name
            for name in names
            if name not in own
            and not (name.endswith(endings) or is_unfinished(name) or is_lock(name))
        )

    def remove_results(self) -> None:
        """Remove the checkpoints, the log and the results of an earlier training run.

        The learned confusion matrices of past epochs are kept. To remove these matrices, call
        :func:`pcb.runs.history.drop_history`.
        """
        checkpoints = (self.checkpoint, self.best_checkpoint)
        for file in (*checkpoints, self.log_file, self.confusion_file, self.metrics_file):
            file.unlink(missing_ok=True)
        for table in self.tables:
            table.unlink()
        for subfolder in (self.figures, self.predictions_folder, self.validation_folder):
            shutil.rmtree(subfolder, ignore_errors=True)
