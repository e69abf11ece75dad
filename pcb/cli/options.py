"""Options of the command line that several commands share."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from typing import Any


def parse_cfg_options(words: Iterable[str]) -> dict[str, Any]:
    """Return configuration overrides from ``key=value`` words, one JSON object, or both.

    A value is read as JSON or as a Python literal; what is neither is a string.

    Raises:
        ValueError: a word is neither.

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
                raise ValueError(f"--cfg-options {word!r} is not JSON: {error}") from error
            continue
        key, equals, text = word.partition("=")
        if not (key and equals):
            raise ValueError(f"--cfg-options takes key=value or a JSON object, got {word!r}")
        options[key] = _literal(text)
    return options


def _literal(text: str) -> Any:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            continue
    return text
