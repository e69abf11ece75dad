"""Every file of a run, by name.

A run is one training and everything computed from it. Its path is composed in
:mod:`pcb.runs.paths`::

    runs/<dataset>/<config>[-<override>]/seed<N>/
        config.py                      merged config, as literals
        environment.json               versions, git commit, machine, seed
        train.log.json                 log, one JSON object per line
        train.out                      output of the training's process, if a notebook started it
        latest.pth                     newest checkpoint
        predictions/{bbox,segm}.json   detections in COCO's results format (also .json.gz)
        predictions/source.json        the checkpoint and options that made the predictions
        predictions/.<type>.<N>.part   detections of one process, while predicting
        metrics.json                   {"bbox": {"AP": ...}, "segm": {...}}, fractions
        confusion.npz                  learned and measured matrices
        confusion_history/epoch_07.npz learned matrix after every epoch
        confused_pairs.csv, ...        tables that the notebooks wrote
        figures/*.{png,pdf}            figures that the notebooks drew
        figures/<notebook>_settings.json  settings that they were drawn with
        <notebook>.ipynb, .html        executed notebook and its page
        <notebook>.failed.json, .failed.html  why a notebook did not finish, and its page
        .lock                          lock of the process that writes to the folder
        .confusion.lock                lock of confusion.npz
        .<notebook>.lock               lock of the process that executes a notebook
        .<file>.<uuid>                 unfinished file, left by a process that was killed

Earlier versions also left a ``train.lock``, which is ignored.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Self

from pcb.storage.files import is_unfinished
from pcb.storage.locks import is_lock

# Endings of the files of a notebook.
EXECUTED, PAGE = ".ipynb", ".html"
FAILURE_NOTE, FAILURE_PAGE = ".failed.json", ".failed.html"

IOU_TYPES = ("bbox", "segm")


class RunFiles:
    """The files of one run: where they are, and which of them exist.

    Naming a folder creates nothing; :meth:`create` does.

    Args:
        path: The folder, relative to the current directory or absolute.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.py"
        self.environment_file = self.path / "environment.json"
        self.log_file = self.path / "train.log.json"
        self.output_file = self.path / "train.out"
        self.checkpoint = self.path / "latest.pth"
        self.predictions_folder = self.path / "predictions"
        self.prediction_source = self.predictions_folder / "source.json"
        self.metrics_file = self.path / "metrics.json"
        self.confusion_file = self.path / "confusion.npz"
        self.confusion_lock = self.path / ".confusion.lock"
        self.confusion_history = self.path / "confusion_history"
        self.figures = self.path / "figures"

    def results_file(self, iou_type: str) -> Path:
        """Return the file that predictions of ``iou_type`` ("bbox" or "segm") are written to."""
        if iou_type not in IOU_TYPES:
            raise ValueError(f"iou_type must be 'bbox' or 'segm', got {iou_type!r}")
        return self.predictions_folder / f"{iou_type}.json"

    def predictions(self, iou_type: str) -> Path:
        """Return the file that predictions are read from: the results file, or its ``.json.gz``.

        The compressed file is returned only if it exists and the other does not.
        """
        plain = self.results_file(iou_type)
        packed = plain.with_suffix(".json.gz")
        return packed if packed.exists() and not plain.exists() else plain

    def prediction_part(self, iou_type: str, rank: int) -> Path:
        """Return the file of one process's detections, a line per image, until all are joined."""
        return self.predictions_folder / f".{iou_type}.{rank}.part"

    def prediction_parts(self, iou_type: str) -> list[Path]:
        """Return the existing files of :meth:`prediction_part`, of all processes."""
        return sorted(self.predictions_folder.glob(f".{iou_type}.*.part"))

    def settings_file(self, notebook: str) -> Path:
        """Return the file with the settings that a notebook drew its figures with."""
        return self.figures / f"{notebook}_settings.json"

    @property
    def tables(self) -> list[Path]:
        """The tables in the folder."""
        return sorted(self.path.glob("*.csv"))

    def create(self) -> Self:
        """Create the folder and its figures folder; return the run itself."""
        self.figures.mkdir(parents=True, exist_ok=True)
        return self

    def foreign_files(self) -> list[str]:
        """Return the names in the folder that may not be there before a training begins.

        Allowed are the files of notebooks, one of which may start the training, the output of its
        process, figures, locks and unfinished files.

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
        """Remove what an earlier training left and everything that was computed from it.

        The history of the matrix stays; :func:`pcb.runs.history.drop_history` removes it.
        """
        for file in (self.checkpoint, self.log_file, self.confusion_file, self.metrics_file):
            file.unlink(missing_ok=True)
        for table in self.tables:
            table.unlink()
        for subfolder in (self.figures, self.predictions_folder):
            shutil.rmtree(subfolder, ignore_errors=True)
