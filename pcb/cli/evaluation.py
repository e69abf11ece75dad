"""``pcb evaluate`` and ``pcb confusion``: evaluate the results file of any detector."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcb.cli.options import add_command, add_crowds, add_number
from pcb.cli.output import (
    confusion_summary,
    is_matrix_file,
    log_to_stderr,
    metrics_table,
    write_matrix,
)
from pcb.messages.ranges import IOU_THRESHOLD, SCORE_THRESHOLD
from pcb.runs.metrics import is_metrics_file, write_metrics
from pcb.storage.files import check_output

if TYPE_CHECKING:
    from pcb.datasets.lvis import Annotations


def add_commands(commands: Any) -> None:
    """Add ``pcb evaluate`` and ``pcb confusion`` to the command line."""
    evaluate = add_command(
        commands, "evaluate", _evaluate, "compute metrics from the results file of any detector"
    )
    add_detections(evaluate)
    evaluate.add_argument(
        "--iou-type",
        nargs="+",
        choices=("bbox", "segm"),
        help="evaluate boxes (bbox), masks (segm) or both; default: every type in the results",
    )
    evaluate.add_argument(
        "--backend",
        choices=("fast", "lvis"),
        default="fast",
        help="fast implementation (fast) or slow reference implementation (lvis); default: fast",
    )
    evaluate.add_argument(
        "--out", type=Path, metavar="FILE", help="also write the metrics to this JSON file"
    )
    add_force(evaluate)

    confusion = add_command(
        commands,
        "confusion",
        _confusion,
        "count how often each class is mistaken for another, from the results file of any detector",
    )
    add_detections(confusion)
    confusion.add_argument(
        "--iou-type",
        choices=("bbox", "segm"),
        help="compare boxes (bbox) or masks (segm); default: boxes if the results have boxes",
    )
    add_thresholds(confusion)
    confusion.add_argument(
        "--out",
        type=_matrix_file,
        metavar="FILE",
        help="also write the matrix to this .npz or .csv file",
    )
    add_force(confusion)


def _evaluate(options: argparse.Namespace) -> None:
    if options.out:
        _check_out(options, is_metrics_file)
    from pcb.evaluation import evaluate

    with log_to_stderr():
        annotations, groups = _ground_truth(options)
        metrics = evaluate(
            annotations,
            options.results,
            iou_types=options.iou_type,
            backend=options.backend,
        )
    print(metrics_table(metrics))
    if groups:
        print(groups)
    if options.out:
        write_metrics(os.path.realpath(options.out), metrics)  # follows a symbolic link
        print(f"Written: {options.out}")


def _confusion(options: argparse.Namespace) -> None:
    if options.out:
        _check_out(options, is_matrix_file)
    from pcb.evaluation.detection_confusion import MATCHED_BY, count_by_iou_type

    with log_to_stderr():
        annotations, groups = _ground_truth(options)
        (matrix, left_out), used = count_by_iou_type(
            annotations,
            options.results,
            iou_type=options.iou_type,
            iou_threshold=options.iou_threshold,
            score_threshold=options.score_threshold,
        )
    frequency = annotations.frequency if annotations.has_groups else None
    print(confusion_summary(matrix, annotations.class_names, frequency))
    if left_out.any():
        print(
            "unmatched detections left out, because their class is not fully annotated in the"
            f" image: {left_out.sum()}"
        )
    print(MATCHED_BY[used])
    if groups:
        print(groups)
    if options.out:
        write_matrix(options.out, matrix, annotations.class_names)
        print(f"Written: {options.out}")


def _ground_truth(options: argparse.Namespace) -> tuple[Annotations, str]:
    """Return the ground truth, and a line that states where the frequency groups come from."""
    from pcb.datasets.lvis import read_annotations
    from pcb.evaluation.inputs import with_training_groups

    annotations = read_annotations(
        options.ground_truth, federated=options.federated, crowds=options.crowds
    )
    if options.train is not None:
        annotations = with_training_groups(annotations, options.train, options.crowds)
        return annotations, f"frequency groups: from the images of each class in {options.train}"
    if not annotations.has_groups:
        return annotations, ""
    is_listed = all("frequency" in category for category in annotations.categories)
    key = "frequency" if is_listed else "image_count"
    return annotations, f"frequency groups: from {key!r} in {options.ground_truth}"


def _check_out(options: argparse.Namespace, is_own: Callable[[Path], bool]) -> None:
    """Check that the ``--out`` file may be written.

    This check runs before the inputs are read, because reading them can take minutes.
    """
    inputs = [options.ground_truth, options.results]
    if options.train is not None:
        inputs.append(options.train)
    check_output(options.out, inputs, is_own, force=options.force, name="--out")


def add_detections(parser: argparse.ArgumentParser) -> None:
    """Add the two input files, and the options that state which classes are annotated."""
    parser.add_argument(
        "ground_truth",
        metavar="GT.json",
        help="annotations in LVIS or COCO format, as .json or .json.gz",
    )
    parser.add_argument(
        "results", metavar="RESULTS.json", help="detections in COCO's results format"
    )
    add_crowds(parser)
    parser.add_argument(
        "--train",
        metavar="TRAIN.json",
        help="training annotations whose image counts determine the frequency groups;"
        " default: the groups or counts in GT.json",
    )
    scope = parser.add_mutually_exclusive_group()
    for name, value, meaning in (
        ("exhaustive", False, "every class is annotated in every image, as in COCO"),
        ("federated", True, "each image states which classes are annotated in it, as in LVIS"),
    ):
        scope.add_argument(
            f"--{name}",
            dest="federated",
            action="store_const",
            const=value,
            help=f"{meaning} (default: detected from the file)",
        )


def add_thresholds(parser: argparse.ArgumentParser) -> None:
    """Add the options that state which detections count, and which objects they match."""
    meaning = "minimum IoU of a detection and the object that it matches"
    add_number(parser, "--iou-threshold", IOU_THRESHOLD, 0.5, meaning)
    meaning = "minimum score of the detections to count"
    add_number(parser, "--score-threshold", SCORE_THRESHOLD, 0.3, meaning)


def add_force(parser: argparse.ArgumentParser) -> None:
    """Add the option that allows overwriting the output file."""
    parser.add_argument(
        "--force",
        action="store_true",
        help="overwrite the --out file even if it is not an earlier result of this command",
    )


def _matrix_file(text: str) -> Path:
    path = Path(text)
    if path.suffix not in (".npz", ".csv"):
        raise argparse.ArgumentTypeError(f"the file name must end in .npz or .csv, got {text!r}")
    return path
