"""The console script ``pcb``: train, test, evaluate, confusion, openmoji, doctor.

Everything heavy is imported by the command that needs it: ``pcb --help`` answers at once, and
``pcb doctor`` runs where PyTorch or mmcv is missing.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcb import runs
from pcb.cli.options import parse_cfg_options
from pcb.cli.output import confusion_summary, metrics_table, write_matrix
from pcb.messages.printable import printable
from pcb.messages.ranges import IOU_THRESHOLD, SCORE_THRESHOLD, SEED, Range
from pcb.messages.terminal import outliving_terminal
from pcb.messages.warnings import one_line_warnings
from pcb.storage.files import check_output
from pcb.storage.locks import writing_alone

if TYPE_CHECKING:
    pass

USER_ERROR = 2  # the exit status argparse uses, too
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status.

    A mistake of the user ends as one line on standard error and status 2. A mistake of the program
    keeps its traceback.
    """
    options = build_parser().parse_args(arguments)
    one_line_warnings()
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show ends no command
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return options.command(options) or 0
    except (ValueError, OSError) as error:
        if not _is_for_the_user(error):
            raise
        message = str(error)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "pcb":
            raise
        message = f"the package {error.name!r} is missing; run `make setup`, then `pcb doctor`"
    except ImportError as error:
        if error.name is not None:
            raise
        message = str(error)  # of a hook that says what to install
    except KeyboardInterrupt:
        print("pcb: interrupted", file=sys.stderr)
        return INTERRUPTED
    # A message may quote what a file says, which must show in a terminal and not act on it.
    print(f"pcb: error: {printable(message)}", file=sys.stderr)
    return USER_ERROR


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="pcb", description="Pairwise Class Balance for long-tailed recognition."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    train = _add_command(
        commands, "train", _train, "train a detector and keep everything about it in a run folder"
    )
    train.add_argument(
        "config",
        metavar="CONFIG",
        help="config file, such as configs/openmoji/softmax_pcb.py; executed as Python",
    )
    _add_run_options(train, "runs/<dataset>/<config>/seed<N>")
    _add_number(train, "--seed", SEED, 0, "every random choice follows from it")
    begin = train.add_mutually_exclusive_group()
    begin.add_argument(
        "--resume", action="store_true", help="continue from the run folder's latest.pth"
    )
    begin.add_argument(
        "--replace",
        action="store_true",
        help="train from scratch and delete the training in the run folder",
    )
    _add_trust(train)

    test = _add_command(
        commands, "test", _test, "predict the validation images and evaluate the predictions"
    )
    test.add_argument(
        "config", metavar="CONFIG", help="config file, or run folder whose config.py is read"
    )
    test.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="weights, such as a run's latest.pth"
    )
    _add_run_options(test, "the checkpoint's folder")
    _add_trust(test)

    evaluate = _add_command(
        commands, "evaluate", _evaluate, "compute the metrics of a results file, anyone's"
    )
    _add_detections(evaluate)
    evaluate.add_argument(
        "--iou-type",
        nargs="+",
        choices=("bbox", "segm"),
        help="overlap of boxes (bbox) or of masks (segm); default: each that the results hold",
    )
    evaluate.add_argument(
        "--backend",
        choices=("fast", "lvis"),
        default="fast",
        help="lvis is the reference implementation, and slow (default: fast)",
    )
    evaluate.add_argument("--out", type=Path, metavar="FILE", help="also write the metrics as JSON")
    _add_force(evaluate)

    confusion = _add_command(
        commands,
        "confusion",
        _confusion,
        "count which class is mistaken for which in a results file, anyone's",
    )
    _add_detections(confusion)
    confusion.add_argument(
        "--iou-type",
        choices=("bbox", "segm"),
        default="bbox",
        help="overlap of boxes (bbox) or of masks (segm); default: bbox",
    )
    _add_number(confusion, "--iou-threshold", IOU_THRESHOLD, 0.5, "least overlap of a match")
    _add_number(confusion, "--score-threshold", SCORE_THRESHOLD, 0.3, "least score that counts")
    confusion.add_argument(
        "--out",
        type=_matrix_file,
        metavar="FILE",
        help="write the matrix into this .npz or .csv file",
    )
    _add_force(confusion)

    openmoji = _add_command(
        commands, "openmoji", _openmoji, "make the OpenMoji-LT dataset, without a network"
    )
    openmoji.add_argument(
        "out", type=Path, metavar="OUT", help="new folder, such as data/openmoji/mini"
    )
    openmoji.add_argument(
        "--size",
        choices=("tiny", "mini", "full"),
        default="mini",
        help="tiny: 8 classes, for tests; mini: 40; full: 1203, as LVIS v1 (default: mini)",
    )
    _add_number(openmoji, "--seed", SEED, 0, "the same one makes the same dataset")

    _add_command(
        commands, "doctor", _doctor, "report what is set up, what is missing and what to do"
    )
    return parser


