"""``pcb train`` and ``pcb test``: train a detector, and evaluate a checkpoint."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pcb.cli.options import (
    add_command,
    add_number,
    add_settings,
    add_trust,
    parse_cfg_options,
)
from pcb.cli.output import log_to_stderr, metrics_table
from pcb.messages.ranges import SEED
from pcb.messages.terminal import outliving_terminal
from pcb.runs.folder import RunFolder
from pcb.runs.paths import default_work_dir
from pcb.runs.processes import PREDICTION
from pcb.storage.writing import writing_alone


def add_commands(commands: Any) -> None:
    """Add ``pcb train`` and ``pcb test`` to the command line."""
    train = add_command(
        commands,
        "train",
        _train,
        "train a detector, and save its checkpoints, log and config in a run folder",
    )
    train.add_argument(
        "config",
        metavar="CONFIG",
        help="config file, such as configs/openmoji/softmax_pcb.py; it is executed as Python code",
    )
    _add_run_options(train, "runs/<dataset>/<config>/seed<N>")
    add_number(train, "--seed", SEED, 0, "seed of all random numbers")
    begin = train.add_mutually_exclusive_group()
    begin.add_argument(
        "--resume", action="store_true", help="continue training from latest.pth in the run folder"
    )
    begin.add_argument(
        "--replace",
        action="store_true",
        help="delete the training run in the run folder and train from scratch",
    )
    add_trust(train)

    test = add_command(
        commands, "test", _test, "detect objects in the validation images and evaluate the results"
    )
    test.add_argument(
        "config", metavar="CONFIG", help="config file, or a run folder that contains config.py"
    )
    test.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="checkpoint file, such as a run's latest.pth"
    )
    _add_run_options(test, "the checkpoint's folder")
    add_trust(test)


@outliving_terminal()
def _train(options: argparse.Namespace) -> None:
    if not (options.resume or options.replace):  # before the imports below take seconds
        RunFolder(
            options.work_dir or default_work_dir(options.config, options.seed)
        ).check_untrained()
    from pcb.detection.engine.device import pick_device
    from pcb.detection.engine.training import train
    from pcb.distributed import process_group
    from pcb.study.validation import evaluate_validation

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
            evaluate=evaluate_validation,
        )


@outliving_terminal()
def _test(options: argparse.Namespace) -> None:
    from pcb.detection import load_config
    from pcb.detection.checkpoint import check_exists
    from pcb.detection.engine.device import pick_device
    from pcb.detection.engine.inference import predict
    from pcb.distributed import process_group, rank
    from pcb.study.data import read_validation
    from pcb.study.validation import evaluate_validation

    cfg_options = parse_cfg_options(options.cfg_options)
    check_exists(options.checkpoint)  # before the lock below creates a folder
    data = load_config(options.config, cfg_options, for_training=False).get("data")
    # Without --work-dir, the checkpoint's folder is the run folder.
    run = RunFolder(options.work_dir or Path(options.checkpoint).parent)
    with ExitStack() as stack:
        with process_group(pick_device(options.device)):
            if rank() == 0:  # hold the lock until the metrics are written
                stack.enter_context(writing_alone(run.path, PREDICTION))
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
        written = [*files.values()]
        with log_to_stderr():
            if not read_validation(data).annotations:
                print("No metrics: the images have no annotations.")
                print(f"Written: {', '.join(map(str, written))}")
                return
            metrics = evaluate_validation(data, files)
        run.write_metrics(metrics)
    print(metrics_table(metrics))
    print(f"Written: {', '.join(map(str, [*written, run.metrics_file]))}")


def _add_run_options(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--work-dir", type=Path, metavar="D", help=f"run folder for all output; default: {default}"
    )
    add_settings(parser)
