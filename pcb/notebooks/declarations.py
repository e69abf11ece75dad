"""Read the names, types and allowed values of the parameters that a notebook declares.

A notebook declares its parameters in the cell that is tagged ``parameters``, one per line::

    pairs: int = 12  # number of pairs to show [1 to 100]
    order: str = "frequency"  # order of the classes [frequency, cluster or name]

The name, type and default of a parameter are Python code. The comment may end with the allowed
values in square brackets: a range such as ``[at least 1]``, ``[0 to 1]`` or ``[above 0 to 1]``, or
a list of alternatives such as ``[page, 2 to 40 or empty]``. In a list, ``empty`` means ``""``, and
``2 to 40`` means any number in this range. :mod:`pcb.notebooks.parameters` rejects values that are
not allowed.

This module needs only the standard library.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
import sys
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pcb.messages.nearest import did_you_mean
from pcb.messages.printable import short_repr

# Each type, its name in messages, and the papermill option that sets a parameter of this type.
_TYPES = {
    "bool": (bool, "True or False", "-p {name} True"),
    "int": (int, "a whole number", "-p {name} 1"),
    "float": (float, "a number", "-p {name} 0.5"),
    "str": (str, "text", "-r {name} TEXT"),
    "list": (list, "a list", "-y '{name}: [a, b]'"),
    "dict": (dict, "a dict", "-y '{name}: {{key: value}}'"),
}
_ALLOWED = re.compile(r"\[([^\[\]]+)\]$")  # at the end of a comment
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_RANGE = re.compile(rf"at least {_NUMBER}|(above )?{_NUMBER} to {_NUMBER}")
_SHOWN = 100  # maximum number of characters of a wrong value in a message


class ParameterError(ValueError):
    """Raised if a parameter has a name, type or value that the notebook does not accept.

    Notebooks show this error as one line, without a traceback.
    """

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython shows instead of a traceback.

        IPython calls this method in ``InteractiveShell.showtraceback``.
        """
        return [f"{type(self).__name__}: {self}"]


@dataclass(frozen=True)
class Parameter:
    """A parameter that a notebook declares.

    Attributes:
        name: Name of the parameter.
        type_name: Name of the parameter's type: bool, int, float, str, list or dict. Values of
            parameters with other types are not checked.
        least: Smallest allowed number.
        most: Largest allowed number.
        above: Whether ``least`` itself is excluded.
        choices: Allowed strings; empty if any string is allowed.
        numeric: Whether a parameter with ``choices`` also accepts any number from ``least`` to
            ``most``.
        entries: Type of the entries of a list; None if the entries may have any type.
    """

    name: str
    type_name: str
    least: float = -sys.float_info.max
    most: float = sys.float_info.max
    above: bool = False
    choices: tuple[str, ...] = ()
    numeric: bool = False
    entries: type | None = None

    def accept(self, value: Any) -> Any:
        """Convert a value to the parameter's type, check it and return it.

        Only unambiguous values are converted: for example, ``"false"`` to False, the float 3.0 to
        the int 3, and JSON text to a number, list or dict. If the parameter is a list, a single
        string is converted to a list that contains the string.

        Raises:
            ParameterError: The value has the wrong type or is not allowed.

        Example:
            >>> Parameter("replace", "bool").accept("false"), Parameter("runs", "list").accept("a")
            (False, ['a'])
            >>> Parameter("n", "int", least=1).accept(0)
            Traceback (most recent call last):
            pcb.notebooks.declarations.ParameterError: n must be a whole number of at least 1, got 0
        """
        if self.type_name not in _TYPES:
            return value
        kind: Any = _TYPES[self.type_name][0]
        taken: Any = _convert(value, kind)
        if self.numeric and type(taken) in (int, float):
            taken = repr(taken)
        if type(taken) is not kind:
            raise self._refusal(value, self._hint(value))
        if kind in (int, float) and not self._in_range(taken):
            raise self._refusal(value)
        if self.choices and taken not in self.choices and not self._is_number_in_range(taken):
            raise self._refusal(value, did_you_mean(taken, self.choices))
        for entry in taken if kind is list and self.entries else ():
            if type(entry) is not self.entries:
                raise self._refusal(value, self._hint())
        return taken

    def _in_range(self, value: float) -> bool:
        return self.least <= value <= self.most and not (self.above and value == self.least)

    def _is_number_in_range(self, text: str) -> bool:
        try:
            return self.numeric and self._in_range(float(text))
        except ValueError:
            return False

    def _refusal(self, value: Any, hint: str = "") -> ParameterError:
        message = f"{self.name} must be {self._expected()}, got {short_repr(value, _SHOWN)}"
        return ParameterError(f"{message}; {hint}" if hint else message)

    def _expected(self) -> str:
        if self.choices:
            number = [f"a number {self._range()}"] if self.numeric else []
            *others, last = [*map(repr, self.choices), *number]
            return f"{', '.join(others)} or {last}" if others else last
        _, expected, _ = _TYPES[self.type_name]
        if self.entries is str:
            return f"{expected} of strings"
        return f"{expected} {self._range()}".rstrip()

    def _range(self) -> str:
        if self.above:
            return f"above {self.least:.12g} and at most {self.most:.12g}"
        if self.most < sys.float_info.max:
            return f"from {self.least:.12g} to {self.most:.12g}"
        if self.least > -sys.float_info.max:
            return f"of at least {self.least:.12g}"
        return ""

    def _hint(self, given: Any = None) -> str:
        _, _, option = _TYPES[self.type_name]
        if (
            self.type_name == "str"
            and isinstance(given, int | float)
            and not isinstance(given, bool)
        ):
            option = option.replace("TEXT", str(given))
        return f"with papermill, pass {option.format(name=self.name)}"


