"""The console script ``pcb``.

A command imports slow modules only when it runs. So ``pcb --help`` responds immediately, and
``pcb doctor`` works even if PyTorch or mmcv is missing.
"""

from __future__ import annotations

import argparse
import io
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from pcb.cli import data, evaluation, grid, prediction, report, training
from pcb.cli.options import (
    add_command,
    add_number,
    add_settings,
    add_trust,
    parse_cfg_options,
)
from pcb.messages.checks import problems
from pcb.messages.checks import report as report_of
from pcb.messages.printable import printable
from pcb.messages.ranges import SEED, STEPS
from pcb.messages.warnings import one_line_warnings

STEPS_MEASURED = 3  # by `pcb doctor CONFIG`
USER_ERROR = 2  # argparse uses the same exit status
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one ``pcb`` command and return its exit status.

    If the user can fix an error, the error is printed as one line to standard error, and the exit
    status is 2. Other errors are raised.
    """
    options = parse(arguments)
    one_line_warnings()
    for stream in (sys.stdout, sys.stderr):  # escape what cannot be encoded
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return options.command(options) or 0
    except (ValueError, OSError) as error:
        if not is_for_the_user(error):
            raise
        message = str(error)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "pcb":
            raise
        message = f"the package {error.name!r} is missing; run `make setup`, then `pcb doctor`"
    except ImportError as error:
        if error.name is not None:
            raise
        message = str(error)  # the message says what to install
    except KeyboardInterrupt:
        print("pcb: interrupted", file=sys.stderr)
        return INTERRUPTED
    # A message may quote text from a file; its control characters must not reach the terminal.
    print(f"pcb: error: {printable(message)}", file=sys.stderr)
    return USER_ERROR


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse a ``pcb`` command line and return its options.

    For ``pcb lab``, the result has the additional attribute ``arguments``: the options for
    JupyterLab.
    """
    parser = build_parser()
    options, further = parser.parse_known_args(arguments)
    if options.command is _lab:
        options.arguments = further
    elif options.command is prediction.predict and not any(w.startswith("-") for w in further):
        options.images += further  # images that follow an option; argparse does not assign them
    elif further:
        parser.error(f"unrecognized arguments: {' '.join(further)}")
    return options


def build_parser() -> argparse.ArgumentParser:
    """Return the argument parser of ``pcb``, with all its commands."""
    parser = argparse.ArgumentParser(
        prog="pcb", description="Pairwise Class Balance for long-tailed recognition."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    training.add_commands(commands)
    prediction.add_commands(commands)
    data.add_commands(commands)
    evaluation.add_commands(commands)
    report.add_commands(commands)
    grid.add_command(commands)
    lab = add_command(commands, "lab", _lab, "open copies of the notebooks in JupyterLab")
    lab.usage = "pcb lab [-h] [options of `jupyter lab`, such as --port 9999 --no-browser]"
    openmoji = add_command(
        commands, "openmoji", _openmoji, "make the dataset OpenMoji-LT (works offline)"
    )
    openmoji.add_argument(
        "out", type=Path, metavar="OUT", help="new folder, such as data/openmoji/mini"
    )
    openmoji.add_argument(
        "--size",
        choices=("tiny", "mini", "full"),
        default="mini",
        help="tiny: 8 classes, for tests; mini: 40 classes; full: 1203 classes, as in LVIS v1 "
        "(default: mini)",
    )
    add_number(openmoji, "--seed", SEED, 0, "random seed of the dataset")
    doctor = add_command(
        commands,
        "doctor",
        _doctor,
        "check the installation and the datasets or, with CONFIG, the data and prospects of a "
        "config; print a remedy for each problem",
    )
    doctor.add_argument(
        "config", nargs="?", metavar="CONFIG", help="config file; it is executed as Python code"
    )
    add_settings(doctor)
    add_trust(doctor)
    doctor.add_argument(
        "--steps",
        type=STEPS.argument,
        metavar="N",
        help="training steps from which time and memory are estimated: "
        f"{STEPS}, 0 for none (default: {STEPS_MEASURED})",
    )
    return parser


def _openmoji(options: argparse.Namespace) -> None:
    from pcb.datasets.openmoji import make_openmoji

    print(f"OpenMoji-LT is in {make_openmoji(options.out, size=options.size, seed=options.seed)}")


def _lab(options: argparse.Namespace) -> None:
    from pcb.notebooks.lab import start_lab

    start_lab(options.arguments)


def _doctor(options: argparse.Namespace) -> int:
    from pcb.cli import doctor

    if options.config is None:
        given = {
            "--cfg-options": options.cfg_options or None,
            "--device": options.device,
            "--steps": options.steps,
            "--trust-checkpoint": options.trust_checkpoint or None,
        }
        if unused := [name for name, value in given.items() if value is not None]:
            raise ValueError(
                f"{', '.join(unused)} cannot be used without CONFIG: add a config file"
            )
        checks, healthy = doctor.examine(), "Everything is set up."
    else:
        from pcb.study.doctor import examine_config

        cfg_options = parse_cfg_options(options.cfg_options)
        steps = STEPS_MEASURED if options.steps is None else options.steps
        checks = examine_config(
            options.config, cfg_options, steps, options.device, options.trust_checkpoint
        )
        healthy = "No problem was found."
    print(report_of(checks, healthy))
    return 1 if problems(checks) else 0


def is_for_the_user(error: BaseException | None) -> bool:
    """Return whether an error should be shown without a traceback.

    The result is True for an ``OSError``, for an error that this package raised, and for an error
    that was caused by one of these.
    """
    package = Path(__file__).resolve().parents[1]
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        ours = bool(frames) and Path(frames[-1].filename).resolve().is_relative_to(package)
        if ours or isinstance(error, OSError):
            return True
        error = error.__cause__ or error.__context__
    return False
