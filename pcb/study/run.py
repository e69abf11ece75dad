"""Open the folder of a training run, together with the validation data of the run.

Opening a run folder usually takes less than a second, because PyTorch is not imported.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pcb.datasets.lvis import IOU_TYPES, read_results
from pcb.metrics.learned import LearnedConfusion
from pcb.runs.find import plain_counterpart
from pcb.runs.folder import RunFolder
from pcb.runs.paths import run_name
from pcb.storage.repository import repository_path, repository_root
from pcb.study.data import DataView, read_validation
from pcb.study.results import ResultsView

SAMPLE = "sample"  # folder of the sample runs in the repository; nothing is written to it
SAMPLE_RUN = "sample/openmoji/softmax_pcb/seed0"


@dataclass(frozen=True)
class RunView:
    """The folder of a training run, and the validation data of the run.

    Attributes:
        run: The run folder.
        output: Folder to which figures and numbers are written: the run folder or, for a sample run
            in the repository, a folder in ``runs/``.
        config: Path from which the config is read: the run folder if it contains a ``config.py``,
            otherwise a config file.
        cfg_options: Settings that replace those of the config, such as
            ``{"model.test_cfg.rcnn.score_thr": 0.1}``.
        data: The validation data.
    """

    run: RunFolder
    output: RunFolder
    config: Path
    cfg_options: dict[str, Any]
    data: DataView
    matching_iou_type: ClassVar[str] = "bbox"  # detections are matched by their boxes by default

    @property
    def name(self) -> str:
        """Dataset, config and seed of the run, for example ``openmoji/softmax_pcb/seed0``."""
        return run_name(self.run.path)

    @property
    def iou_type(self) -> str:
        """``"segm"`` if masks were predicted, otherwise ``"bbox"``."""
        has_masks = any(f.predictions("segm").is_file() for f in (self.output, self.run))
        return "segm" if has_masks else "bbox"

    def learned_confusion(
        self, checkpoint: str | os.PathLike = "", trust_checkpoint: bool = False
    ) -> LearnedConfusion:
        """Return the confusion matrix that was learned during training.

        Args:
            checkpoint: Checkpoint that contains the matrix, for example a downloaded checkpoint. If
                ``checkpoint`` is empty, the matrix is read from the run's ``confusion.npz``.
            trust_checkpoint: Whether to unpickle all objects in the checkpoint, even if this
                executes code.

        Raises:
            FileNotFoundError: The run has no learned matrix, or the checkpoint does not exist.
            ValueError: The checkpoint contains no matrix, or a matrix that does not fit the config.
        """
        if not checkpoint:
            found = self.run.read_confusion() if self.run.confusion_file.is_file() else {}
            if "learned" not in found:
                raise FileNotFoundError(
                    f"{self.run.path} has no learned confusion matrix: train with notebook "
                    "01_train or `pcb train`, or pass a checkpoint that contains the matrix"
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
        """Return the mean predicted probabilities at the ground-truth boxes of each class.

        Returns:
            (C, C) float32 matrix. Element [i, j] is the mean probability of class j at the boxes of
            class i. The row of a class without validation boxes contains only NaN. The result is
            None if the run has no such matrix, for example if other software made the predictions.
        """
        for folder in (self.output, self.run):
            found = folder.read_confusion() if folder.confusion_file.is_file() else {}
            if "ground_truth_boxes" in found:
                return found["ground_truth_boxes"]
        return None

    def predictions_file(self, iou_type: str) -> Path:
        """Return the path of the file with the run's detections, in COCO's results format.

        Args:
            iou_type: ``"bbox"`` or ``"segm"``.

        Raises:
            FileNotFoundError: The run has no predictions yet.
        """
        for folder in (self.output, self.run):
            if (file := folder.predictions(iou_type)).is_file():
                return file
        raise FileNotFoundError(
            f"{self.run.path} has no predictions: run notebook 02_evaluate first"
        )

    def predictions(self, iou_type: str) -> list[dict]:
        """Read, check and return the run's detections; see :meth:`predictions_file`."""
        return read_results(self.predictions_file(iou_type), self.data.annotations, iou_type)

    def predict(self, checkpoint: str | os.PathLike = "", trust_checkpoint: bool = False) -> None:
        """Detect objects in the validation images, and save the detections in the output folder.

        This method also saves the matrix that :meth:`ground_truth_confusion` returns. Nothing is
        done if the output folder already contains the results of the same checkpoint with the same
        ``cfg_options``.

        Args:
            checkpoint: File with the weights, for example a downloaded checkpoint. If
                ``checkpoint`` is empty, the run's ``latest.pth`` is used. If ``latest.pth`` does
                not exist, existing predictions are kept.
            trust_checkpoint: Whether to unpickle all objects in the checkpoint, even if this
                executes code.

        Raises:
            FileNotFoundError: ``checkpoint`` does not exist, or the run has neither predictions nor
                a checkpoint.
            ValueError: The output folder has a ``latest.pth``, and ``checkpoint`` is another file.
        """
        weights = repository_path(checkpoint) if checkpoint else self.run.checkpoint
        if weights.is_file() and self.output.predicted_with(weights, self.cfg_options):
            return
        files = [self.run.predictions(iou_type) for iou_type in IOU_TYPES]
        if not checkpoint and not weights.is_file() and any(file.is_file() for file in files):
            return
        if checkpoint and not weights.is_file():
            raise FileNotFoundError(f"the checkpoint {weights} does not exist: correct the path")
        if not weights.is_file():
            raise FileNotFoundError(
                f"{self.run.path} has neither predictions nor a checkpoint ({weights.name}): train "
                "with notebook 01_train or `pcb train`"
            )
        if (
            checkpoint
            and self.output.checkpoint.is_file()
            and not weights.samefile(self.output.checkpoint)
        ):
            raise ValueError(
                f"predicting with {weights} would overwrite the results of "
                f"{self.output.checkpoint}: choose another work_dir"
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
    """Open the folder of a training run, and the validation data named in the run's config.

    If ``work_dir`` and ``config`` are empty, a sample run in the repository is opened.

    Args:
        work_dir: Run folder, relative to the repository. If ``work_dir`` is empty, ``config`` and
            ``seed`` determine the folder.
        config: Config file, relative to the repository. It is required if the run folder has no
            ``config.py``.
        seed: Random seed of the training run; only used if ``work_dir`` is empty.
        cfg_options: Settings that replace those of the config, such as
            ``{"model.test_cfg.rcnn.score_thr": 0.1}``.

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
            f"{run.path} has no config.py: choose the folder of a training run, or set `config` to "
            "a config file"
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
    """Open the folders of several training runs that were evaluated on the same data.

    Raises:
        FileNotFoundError: A run or its annotation file is missing.
        ValueError: ``work_dirs`` is empty, or the runs were evaluated on different images or
            classes.
    """
    opened = [open_run(work_dir) for work_dir in work_dirs]
    if not opened:
        raise ValueError("`work_dirs` is empty: pass at least one run folder")
    for view in opened[1:]:
        if not _same_data(view, opened[0]):
            raise ValueError(_not_alike(view, opened[0]))
    return opened


def open_before(
    view: RunView | ResultsView, before: str | os.PathLike = "", iou_type: str = "bbox"
) -> RunView | ResultsView:
    """Open the baseline with which a training run or a results file is compared.

    Args:
        view: The run or the results file to compare with the baseline.
        before: Folder of the baseline, relative to the repository; if ``view`` is a results file,
            the results file of the baseline. If ``before`` is empty, the baseline is the run with
            the same dataset, config and seed, but without PCB.
        iou_type: Type of the predictions to compare, ``"bbox"`` or ``"segm"``.

    Raises:
        FileNotFoundError: The baseline or its predictions do not exist.
        ValueError: The two runs were evaluated on different images or classes.
        ValueError: ``view`` is a results file, and ``before`` is empty.
    """
    if isinstance(view, ResultsView):
        return view.with_results(before)
    if not before:
        plain = plain_counterpart(view.run)
        if plain is None:
            raise FileNotFoundError(
                f"there is no baseline (run without PCB) for {view.run.path}: set `before` to a "
                "run folder"
            )
        before = plain.path
    earlier = open_run(before)
    earlier.predictions_file(iou_type)
    if not _same_data(view, earlier):
        raise ValueError(_not_alike(view, earlier))
    return earlier


def _same_data(view: RunView, other: RunView) -> bool:
    """Return whether two runs were evaluated on the same images and classes."""
    ours, theirs = view.data.annotations, other.data.annotations
    return ours is theirs or (
        ours.class_names == theirs.class_names and ours.image_of.keys() == theirs.image_of.keys()
    )


def _not_alike(view: RunView, other: RunView) -> str:
    return (
        f"{view.run.path} was evaluated on {view.data.annotations.path}, but {other.run.path} was "
        f"evaluated on {other.data.annotations.path}: compare runs with the same images and classes"
    )


def _output_path(run: Path) -> Path:
    """Return the folder to which a run's figures and numbers are written; see :class:`RunView`."""
    root = repository_root()
    samples = root / SAMPLE
    return root / "runs" / run.relative_to(root) if run.is_relative_to(samples) else run