@outliving_terminal()
def _train(options: argparse.Namespace) -> None:
    from pcb.detection.engine.device import pick_device
    from pcb.detection.engine.training import train
    from pcb.distributed import process_group

    with process_group(pick_device(options.device)):
        train(
            options.config,
            work_dir=options.work_dir,
            seed=options.seed,
            cfg_options=parse_cfg_options(options.cfg_options),
            resume=options.resume,
            replace=options.replace,
            trust_checkpoint=options.trust_checkpoint,
            device=options.device,
        )


@outliving_terminal()
def _test(options: argparse.Namespace) -> None:
    from pcb.detection import load_config
    from pcb.detection.checkpoint import check_exists
    from pcb.detection.engine.device import pick_device
    from pcb.detection.engine.inference import predict
    from pcb.distributed import process_group, rank
    from pcb.evaluation import evaluate
    from pcb.study.data import read_validation

    cfg_options = parse_cfg_options(options.cfg_options)
    check_exists(options.checkpoint)  # the lock below makes a folder
    data = load_config(options.config, cfg_options, for_training=False).get("data")
    # Without --work-dir the run is the one the checkpoint lies in.
    run = runs.RunFolder(options.work_dir or Path(options.checkpoint).parent)
    with ExitStack() as stack:
        with process_group(pick_device(options.device)):
            if rank() == 0:  # until the metrics are written, too
                stack.enter_context(writing_alone(run.path, "prediction"))
            files = predict(
                options.config,
                options.checkpoint,
                run.path,
                cfg_options=cfg_options,
                trust_checkpoint=options.trust_checkpoint,
                device=options.device,
            )
            if rank() > 0:
                return
        metrics: dict[str, dict[str, float]] = {}
        with _notes_on_stderr():
            ground_truth = read_validation(data)
            for iou_type, file in files.items():
                metrics |= evaluate(ground_truth, file, iou_types=(iou_type,))
        run.write_metrics(metrics)
    print(metrics_table(metrics))
    print(f"Written: {run.metrics_file}")


def _evaluate(options: argparse.Namespace) -> None:
    if options.out:
        _check_out(options, runs.is_metrics_file)
    from pcb.evaluation import evaluate

    with _notes_on_stderr():
        metrics = evaluate(
            options.ground_truth,
            options.results,
            iou_types=options.iou_type,
            backend=options.backend,
            federated=options.federated,
        )
    print(metrics_table(metrics))
    if options.out:
        runs.write_metrics(os.path.realpath(options.out), metrics)  # a link stays one
        print(f"Written: {options.out}")


def _confusion(options: argparse.Namespace) -> None:
    if options.out:
        _check_out(options, _is_matrix_file)
    from pcb.datasets.lvis import read_annotations
    from pcb.evaluation import count_detections

    with _notes_on_stderr():
        annotations = read_annotations(options.ground_truth, federated=options.federated)
        matrix, left_out = count_detections(
            annotations,
            options.results,
            iou_type=options.iou_type,
            iou_threshold=options.iou_threshold,
            score_threshold=options.score_threshold,
        )
    print(confusion_summary(matrix, annotations.class_names))
    if left_out.any():
        print(
            f"left out: {left_out.sum()} detections on background, of classes that their image"
            " does not judge"
        )
    if options.out:
        write_matrix(options.out, matrix, annotations.class_names)
        print(f"Written: {options.out}")


