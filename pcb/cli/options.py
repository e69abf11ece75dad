"""Define options that several ``pcb`` commands share, and parse the values of these options."""

from __future__ import annotations

import argparse
import ast
import json
from collections.abc import Callable, Iterable
from typing import Any

from pcb.messages.ranges import Range

Command = Callable[[argparse.Namespace], int | None]


def add_command(commands: Any, name: str, command: Command, description: str) -> Any:
    """Add a command to an argparse parser, and return the parser of the command.

    Args:
        commands: The object that ``add_subparsers`` returned.
        name: Name of the command.
        command: Function that runs the command. It returns the exit status; None means 0.
        description: What the command does, as a phrase in lower case without a full stop.
    """
    parser = commands.add_parser(
        name, help=description, description=f"{description[0].upper()}{description[1:]}."
    )
    parser.set_defaults(command=command)
    return parser


def add_number(
    parser: argparse.ArgumentParser, flag: str, numbers: Range, default: float, meaning: str
) -> None:
    """Add an option that takes a number.

    The help text of the option states the allowed range and the default.
    """
    parser.add_argument(
        flag,
        type=numbers.argument,
        default=default,
        metavar="N" if numbers.whole else "X",
        help=f"{meaning}: {numbers} (default: {default})",
    )


def add_crowds(parser: argparse.ArgumentParser) -> None:
    """Add ``--crowds``."""
    parser.add_argument(
        "--crowds",
        choices=("ignore", "objects"),
        help="read annotations marked as crowds (iscrowd) as regions to ignore, as COCO does"
        " (ignore), or each as one object (objects); default: ignore if they are few",
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add ``--device`` and ``--cfg-options``."""
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        help="device; default: cuda if there is a GPU, otherwise cpu",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="new config values: KEY=VALUE, such as runner.max_epochs=1, or a JSON object, "
        "such as '{\"runner.max_epochs\": 1}'",
    )


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust-checkpoint``."""
    parser.add_argument(
        "--trust-checkpoint",
        action="store_true",
        help="load the checkpoint even if loading it executes code that the file contains",
    )


def parse_cfg_options(words: Iterable[str]) -> dict[str, Any]:
    """Parse the values of ``--cfg-options`` into a dict from dotted keys to config values.

    Args:
        words: Words from the command line. Each is ``key=value`` or a JSON object. A value that is
            neither JSON nor a Python literal is kept as text.

    Raises:
        ValueError: A word is neither ``key=value`` nor a JSON object.

    Example:
        >>> parse_cfg_options(["runner.max_epochs=1", "data.val.pipeline=[]", "log_level=INFO"])
        {'runner.max_epochs': 1, 'data.val.pipeline': [], 'log_level': 'INFO'}
        >>> parse_cfg_options(['{"optimizer.lr": 0.01}'])
        {'optimizer.lr': 0.01}
    """
    options: dict[str, Any] = {}
    for word in words:
        if word.lstrip().startswith("{"):
            try:
                options.update(json.loads(word))
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"--cfg-options {word!r} is not a JSON object ({error}): correct it, or use "
                    "key=value"
                ) from error
            continue
        key, equals, text = word.partition("=")
        if not (key and equals):
            raise ValueError(f"--cfg-options must be key=value or a JSON object, got {word!r}")
        options[key] = _literal(text)
    return options


def _literal(text: str) -> Any:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            continue
    return text
