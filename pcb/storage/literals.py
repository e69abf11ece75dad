"""Convert Python values to literals, and read literals without executing code."""

import ast
import math
import os
import pprint
import sys
from collections.abc import Mapping
from typing import Any

_MOST_ENTRIES = 1_000_000  # a longer range is not converted to a list


def to_literal(
    value: Any, key: str = "", faults: list[str] | None = None, allow_nan: bool = False
) -> Any:
    """Convert a value to types that can be written as Python literals.

    Paths become text; NumPy's numbers and arrays become Python's numbers and lists.

    Args:
        value: Any value; dictionaries, lists, tuples and sets may be nested.
        key: Dotted key of the value, used in messages.
        faults: List to which a message is added for each value that cannot be written as a literal.
            If ``faults`` is None, such a value raises an error.
        allow_nan: Whether to keep NaN unchanged instead of reporting it.

    Raises:
        ValueError: A value cannot be written as a literal, and ``faults`` is None.

    Example:
        >>> import numpy as np
        >>> to_literal({"lr": np.float64(0.5), "mean": np.ones(2), "step": range(2)})
        {'lr': 0.5, 'mean': [1.0, 1.0], 'step': [0, 1]}
        >>> to_literal({"optimizer": {"lr": math.nan}})
        Traceback (most recent call last):
        ValueError: optimizer.lr is not a number (nan)
    """
    found: list[str] = []
    converted = _convert(value, key, found, allow_nan)
    if faults is not None:
        faults += found
    elif found:
        raise ValueError("; ".join(found))
    return converted


def format_literal(value: Any) -> str:
    """Return the Python source code of a value that :func:`to_literal` has converted.

    Infinity is written as ``float('inf')``. :func:`read_literal` accepts this expression.

    Example:
        >>> format_literal({"max": math.inf, "min": [-math.inf]})
        "{'max': float('inf'), 'min': [float('-inf')]}"
    """
    return pprint.pformat(_infinity_as_call(value), sort_dicts=False)


def read_literal(node: ast.expr) -> Any:
    """Return the value of a parsed literal without executing code.

    The expressions ``float('inf')`` and ``float('-inf')`` count as literals.

    Raises:
        ValueError: The expression is not a literal.

    Example:
        >>> read_literal(ast.parse("[1, float('inf')]", mode="eval").body)
        [1, inf]
    """
    return ast.literal_eval(_CallsOfFloat().visit(node))


class _Infinity(float):
    """An infinite float with the ``repr`` ``float('inf')`` or ``float('-inf')``."""

    def __repr__(self) -> str:
        return f"float('{float(self)}')"


class _CallsOfFloat(ast.NodeTransformer):
    """Syntax-tree transformer that turns ``float('inf')`` and ``float('-inf')`` into constants."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        match node:
            case ast.Call(
                func=ast.Name(id="float"),
                args=[ast.Constant(value="inf" | "-inf" as text)],
                keywords=[],
            ):
                return ast.Constant(float(text))
        return node


def _convert(value: Any, key: str, faults: list[str], allow_nan: bool) -> Any:
    value = _without_numpy(value)
    if isinstance(value, range) and len(value) <= _MOST_ENTRIES:
        value = list(value)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        converted = {}
        for name, inner in value.items():
            dotted = f"{key}.{name}" if key else str(name)
            name = _convert(name, dotted, faults, allow_nan)
            converted[name] = _convert(inner, dotted, faults, allow_nan)
        return converted
    for kind in (list, tuple, set):
        if isinstance(value, kind):
            return kind(_convert(v, f"{key}.{i}", faults, allow_nan) for i, v in enumerate(value))
    if isinstance(value, str):
        return str.__str__(value)  # the text of a member of an enumeration
    if isinstance(value, int | bytes):
        return int(value) if isinstance(value, int) else bytes(value)
    if isinstance(value, float | complex):
        number = float(value) if isinstance(value, float) else complex(value)
        if number != number and not allow_nan:
            faults.append(f"{key} is not a number (nan)")
        if isinstance(number, float) or (math.isfinite(number.real) and math.isfinite(number.imag)):
            return number
    faults.append(
        f"{key} is {_describe(value)}, which cannot be saved: use a number, text, a list or a "
        "dictionary"
    )
    return None


def _without_numpy(value: Any) -> Any:
    """Convert NumPy numbers, strings and arrays to Python values; return other values unchanged."""
    numpy = sys.modules.get("numpy")  # if NumPy is not loaded, the value is not from NumPy
    if numpy and isinstance(value, numpy.ndarray | numpy.generic) and value.dtype.kind in "biufcSU":
        plain = value.tolist()
        # Python has no type for a long double, which stays a NumPy value.
        return value if isinstance(plain, numpy.generic) else plain
    return value


def _describe(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = getattr(value, "__name__", None)
    if callable(value) and name:
        return "a lambda" if name == "<lambda>" else f"the function {name}"
    return f"of type {type(value).__module__}.{type(value).__name__}"


def _infinity_as_call(value: Any) -> Any:
    if isinstance(value, float) and math.isinf(value):
        return _Infinity(value)
    if isinstance(value, Mapping):
        return {_infinity_as_call(k): _infinity_as_call(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set):
        return type(value)(map(_infinity_as_call, value))
    return value