def _check_out(options: argparse.Namespace, is_own: Callable[[Path], bool]) -> None:
    """Refuse what is at ``--out`` before anything is read, rather than after minutes."""
    inputs = (options.ground_truth, options.results)
    check_output(options.out, inputs, is_own, force=options.force, name="--out")


@contextmanager
def _notes_on_stderr() -> Iterator[None]:
    """Show what is logged about data, also what is no warning, a line each."""
    logger, handler = logging.getLogger("pcb"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("pcb: %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _openmoji(options: argparse.Namespace) -> None:
    from pcb.datasets.openmoji import make_openmoji

    print(f"OpenMoji-LT: {make_openmoji(options.out, size=options.size, seed=options.seed)}")


def _doctor(options: argparse.Namespace) -> int:
    from pcb.cli import doctor

    checks = doctor.examine()
    print(doctor.report(checks))
    return 1 if doctor.problems(checks) else 0


def _add_command(commands: Any, name: str, command: Any, description: str) -> Any:
    parser = commands.add_parser(
        name, help=description, description=f"{description[0].upper()}{description[1:]}."
    )
    parser.set_defaults(command=command)
    return parser


def _add_run_options(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--work-dir", type=Path, metavar="D", help=f"run folder; default: {default}"
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), help="default: cuda if there is a GPU, else cpu"
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="override values of the config, such as runner.max_epochs=1; also as one JSON object, "
        "'{\"runner.max_epochs\": 1}'",
    )


def _add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust-checkpoint",
        action="store_true",
        help="read the checkpoint even if that may run code that its author put into it",
    )


def _add_detections(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "ground_truth", metavar="GT.json", help="annotations in LVIS or COCO format, also .json.gz"
    )
    parser.add_argument(
        "results", metavar="RESULTS.json", help="detections in COCO's results format"
    )
    judged = parser.add_mutually_exclusive_group()
    for name, value, meaning in (
        ("exhaustive", False, "every class is judged in every image, as in COCO"),
        ("federated", True, "an image judges the classes it is annotated for alone, as in LVIS"),
    ):
        judged.add_argument(
            f"--{name}",
            dest="federated",
            action="store_const",
            const=value,
            help=f"{meaning} (default: as the file suggests)",
        )


def _add_force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--force", action="store_true", help="write over a file at --out that is something else"
    )


def _add_number(
    parser: argparse.ArgumentParser, flag: str, numbers: Range, default: float, meaning: str
) -> None:
    parser.add_argument(
        flag,
        type=numbers.argument,
        default=default,
        metavar="N" if numbers.whole else "X",
        help=f"{meaning}: {numbers} (default: {default})",
    )


def _matrix_file(text: str) -> Path:
    path = Path(text)
    if path.suffix not in (".npz", ".csv"):
        raise argparse.ArgumentTypeError(f"must end in .npz or .csv, got {text!r}")
    return path


def _is_matrix_file(path: Path) -> bool:
    """Whether a file holds a matrix as ``pcb confusion`` writes it."""
    if path.suffix == ".csv":
        head = path.read_bytes().split(b"\n", 1)[0].strip()
        return head.startswith(b"true class,") and head.endswith(b",missed")
    import numpy as np

    with np.load(path, allow_pickle=False) as archive:
        return set(archive.files) == {"detections", "class_names"}


def _is_for_the_user(error: BaseException | None) -> bool:
    """Whether an error, or one that led to it, was raised by the kit itself or is about a file."""
    package = Path(__file__).resolve().parents[1]
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        ours = bool(frames) and Path(frames[-1].filename).resolve().is_relative_to(package)
        if ours or isinstance(error, OSError):
            return True
        error = error.__cause__ or error.__context__
    return False
