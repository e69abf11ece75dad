"""Parameters of notebooks: what a notebook declares, and whether the values it was given fit.

A notebook declares its parameters in the cell that is tagged ``parameters``, one a line::

    pairs: int = 12  # worst pairs to show [1 to 100]
    order: str = "frequency"  # of the classes [frequency, cluster or name]

Name, type and default are Python's. A comment may end with the values that are allowed, in square
brackets: ``[at least 1]``, ``[0 to 1]``, ``[above 0 to 1]``, or words, where ``empty`` stands for
``""`` and a range for numbers: ``[page, 2 to 40 or empty]``. People read them there, also with
``papermill --help-notebook``, and this module holds values to them: in the notebook itself
(:func:`check`), and before a notebook is run (:func:`check_parameters`).

Only the standard library is needed, so that a wrong value is refused before any slow import.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
import sys
import tokenize
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcb.messages.nearest import nearest_names, suggestion
from pcb.messages.warnings import one_line_warnings

# How each type is called in a message, and what gives such a value to papermill.
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
_INJECTED = "# Parameters\n"  # the first line of the cell that papermill adds
_BY_PAPERMILL = "PAPERMILL_"  # parameters that `papermill --inject-paths` adds
_SHOWN = 100  # characters of a wrong value


class ParameterError(ValueError):
    """A parameter has a name, type or value that the notebook does not take.

    A notebook shows it as one line, without a traceback.
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython shows; see ``InteractiveShell.showtraceback``."""
        return [f"{type(self).__name__}: {self}"]


@dataclass(frozen=True)
class Parameter:
    """A parameter as its notebook declares it.

    Attributes:
        name: its name.
        type: name of its type: bool, int, float, str, list or dict; another one is not checked.
        least, most: of a number; of a text without choices they mean nothing.
        above: whether a number must be larger than ``least``.
        choices: of a text; empty if any text is allowed.
        numeric: whether a text may also be a number from ``least`` to ``most``.
        entries: type of a list's entries; None if any is allowed.
    """

    name: str
    type: str
    least: float = -sys.float_info.max
    most: float = sys.float_info.max
    above: bool = False
    choices: tuple[str, ...] = ()
    numeric: bool = False
    entries: Callable | None = None

    def accept(self, value: Any) -> Any:
        """Return ``value`` as the notebook takes it.

        Converted is what can only mean one thing: ``"false"`` to False, a whole float to an int,
        JSON text to a number, list or dict, and one text to a list of texts.

        Raises:
            ParameterError: the type is wrong, or the value is not allowed.

        Example:
            >>> Parameter("replace", "bool").accept("false"), Parameter("runs", "list").accept("a")
            (False, ['a'])
            >>> Parameter("n", "int", least=1).accept(0)
            Traceback (most recent call last):
            pcb.notebooks.parameters.ParameterError: n must be a whole number of at least 1, got 0
        """
        if self.type not in _TYPES:
            return value
        kind: Any = _TYPES[self.type][0]
        given: Any = value
        value = _converted(value, kind)
        if self.numeric and type(value) in (int, float):
            value = repr(value)
        if type(value) is not kind:
            raise self._refusal(given, self._hint(given))
        if isinstance(value, int | float) and kind is not bool and not self._in_range(value):
            raise self._refusal(given)
        if self.choices and value not in self.choices and not self._is_number_in_range(value):
            alike = nearest_names(value, self.choices)
            raise self._refusal(given, f"did you mean {alike[0]!r}?" if alike else "")
        for entry in value if kind is list and self.entries else ():
            if type(entry) is not self.entries:
                raise self._refusal(given, self._hint())
        return value

    def _in_range(self, value: float) -> bool:
        return self.least <= value <= self.most and not (self.above and value == self.least)

    def _is_number_in_range(self, text: str) -> bool:
        try:
            return self.numeric and self._in_range(float(text))
        except ValueError:
            return False

    def _refusal(self, value: Any, hint: str = "") -> ParameterError:
        shown = repr(value)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
        message = f"{self.name} must be {self._expected()}, got {shown}"
        return ParameterError(f"{message}; {hint}" if hint else message)

    def _expected(self) -> str:
        if self.choices:
            number = [f"a number {self._range()}"] if self.numeric else []
            *others, last = [*map(repr, self.choices), *number]
            return f"{', '.join(others)} or {last}" if others else last
        _, expected, _ = _TYPES[self.type]
        if self.entries is str:
            return f"{expected} of texts"
        return f"{expected} {self._range()}".rstrip()

    def _range(self) -> str:
        if self.above:
            return f"above {self.least:.12g}, up to {self.most:.12g}"
        if self.most < sys.float_info.max:
            return f"from {self.least:.12g} to {self.most:.12g}"
        if self.least > -sys.float_info.max:
            return f"of at least {self.least:.12g}"
        return ""

    def _hint(self, given: Any = None) -> str:
        _, _, option = _TYPES[self.type]
        if self.type == "str" and isinstance(given, int | float) and not isinstance(given, bool):
            option = option.replace("TEXT", str(given))
        return f"papermill takes it as {option.format(name=self.name)}"


def declared(source: str) -> dict[str, Parameter]:
    """Return the parameters that a cell declares, by name.

    A cell that annotates no variable declares none. In one that does, a plain assignment of a
    literal declares a parameter of that literal's type.

    Example:
        >>> declared('order: str = "name"  # of classes [name or cluster]')["order"].choices
        ('name', 'cluster')
        >>> declared("pairs: int = 12  # to show [at least 1]")["pairs"].least
        1.0
        >>> declared("order = 3")
        {}
    """
    lines = source.splitlines()
    # Magics are no Python. Their lines stay, empty, so that comments keep theirs.
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
        if isinstance(statement, ast.AnnAssign):
            targets, annotation = [statement.target], statement.annotation
        elif isinstance(statement, ast.Assign):
            targets, annotation = statement.targets, None
        else:
            continue
        comment = comments.get(statement.end_lineno or 0, "")
        for target in targets:
            if isinstance(target, ast.Name):
                found[target.id] = _parameter(target.id, annotation, statement.value, comment)
    return found


def check_parameters(
    notebook: str | os.PathLike[str], parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """Check names, types and values of parameters before a notebook is run with them.

    Args:
        notebook: the ``.ipynb`` file.
        parameters: values by name; those that are left out keep their defaults.

    Returns:
        The values as the notebook takes them, see :meth:`Parameter.accept`.

    Raises:
        FileNotFoundError: there is no such notebook.
        ParameterError: names notebook and parameter, and what would be right.
    """
    path = Path(notebook)
    if not path.is_file():
        raise FileNotFoundError(f"no notebook {notebook}")
    known: dict[str, Parameter] = {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            known |= declared("".join(cell["source"]))
    for name in parameters:
        if name not in known:
            hint = suggestion(name, known)
            raise ParameterError(f"{path.name} has no parameter {name!r}; {hint}")
    try:
        return {name: known[name].accept(value) for name, value in parameters.items()}
    except ParameterError as error:
        raise ParameterError(f"{path.name}: {error}") from None


def check(variables: MutableMapping[str, Any]) -> dict[str, Any]:
    """Check the parameters that a notebook was given; the notebook's first call.

    What the notebook declares, and what papermill gave it beside, is read from the cells that have
    run. Values that are converted are put back into ``variables``. From here on, Python's warnings
    are shown as one line each.

    Args:
        variables: the notebook's ``globals()``.

    Returns:
        All declared parameters by name, as the notebook takes them.

    Raises:
        ParameterError: names the parameter and what would be right.

    Example:
        >>> cells = ["pairs: int = 12  # to show [at least 1]", "# Parameters\\npairs = 3.0"]
        >>> check({"In": cells, "pairs": 3.0})
        {'pairs': 3}
        >>> check({"In": [cells[0], "# Parameters\\npaires = 3"], "pairs": 12, "paires": 3})
        Traceback (most recent call last):
        pcb.notebooks.parameters.ParameterError: no parameter 'paires'; did you mean 'pairs'?
    """
    one_line_warnings()
    known: dict[str, Parameter] = {}
    injected: list[str] = []
    for source in variables.get("In", ()):
        of_cell = declared(source)
        if not known or known.keys() & of_cell.keys():  # else they are variables of one's own
            known |= of_cell
        if source.startswith(_INJECTED) and not of_cell:
            injected = _assigned(source)  # by the last such cell: an earlier one was corrected
    for name in injected if known else ():
        if name not in known and not name.startswith(_BY_PAPERMILL):
            raise ParameterError(f"no parameter {name!r}; {suggestion(name, known)}")
    checked = {
        name: parameter.accept(variables[name])
        for name, parameter in known.items()
        if name in variables
    }
    variables.update(checked)
    return checked


def _parameter(
    name: str, annotation: ast.expr | None, value: ast.expr | None, comment: str
) -> Parameter:
    try:
        default = None if value is None else ast.literal_eval(value)
    except (ValueError, TypeError):  # computed
        default = None
    base = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    type_name = type(default).__name__ if base is None else ast.unparse(base)
    allowed = _ALLOWED.search(comment.rstrip())
    if allowed and type_name in ("int", "float") and (limits := _RANGE.fullmatch(allowed[1])):
        return Parameter(name, type_name, **_limits(limits))
    if allowed and type_name == "str" and len(words := re.split(r", | or ", allowed[1])) > 1:
        numeric = next(filter(None, map(_RANGE.fullmatch, words)), None)
        choices = ("" if word == "empty" else word for word in words)
        choices = tuple(word for word in choices if not numeric or word != numeric[0])
        limits = _limits(numeric) if numeric else {}
        return Parameter(name, type_name, choices=choices, numeric=bool(numeric), **limits)
    of_texts = type_name == "list" and default and all(isinstance(entry, str) for entry in default)
    return Parameter(name, type_name, entries=str if of_texts else None)


def _limits(found: re.Match[str]) -> dict[str, Any]:
    lower, above, least, most = found.groups()
    if most is None:
        return {"least": float(lower)}
    return {"least": float(least), "most": float(most), "above": bool(above)}


def _assigned(source: str) -> list[str]:
    """Names of the variables that a cell assigns to."""
    return [
        target.id
        for statement in ast.parse(source).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    ]


def _converted(value: Any, kind: type) -> Any:
    """``value`` as a ``kind`` where it can only mean one; else as it is."""
    if isinstance(value, os.PathLike) and kind is str:
        return os.fspath(value)
    if isinstance(value, str) and kind is not str:
        return _from_text(value, kind)
    if type(value) is int and kind is float and abs(value) < sys.float_info.max:
        return float(value)
    if type(value) is float and kind is int and value.is_integer():
        return int(value)
    if isinstance(value, tuple) and kind is list:
        return list(value)
    return value


def _from_text(text: str, kind: type) -> Any:
    if kind in (list, dict) and not text.strip():
        return kind()
    try:
        value = json.loads(text.lower() if kind is bool else text)
    except (ValueError, RecursionError):
        value = text
    if kind is list and not isinstance(value, list) and not text.lstrip().startswith("["):
        return [text]
    # Text inside of text is none of them, nor is a number a dict.
    fits = isinstance(value, (int, float) if kind in (int, float) else kind)
    return _converted(value, kind) if fits and not isinstance(value, str) else text