def read_declarations(source: str) -> dict[str, Parameter]:
    """Return the parameters that a notebook cell declares, as a dict from name to parameter.

    If no variable in the cell has a type annotation, the cell declares no parameters. Otherwise,
    every assignment declares a parameter. A parameter without an annotation has the type of its
    default.

    Example:
        >>> read_declarations('order: str = "name"  # [name or cluster]')["order"].choices
        ('name', 'cluster')
        >>> read_declarations("pairs: int = 12  # to show [at least 1]")["pairs"].least
        1.0
        >>> read_declarations("order = 3")
        {}
    """
    lines = source.splitlines()
    # IPython magics are not Python. Emptying their lines keeps the numbers of the other lines.
    code = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines) + "\n"
    try:
        statements = ast.parse(code).body
        tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    except (SyntaxError, tokenize.TokenError, ValueError, RecursionError, MemoryError):
        return {}
    if not any(isinstance(statement, ast.AnnAssign) for statement in statements):
        return {}
    comments = {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}
    found = {}
    for statement in statements:
        targets: Sequence[ast.expr]
        annotation: ast.expr | None
        if isinstance(statement, ast.AnnAssign):
            targets, annotation = [statement.target], statement.annotation
        elif isinstance(statement, ast.Assign):
            targets, annotation = statement.targets, None
        else:
            continue
        comment = comments.get(statement.end_lineno or statement.lineno, "")
        for target in targets:
            if isinstance(target, ast.Name):
                found[target.id] = _parameter(target.id, annotation, statement.value, comment)
    return found


def _parameter(
    name: str, annotation: ast.expr | None, value: ast.expr | None, comment: str
) -> Parameter:
    try:
        default = None if value is None else ast.literal_eval(value)
    except (ValueError, TypeError):  # not a literal
        default = None
    base = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    type_name = ast.unparse(base) if base else type(default).__name__
    allowed = _ALLOWED.search(comment.rstrip())
    if allowed and type_name in ("int", "float") and (limits := _RANGE.fullmatch(allowed[1])):
        return Parameter(name, type_name, **_limits(limits))
    if allowed and type_name == "str" and len(words := re.split(r", | or ", allowed[1])) > 1:
        numeric = next(filter(None, map(_RANGE.fullmatch, words)), None)
        texts = [word for word in words if not numeric or word != numeric[0]]
        choices = tuple("" if word == "empty" else word for word in texts)
        bounds = _limits(numeric) if numeric else {}
        return Parameter(name, type_name, choices=choices, numeric=bool(numeric), **bounds)
    of_texts = type_name == "list" and default and all(isinstance(entry, str) for entry in default)
    return Parameter(name, type_name, entries=str if of_texts else None)


def _limits(found: re.Match[str]) -> dict[str, Any]:
    lower, above, least, most = found.groups()
    if most is None:
        return {"least": float(lower)}
    return {"least": float(least), "most": float(most), "above": bool(above)}


def _convert(value: Any, kind: type) -> Any:
    """Convert a value to type ``kind``; return an ambiguous or unsuitable value unchanged."""
    if isinstance(value, os.PathLike) and kind is str:
        return os.fspath(value)
    if isinstance(value, str) and kind is not str:
        return _convert_text(value, kind)
    if type(value) is int and kind is float and abs(value) < sys.float_info.max:
        return float(value)
    if type(value) is float and kind is int and value.is_integer():
        return int(value)
    if isinstance(value, tuple) and kind is list:
        return list(value)
    return value


def _convert_text(text: str, kind: type) -> Any:
    if kind in (list, dict) and not text.strip():
        return kind()
    try:
        value = json.loads(text.lower() if kind is bool else text)
    except (ValueError, RecursionError):
        value = text
    if kind is list and not isinstance(value, list) and not text.lstrip().startswith("["):
        return [text]
    # Use the JSON value only if it has the right type: a number is not accepted as a dict.
    fits = isinstance(value, (int, float) if kind in (int, float) else kind)
    return _convert(value, kind) if fits and not isinstance(value, str) else text
