"""Convert docstrings from reStructuredText markup to Markdown, with links and equations."""

import re
from collections.abc import Callable
from textwrap import dedent, indent

import griffe

_ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod|obj):`~?([^`]+)`")
_EQUATION = re.compile(r"^( *)\.\. math::[ ]*\n((?:\1[ ]+.*\n?|[ ]*\n)+)", re.MULTILINE)
_LITERAL = re.compile(r"^( *)(.*):(:\n\n)((?:\1    .*(?:\n|\Z)|[ ]*\n)+)", re.MULTILINE)
# Doctests outside a section; blocks separated by a blank line belong together.
_DOCTEST = re.compile(r"^>>> .*(?:\n.+)*(?:\n\n>>> .*(?:\n.+)*)*", re.MULTILINE)
_CODE = re.compile(r"(^ *```.*?^ *```$|``.+?``|`[^`]+`)", re.DOTALL | re.MULTILINE)


class Docstrings(griffe.Extension):
    """A griffe extension that converts every docstring of a package to Markdown."""

    def on_package(self, *, pkg: griffe.Module, **_: object) -> None:
        """Convert the docstrings of a package to Markdown."""
        for found in _objects(pkg):
            if found.docstring is not None:
                text = found.docstring.value
                found.docstring.value = as_markdown(text, lambda name, at=found: _path(at, name))


def as_markdown(text: str, path: Callable[[str], str | None]) -> str:
    r"""Convert a docstring from reStructuredText markup to Markdown.

    Args:
        text: The docstring.
        path: Function that maps a name to its dotted path in the API reference, or to None if the
            API reference does not contain the name.

    Returns:
        The docstring as Markdown.

    >>> as_markdown("See :func:`save` of <name>.", {"save": "pcb.plots.save"}.get)
    'See [`save`][pcb.plots.save] of &lt;name>.'
    >>> print(as_markdown(".. math::\n    a = b\n\nText.", {}.get))
    $$
    a = b
    $$
    <BLANKLINE>
    Text.
    """

    def link(role: re.Match) -> str:
        target = path(role[1])
        shown = role[1].rpartition(".")[2] if role[1].startswith("pcb.") else role[1]
        return f"[`{shown}`][{target}]" if target else f"`{role[1]}`"

    def equation(found: re.Match) -> str:
        lines = [line.strip() for line in found[2].strip().splitlines()]
        return "\n".join(found[1] + line for line in ["$$", *lines, "$$", "", ""])

    def literal(found: re.Match) -> str:
        lines = ["```text", *dedent(found[4]).strip().splitlines(), "```"]
        return f"{found[1]}{found[2]}:\n\n" + indent("\n".join(lines), found[1]) + "\n\n"

    text = _EQUATION.sub(equation, _LITERAL.sub(literal, text))
    text = _ROLE.sub(link, text)
    text = _DOCTEST.sub(lambda found: "Examples:\n" + indent(found[0], "    "), text)
    text = re.sub(r"^( *)Example:$", r"\1Examples:", text, flags=re.MULTILINE)
    prose, heading, examples = re.split(r"(^ *Examples:$|\Z)", text, maxsplit=1, flags=re.MULTILINE)
    parts = _CODE.split(prose)  # every second part is code
    parts[::2] = [re.sub(r"<(?=\w)", "&lt;", part) for part in parts[::2]]
    return "".join([*parts, heading, examples])


def _objects(module: griffe.Object) -> list[griffe.Object]:
    """Return an object and all objects that are defined in it."""
    own = [member for member in module.members.values() if not member.is_alias]
    return [module, *(found for member in own for found in _objects(member))]


def _path(at: griffe.Object, name: str) -> str | None:
    """Return the dotted path of the object ``name``; None if it is not in the API reference."""
    name = name.removesuffix("()")
    try:
        if name.startswith("pcb."):
            target = at.package[name.removeprefix("pcb.")]
        else:
            first, _, rest = name.partition(".")
            target = at.modules_collection[at.resolve(first)]
            target = target[rest] if rest else target
        target = target.final_target if target.is_alias else target
    except (KeyError, griffe.GriffeError):
        return None
    private = any(part.startswith("_") for part in target.path.split("."))
    return None if private or target.docstring is None else target.path
