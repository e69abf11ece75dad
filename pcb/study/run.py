"""A dataset, or a run together with the data it is judged on: what the notebooks start from.

Nothing here imports the detector unless something has to be predicted or a config merged, so that
a saved run is opened in a second.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pcb.datasets.lvis import (
    Annotations,
    read_annotations,
    read_results,
)
from pcb.datasets.lvis.notes import say
from pcb.runs.find import plain_counterpart
from pcb.runs.folder import RunFolder
from pcb.runs.names import run_name
from pcb.storage.repository import repository_path, repository_root
from pcb.study.data import DataView

IOU_TYPES = ("bbox", "segm")
SAMPLE = "sample"  # the committed runs, which are read only
SAMPLE_RUN = "sample/openmoji/softmax_pcb/seed0"


@dataclass(frozen=True)
class RunView:
    """A run folder and its validation data.

    Attributes:
        run: the run that is looked at.
        output: where figures and numbers drawn from it go: the run itself, or for a committed
            sample run a folder of the same name below ``runs/``, so that looking changes no file
            under version control.
        config: what the detector is built from: the run's folder, for its merged config, or a
            config file where it has none.
        cfg_options: overrides of the config.
        data: the validation data.
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
    ) -> dict[str, np.ndarray]:
        """The matrix that was learned in training and how it came about.

        Args:
            checkpoint: weights to read it from, such as a downloaded one; empty for the run's
                ``confusion.npz``.
            trust_checkpoint: unpickle whatever it holds, which may run any code.

        Returns:
            The arrays of :func:`pcb.detection.learned.learned_arrays`; those of the run folder
            together with the rest of :meth:`pcb.runs.RunFolder.read_confusion`.

        Raises:
            FileNotFoundError: there is none.
            ValueError: the checkpoint holds no matrix, or one that does not fit the config.
        """
        if not checkpoint:
            found = self.run.read_confusion() if self.run.confusion_file.is_file() else {}
            if "learned" not in found:
                raise FileNotFoundError(
                    f"{self.run.path} has no learned matrix: train it with notebook 01 or "
                    "`pcb train`, or name a checkpoint that holds one"
                )
            return found
        from pcb.detection import load_config
        from pcb.detection.checkpoint import read_checkpoint
        from pcb.detection.learned import learned_in_checkpoint

        loss = load_config(
            self.config, self.cfg_options, for_training=False
        ).model.roi_head.bbox_head.loss_cls
        state = read_checkpoint(repository_path(checkpoint), trust_checkpoint)
        return learned_in_checkpoint(loss, state, os.fspath(checkpoint))

    def ground_truth_confusion(self) -> np.ndarray | None:
        """What the detector takes the validation's ground-truth boxes for.

        Returns:
            (C, C) float32, the mean prediction of each class: true class i predicted as j, as in
            the learned matrix. A class without validation boxes has a row of nan. None where the
            predictions were not made by this kit, or before it measured this.
        """
        for folder in (self.output, self.run):
            found = folder.read_confusion() if folder.confusion_file.is_file() else {}
            if "ground_truth_boxes" in found:
                return found["ground_truth_boxes"]
        return None

    def predictions_file(self, iou_type: str) -> Path:
        """The run's detections, 'bbox' or 'segm', as a file in COCO results format.

        Raises:
            FileNotFoundError: nothing has been predicted yet.
        """
        for folder in (self.output, self.run):
            if (file := folder.predictions(iou_type)).is_file():
                return file
        raise FileNotFoundError(f"{self.run.path} has no predictions; run notebook 02 first")

    def predictions(self, iou_type: str) -> list[dict]:
        """The checked detections in :meth:`predictions_file`."""
        return read_results(self.predictions_file(iou_type), self.data.annotations, iou_type)

    def predict(self, checkpoint: str | os.PathLike = "", trust_checkpoint: bool = False) -> None:
        """Predict the validation images, unless that has been done with this checkpoint.

        The matrix of ground-truth boxes comes with it, and is made up for where an older run lacks
        it. A folder that was none yet becomes a run folder, with the config in it.

        Args:
            checkpoint: weights, such as downloaded ones; empty for the run's ``latest.pth``.
                Without any, predictions that are there are kept.
            trust_checkpoint: unpickle whatever they hold, which may run any code.

        Raises:
            FileNotFoundError: there are neither predictions nor a checkpoint.
            ValueError: the folder holds another training, whose results would be replaced.
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
                f"{self.output.path} holds a training of its own, whose results {weights.name} "
                "would replace: give another work_dir"
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
    """Open a run folder and the validation data that its config names.

    Args:
        work_dir: the run folder, relative to the repository; empty for the default folder of
            ``config`` and ``seed``, which need not exist. Without a config, too, the committed
            sample run is opened.
        config: config file, relative to the repository; used where the run folder has no
            ``config.py`` of its own, such as for a downloaded checkpoint.
        seed: see ``work_dir``.
        cfg_options: overrides of the config by dotted key.

    Raises:
        FileNotFoundError: no such run, config or annotation file.
    """
    if work_dir or not config:
        run = RunFolder(repository_path(work_dir or SAMPLE_RUN))
    else:
        from pcb.runs import default_work_dir

        run = RunFolder(default_work_dir(config, seed))
    of_run = run.config_file.is_file()
    if not (of_run or config):
        raise FileNotFoundError(
            f"{run.path} is no run folder: it has no config.py; train it with notebook 01 or "
            "`pcb train`, or name its config"
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
    """Open runs that were judged on the same images and classes, which are read once.

    Raises:
        FileNotFoundError: no such run or annotation file.
        ValueError: no run is given, or one was judged on others than the first.
    """
    opened = [open_run(work_dir) for work_dir in work_dirs]
    if not opened:
        raise ValueError("no run is given: name at least one run folder")
    for view in opened[1:]:
        if not _same_data(view, opened[0]):
            raise ValueError(_not_alike(view, opened[0]))
    return opened


def open_before(view: RunView, before: str | os.PathLike = "", iou_type: str = "bbox") -> RunView:
    """Open the run that another one is compared with.

    Args:
        view: the later run.
        before: folder of the earlier run, relative to the repository; empty for the run of the same
            config, dataset and seed without PCB.
        iou_type: the predictions to compare, 'bbox' or 'segm'.

    Raises:
        FileNotFoundError: there is no such run, or it has no predictions.
        ValueError: it was evaluated on other images or classes.
    """
    plain = plain_counterpart(view.run)
    if not before and plain is None:
        raise FileNotFoundError(
            f"{view.run.path} has no run of the same config and seed without PCB beside it: name "
            "the run to compare with as `before`"
        )
    earlier = open_run(before or plain.path)  # type: ignore[union-attr]
    earlier.predictions_file(iou_type)
    if not _same_data(view, earlier):
        raise ValueError(_not_alike(view, earlier))
    return earlier


def read_validation(data: Mapping[str, Any]) -> Annotations:
    """The validation annotations of a config's ``data``, with training counts.

    LVIS states them in every file. Where a file does not, as those in COCO format, they are counted
    in the training annotations. If these are absent or several files, a line says that there are no
    frequency groups.
    """
    val = data["val"]
    annotations = _read_once(repository_path(val["ann_file"]), val.get("federated"))
    if annotations.has_counts:
        return annotations
    train = data.get("train") or {}
    while isinstance(train, Mapping) and "dataset" in train:  # as for repeat factor sampling
        train = train["dataset"]
    file = train.get("ann_file") if isinstance(train, Mapping) else None
    if not isinstance(file, str) or not repository_path(file).is_file():
        text = "it states no training counts, and no training file does: no frequency groups"
        say(annotations.said, annotations.path, text)
        return annotations
    return annotations.counted_in(_read_once(repository_path(file), None))


def _read_once(file: Path, federated: bool | None) -> Annotations:
    """Annotations as :func:`read_annotations` gives them; those read last are kept.

    Runs that are compared have the same, which at LVIS's size take seconds to read.
    """
    state = file.stat() if file.is_file() else None
    return _read(file, federated, state and (state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=2)  # validation and training
def _read(file: Path, federated: bool | None, _state: tuple[int, int] | None) -> Annotations:
    return read_annotations(file, federated=federated)


def _same_data(view: RunView, other: RunView) -> bool:
    """Whether two runs were judged on the same images and classes."""
    ours, theirs = view.data.annotations, other.data.annotations
    return ours is theirs or (
        ours.class_names == theirs.class_names and ours.image_of.keys() == theirs.image_of.keys()
    )


def _not_alike(view: RunView, other: RunView) -> str:
    return (
        f"{other.run.path} was judged on {other.data.annotations.path}, and {view.run.path} on "
        f"{view.data.annotations.path}: compare runs on the same images and classes"
    )


def _output_path(run: Path) -> Path:
    """Where things drawn from a run go; see :attr:`RunView.output`."""
    root = repository_root()
    samples = root / SAMPLE
    return root / "runs" / run.relative_to(root) if run.is_relative_to(samples) else run
