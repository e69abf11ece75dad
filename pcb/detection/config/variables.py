"""Find the variables that config files read, and the variables that are changed too late.

A change is too late if an earlier config file has already used the old value. The change then has
no effect on the settings in the earlier file.
"""

import ast
import re
from collections.abc import Iterator
from contextlib import suppress


def names_read(text: str) -> set[str]:
    """Return the names of all variables and built-in functions that config files use.

    Args:
        text: The ``text`` attribute of mmcv's ``Config``. It contains the path of each config file
            on a line by itself, followed by the content of that file.

    Example:
        >>> sorted(names_read("rate = 0.1\\noptimizer = dict(lr=rate, momentum={{_base_.m}})"))
        ['dict', 'm', 'rate']
    """
    return {name for _, tree in _files(text) for name in _read_in(tree)}


def set_too_late(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield each variable that a config file changes after a base file has used the old value.

    The change does not affect the settings in the base file, because mmcv executes base files
    first. A variable is left out if it is read in the file that changes it or in a later file.

    Args:
        text: The text of all config files; see :func:`names_read`.

    Yields:
        The variable, the file that changes the variable, and the base file that used the old value.

    Example:
        >>> text = "/a.py\\nn = 1\\nrunner = dict(max_epochs=n)\\n/b.py\\nn = 2\\n"
        >>> list(set_too_late(text))
        [('n', '/b.py', '/a.py')]
    """
    files = list(_files(text))
    for number, (file, tree) in enumerate(files):
        for name, value in _assigned_in(tree).items():
            if any(name in _read_in(later) for _, later in files[number:]):
                continue
            for base, earlier in files[:number]:
                old = _assigned_in(earlier).get(name)
                if old not in (None, value) and name in _read_in(earlier):
                    yield name, file, base
                    break


def _files(text: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield the path and the syntax tree of each config file, base files first.

    Args:
        text: The text of all config files; see :func:`names_read`.
    """
    parts = ["", *re.split(r"^(/.*)$", text, flags=re.MULTILINE)]
    for path, source in zip(parts[::2], parts[1::2], strict=True):
        with suppress(SyntaxError, ValueError):  # YAML and JSON files have no variables
            yield path, ast.parse(source)


def _read_in(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    changed = set()  # `x["key"] = 1` and `x.key = 1` read `x` only to change it
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            changed.add(id(node.value))
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            if id(node) not in changed:  # ast.walk visits a parent before its children
                found.add(node.id)
        elif isinstance(node, ast.Attribute):  # {{_base_.name}}
            inner = node
            while isinstance(inner.value, ast.Attribute):
                inner = inner.value
            if isinstance(inner.value, ast.Name) and inner.value.id == "_base_":
                found.add(inner.attr)
    return found - {"_base_"}


def _assigned_in(tree: ast.Module) -> dict[str, str]:
    """Return the ``ast.dump`` of the last value of each top-level variable, as a dict."""
    return {
        target.id: ast.dump(statement.value)
        for statement in tree.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
