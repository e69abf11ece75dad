"""Open an annotation file and a results file of any detector, without a config or a run folder."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

from pcb.datasets.lvis import Annotations, read_annotations
from pcb.datasets.lvis.results import iou_type_of
from pcb.evaluation.inputs import with_training_groups
from pcb.messages.printable import printable
from pcb.runs.folder import RunFolder
from pcb.storage.repository import repository_path
from pcb.study.data import DataView


@dataclass(frozen=True)
class ResultsView:
    """The detections in a results file, with the part of the interface of a run that needs no run.

    Attributes:
        file: Results file in COCO's format.
        output: Folder to which figures and numbers are written.
        data: The ground truth.
        name: Name of the results in figures: the end of the path of ``file``.
    """

    file: Path
    output: RunFolder
    data: DataView
    name: str

    @property
    def matching_iou_type(self) -> str:
        """``"segm"`` if the results have masks alone, otherwise ``"bbox"``."""
        return iou_type_of(self.file)

    def predictions_file(self, iou_type: str) -> Path:
        """Return the results file; it is the same for boxes and masks."""
        return self.file

    def learned_confusion(self, checkpoint: str = "", trust_checkpoint: bool = False) -> None:
        """Return None, because a results file contains no learned matrix."""

    def ground_truth_confusion(self) -> None:
        """Return None, because a results file contains no predictions for true boxes."""

    def predict(self, checkpoint: str = "", trust_checkpoint: bool = False) -> None:
        """Do nothing, because the predictions are already there."""

    def with_results(self, results: str | os.PathLike[str]) -> ResultsView:
        """Return a view of different results for the same ground truth.

        Raises:
            FileNotFoundError: The results file does not exist.
            ValueError: ``results`` is empty.
        """
        if not results:
            raise ValueError("`before` is empty: set it to the results file to compare with")
        file = _existing("results", results)
        return dataclasses.replace(self, file=file, name=_name(file, self.file))


def open_results(
    ground_truth: str | os.PathLike[str],
    results: str | os.PathLike[str],
    image_dir: str | os.PathLike[str] = "",
    work_dir: str | os.PathLike[str] = "",
    train: str | os.PathLike[str] = "",
    federated: bool | None = None,
    crowds: str | None = None,
    before: str | os.PathLike[str] = "",
) -> ResultsView:
    """Open an annotation file and a results file of any detector.

    Relative paths start at the repository root. Printed lines state how frequency groups were
    computed, and which pictures are missing. The content of ``results`` is not checked here.

    Args:
        ground_truth: Annotations in LVIS or COCO format.
        results: Detections in COCO's results format.
        image_dir: Folder of the images, which show the classes in figures; empty for no images.
        work_dir: Folder to which figures and numbers are written.
        train: Training annotations. The number of training images of each class determines its
            frequency group. If ``train`` is empty, the numbers and groups are those in
            ``ground_truth``. Missing numbers are replaced by the numbers of ground-truth images.
        federated: True if each image was checked only for some classes, False if every image was
            checked for every class; None to decide from the content of ``ground_truth``.
        crowds: How to read annotations marked as crowds; see
            :func:`pcb.datasets.lvis.read_annotations`.
        before: Results with which ``results`` will be compared. If the file names are equal, the
            names in figures also contain folders. The file is not opened.

    Raises:
        FileNotFoundError: A file or the image folder does not exist.
        AnnotationError: The annotations are invalid, or ``train`` lacks some of the categories.
        ValueError: ``work_dir`` is empty, or contains a training run.
    """
    if not work_dir:
        raise ValueError("`work_dir` is empty: set it to a folder for the figures and tables")
    output = RunFolder(repository_path(work_dir))
    if output.holds_a_run:
        raise ValueError(
            f"{output.path} contains a training run, whose figures would be overwritten: choose "
            "another work_dir"
        )
    truth, file = _existing("annotation", ground_truth), _existing("results", results)
    counted = _existing("training annotation", train) if train else None
    images = repository_path(image_dir) if image_dir else Path(os.devnull)  # contains no file
    if image_dir and not images.is_dir():
        raise FileNotFoundError(f"the image folder {images} does not exist: correct the path")
    annotations = read_annotations(truth, federated=federated, crowds=crowds)
    data = DataView(_with_counts(annotations, counted, crowds), images)
    _tell_missing(data, bool(image_dir))
    return ResultsView(file, output, data, _name(file, repository_path(before) if before else None))


def _existing(kind: str, file: str | os.PathLike[str]) -> Path:
    path = repository_path(file)
    if not path.is_file():
        raise FileNotFoundError(f"the {kind} file {path} does not exist: correct the path")
    return path


def _name(file: Path, other: Path | None) -> str:
    """Return the shortest end of a path that distinguishes it from another path."""
    length = 1
    if other is not None and other != file:
        while file.parts[-length:] == other.parts[-length:]:
            length += 1
    return printable("/".join(file.parts[-length:]))


def _with_counts(annotations: Annotations, train: Path | None, crowds: str | None) -> Annotations:
    """Add the numbers of images that determine frequency groups, and print where they are from."""
    if train is not None:
        print(f"The frequency groups are computed from the numbers of images in {train}.")
        return with_training_groups(annotations, train, crowds)
    if annotations.has_counts:
        return annotations
    what = "Classes are sorted by" if annotations.has_groups else "Frequency groups are computed by"
    print(
        f"{what} the numbers of images in {annotations.path}, because it does not contain the "
        "numbers of training images: to use those, name the training annotations (--train; in a "
        "notebook, the parameter train)."
    )
    return annotations.with_counts_of(annotations)


def _tell_missing(data: DataView, are_wanted: bool) -> None:
    if data.icons is not None:
        return
    if not are_wanted:
        print(
            "Classes are shown without pictures, because no image folder is named (--images; in a "
            "notebook, the parameter image_dir)."
        )
        return
    total = len(data.annotations.images)
    if missing := total - len(data.present_images):
        result = "the pictures of classes come from the other images"
        if missing == total:
            result = "classes are shown without pictures"
        print(f"{missing:,} of {total:,} images are missing from {data.image_dir}: {result}.")
