"""A run together with its validation data: what most notebooks start from.

The detector is imported only to predict or to merge a config: a saved run opens in a second.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pcb.datasets.lvis import IOU_TYPES, read_results
from pcb.metrics.learned import LearnedConfusion
from pcb.runs.find import plain_counterpart
from pcb.runs.folder import RunFolder
from pcb.runs.paths import run_name
from pcb.storage.repository import repository_path, repository_root
from pcb.study.data import DataView, read_validation

SAMPLE = "sample"  # folder of the committed runs, which are only read
SAMPLE_RUN = "sample/openmoji/softmax_pcb/seed0"


@dataclass(frozen=True)
class RunView:
    """A run folder and its validation data.

    Attributes:
        run: The run.
        output: Run folder for figures and numbers: the run itself, or for a committed sample run a
            folder of the same name below ``runs/``, so that files under version control stay as
            they are.
        config: Source of the detector's config: the run folder with its merged config, or a config
            file if the folder has none.
        cfg_options: Overrides of the config.
        data: The validation data.
    """

    run: RunFolder
    output: RunFolder
    config: Path
    cfg_options: dict[str, Any]
    data: DataView

    @property
    def name(self) -> str:
        """Dataset, config and seed, such as ``openmoji/softmax_pcb/seed0``."""
        return run_name(self.run.path)

    def learned_confusion(
        self, checkpoint: str | os.PathLike = "", trust_checkpoint: bool = False
    ) -> LearnedConfusion:
        """Return the matrix that the training learned, and how it was learned.

        Args:
            checkpoint: File to read it from, such as a downloaded checkpoint; empty for the run's
                ``confusion.npz``.
            trust_checkpoint: Unpickle whatever the checkpoint holds, which may run any code.

        Raises:
            FileNotFoundError: There is no learned matrix.
            ValueError: The checkpoint holds no matrix, or one that does not fit the config.
        """
        if not checkpoint:
            found = self.run.read_confusion() if self.run.confusion_file.is_file() else {}
            if "learned" not in found:
                raise FileNotFoundError(
                    f"{self.run.path} has no learned matrix: train it with notebook 01 or "
                    "`pcb train`, or name a checkpoint that holds one"
                )
            return LearnedConfusion.from_arrays(found)
        from pcb.detection import load_config
        from pcb.detection.checkpoint import read_checkpoint
        from pcb.detection.learned import learned_in_checkpoint

        loss = load_config(
            self.config, self.cfg_options, for_training=False
        ).model.roi_head.bbox_head.loss_cls
        file = repository_path(checkpoint)
        return learned_in_checkpoint(loss, read_checkpoint(file, trust_checkpoint), file)

    def ground_truth_confusion(self) -> np.ndarray | None:
        """Return the mean prediction at the ground-truth boxes of each class.

        Returns:
            (C, C) float32, element [i, j] for true class i predicted as j, like the learned matrix.
            The row of a class without validation boxes is NaN. None if the predictions come from
            elsewhere, or from a version that did not measure this.
        """
        for folder in (self.output, self.run):
            found = folder.read_confusion() if folder.confusion_file.is_file() else {}
            if "ground_truth_boxes" in found:
                return found["ground_truth_boxes"]
        return None

    def predictions_file(self, iou_type: str) -> Path:
        """Return the run's detections, 'bbox' or 'segm', as a file in COCO's results format.

        Raises:
            FileNotFoundError: Nothing has been predicted yet.
        """
        for folder in (self.output, self.run):
            if (file := folder.predictions(iou_type)).is_file():
                return file
        raise FileNotFoundError(f"{self.run.path} has no predictions; run notebook 02 first")

    def predictions(self, iou_type: str) -> list[dict]:
        """Return the detections in :meth:`predictions_file`, checked."""
        return read_results(self.predictions_file(iou_type), self.data.annotations, iou_type)

    def predict(self, checkpoint: str | os.PathLike = "", trust_checkpoint: bool = False) -> None:
        """Predict the validation images, unless that was done with this checkpoint.

        This also measures :meth:`ground_truth_confusion`. If an earlier version predicted without
        it, the prediction is repeated. A new folder becomes a run folder and gets the config.

        Args:
            checkpoint: File with the weights, such as a downloaded one; empty for the run's
                ``latest.pth``. If neither exists, existing predictions are kept.
            trust_checkpoint: Unpickle whatever the checkpoint holds, which may run any code.

        Raises:
            FileNotFoundError: There are neither predictions nor a checkpoint.
            ValueError: The folder holds another training, whose results would be replaced.
        """
        weights = repository_path(checkpoint) if checkpoint else self.run.checkpoint
        if weights.is_file() and self.output.predicted_with(weights, self.cfg_options):
            return
        files = [self.run.predictions(iou_type) for iou_type in IOU_TYPES]
        if not checkpoint and not weights.is_file() and any(file.is_file() for file in files):
            return
        if checkpoint and not weights.is_file():
            raise FileNotFoundError(f"no checkpoint {weights}: give another path")
        if not weights.is_file():
            raise FileNotFoundError(
                f"{self.run.path} has neither predictions nor a checkpoint at {weights}: train it "
                "with notebook 01 or `pcb train`"
            )
        if (
            checkpoint
            and self.output.checkpoint.is_file()
            and not weights.samefile(self.output.checkpoint)
        ):
            raise ValueError(
                f"{self.output.path} holds another training, whose results those of "
                f"{weights.name} would replace: give another work_dir"
            )
        from pcb.detection.engine.inference import predict

        predict(
            self.config,
            weights,
            self.output.path,
            cfg_options=self.cfg_options,
            trust_checkpoint=trust_checkpoint,
        )


def open_run(
    work_dir: str | os.PathLike = "",
    config: str | os.PathLike = "",
    seed: int = 0,
    cfg_options: Mapping[str, Any] | None = None,
) -> RunView:
    """Open a run folder and the validation data in its config.

    Args:
        work_dir: Run folder, relative to the repository; empty for the default folder of ``config``
            and ``seed``, which need not exist. If both are empty, the committed sample run is
            opened.
        config: Config file, relative to the repository, for a folder without ``config.py``, such as
            that of a downloaded checkpoint.
        seed: See ``work_dir``.
        cfg_options: Overrides of the config by dotted key.

    Raises:
        FileNotFoundError: The run, its config or its annotation file is missing.
    """
    if work_dir or not config:
        run = RunFolder(repository_path(work_dir or SAMPLE_RUN))
    else:
        from pcb.runs import default_work_dir

        run = RunFolder(default_work_dir(config, seed))
    of_run = run.config_file.is_file()
    if not (of_run or config):
        raise FileNotFoundError(
            f"{run.path} is not a run folder: it has no config.py; train it with notebook 01 or "
            "`pcb train`, or give its config"
        )
    source = run.path if of_run else repository_path(config)
    if cfg_options or not of_run:
        from pcb.detection import load_config

        data = load_config(source, cfg_options, for_training=False).data
    else:
        data = run.read_config()["data"]
    return RunView(
        run=run,
        output=RunFolder(_output_path(run.path)),
        config=source,
        cfg_options=dict(cfg_options or {}),
        data=DataView(read_validation(data), repository_path(data["val"]["img_prefix"])),
    )


def open_runs(work_dirs: Iterable[str | os.PathLike]) -> list[RunView]:
    """Open runs that were evaluated on the same images and classes.

    Raises:
        FileNotFoundError: A run or its annotation file is missing.
        ValueError: No run is given, or a run was evaluated on other images or classes.
    """
    opened = [open_run(work_dir) for work_dir in work_dirs]
    if not opened:
        raise ValueError("no run is given: give at least one run folder")
    for view in opened[1:]:
        if not _same_data(view, opened[0]):
            raise ValueError(_not_alike(view, opened[0]))
    return opened


def open_before(view: RunView, before: str | os.PathLike = "", iou_type: str = "bbox") -> RunView:
    """Open the run that another one is compared with.

    Args:
        view: The later run.
        before: Folder of the earlier run, relative to the repository; empty for the run of the same
            config, dataset and seed without PCB.
        iou_type: The predictions to compare, 'bbox' or 'segm'.

    Raises:
        FileNotFoundError: There is no such run, or it has no predictions.
        ValueError: It was evaluated on other images or classes.
    """
    if not before:
        plain = plain_counterpart(view.run)
        if plain is None:
            raise FileNotFoundError(
                f"{view.run.path} has no run of the same config and seed without PCB beside it: "
                "name the run to compare with as `before`"
            )
        before = plain.path
    earlier = open_run(before)
    earlier.predictions_file(iou_type)
    if not _same_data(view, earlier):
        raise ValueError(_not_alike(view, earlier))
    return earlier


def _same_data(view: RunView, other: RunView) -> bool:
    """Whether two runs were evaluated on the same images and classes."""
    ours, theirs = view.data.annotations, other.data.annotations
    return ours is theirs or (
        ours.class_names == theirs.class_names and ours.image_of.keys() == theirs.image_of.keys()
    )


def _not_alike(view: RunView, other: RunView) -> str:
    return (
        f"{other.run.path} was evaluated on {other.data.annotations.path}, and {view.run.path} on "
        f"{view.data.annotations.path}: compare runs on the same images and classes"
    )


def _output_path(run: Path) -> Path:
    """Return the folder for figures and numbers of a run; see :attr:`RunView.output`."""
    root = repository_root()
    samples = root / SAMPLE
    return root / "runs" / run.relative_to(root) if run.is_relative_to(samples) else run
