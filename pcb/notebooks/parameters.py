"""Check the parameters that a notebook receives.

A notebook calls :func:`check` in the first cell after its parameters. A program that runs a
notebook calls :func:`check_parameters` before it starts the notebook.
:mod:`pcb.notebooks.declarations` describes how notebooks declare parameters.

This module needs only the standard library.
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from pcb.messages.nearest import suggestion
from pcb.messages.warnings import one_line_warnings
from pcb.notebooks.declarations import Parameter, ParameterError, read_declarations

_INJECTED = "# Parameters\n"  # the first line of the cell that papermill adds
_BY_PAPERMILL = "PAPERMILL_"  # parameters that `papermill --inject-paths` adds


def check_parameters(
    notebook: str | os.PathLike[str], parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """Check parameter values for a notebook before the notebook is run.

    Args:
        notebook: The ``.ipynb`` file.
        parameters: Dict from parameter name to value. Other parameters keep their defaults.

    Returns:
        Dict from parameter name to converted value; see
        :meth:`pcb.notebooks.declarations.Parameter.accept`.

    Raises:
        FileNotFoundError: The notebook does not exist.
        ParameterError: The notebook does not accept a parameter's name or value. The message says
            what the notebook accepts.
    """
    path = Path(notebook)
    if not path.is_file():
        raise FileNotFoundError(f"the notebook {notebook} does not exist: correct the path")
    known: dict[str, Parameter] = {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            known |= read_declarations("".join(cell["source"]))
    for name in parameters:
        if name not in known:
            hint = suggestion(name, known)
            raise ParameterError(f"{path.name} has no parameter {name!r}; {hint}")
    try:
        return {name: known[name].accept(value) for name, value in parameters.items()}
    except ParameterError as error:
        raise ParameterError(f"{path.name}: {error}") from None


def check(variables: MutableMapping[str, Any]) -> dict[str, Any]:
    """Check the parameters of the notebook that calls this function.

    Call this function in the first cell after the parameters. It replaces each parameter in
    ``variables`` with the converted value, and makes Python show each warning on one line.

    Args:
        variables: The notebook's ``globals()``.

    Returns:
        Dict from the name of each declared parameter to its converted value.

    Raises:
        ParameterError: The notebook does not accept a parameter's name or value. The message says
            what the notebook accepts.

    Example:
        >>> cells = ["pairs: int = 12  # to show [at least 1]", "# Parameters\\npairs = 3.0"]
        >>> check({"In": cells, "pairs": 3.0})
        {'pairs': 3}
        >>> check({"In": [cells[0], "# Parameters\\npaires = 3"], "pairs": 12, "paires": 3})
        Traceback (most recent call last):
        pcb.notebooks.declarations.ParameterError: unknown parameter 'paires'; did you mean 'pairs'?
    """
    one_line_warnings()
    known: dict[str, Parameter] = {}
    injected: list[str] = []
    for source in variables.get("In", ()):
        of_cell = read_declarations(source)
        if not known or known.keys() & of_cell.keys():  # else the cell assigns other variables
            known |= of_cell
        if source.startswith(_INJECTED) and not of_cell:
            injected = _targets(source)  # the last such cell counts
    for name in injected if known else ():
        if name not in known and not name.startswith(_BY_PAPERMILL):
            raise ParameterError(f"unknown parameter {name!r}; {suggestion(name, known)}")
    checked = {
        name: parameter.accept(variables[name])
        for name, parameter in known.items()
        if name in variables
    }
    variables.update(checked)
    return checked


def _targets(source: str) -> list[str]:
    """Return the names of the variables that a notebook cell assigns."""
    return [
        target.id
        for statement in ast.parse(source).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    ]
