"""Convert YAML text to a msgspec Struct. Error messages name the wrong key and its value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
import yaml

from pcb.messages.nearest import suggestion

T = TypeVar("T", bound=msgspec.Struct)

# Names of msgspec's types in messages: for one value, and for the entries of a list or mapping.
_NAMES = {
    "array": ("a list", "lists"),
    "bool": ("on or off, without quotes", "on or off, without quotes"),
    "int": ("a whole number", "whole numbers"),
    "object": ("a mapping", "mappings"),
    "str": ("text", "texts"),
}
_TYPES = {bool: "bool", int: "int", float: "float", str: "str", list: "array", dict: "object"}
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")
_MISSING = re.compile(r"Object missing required field `(.*)`")
_WRONG = re.compile(
    r"Expected `(?P<type>.*?)`(?:, got `(?P<got>.*?)`)?"
    r"(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?"
)


def decode_yaml(text: str, schema: type[T]) -> T:
    """Convert YAML text to an instance of a msgspec Struct.

    Raises:
        ValueError: The text is not valid YAML, contains a key twice, or does not fit the Struct.
            For an unknown key, the message suggests a similar valid key.

    Example:
        >>> class Pet(msgspec.Struct, forbid_unknown_fields=True):
        ...     name: str
        ...     lives: int = 9
        >>> decode_yaml("name: Tom", Pet)
        Pet(name='Tom', lives=9)
        >>> decode_yaml("{name: Tom, live: 3}", Pet)
        Traceback (most recent call last):
        ValueError: unknown key 'live'; did you mean 'lives'?
        >>> decode_yaml("{name: Tom, lives: many}", Pet)
        Traceback (most recent call last):
        ValueError: lives must be a whole number, got 'many'
    """
    try:
        values = _Loader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"not valid YAML: {place}{error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"not valid YAML: {' '.join(str(error).split())}") from error
    try:
        return msgspec.convert(values, schema)
    except msgspec.ValidationError as error:
        raise ValueError(_explain(str(error), values, schema)) from error.__cause__


class _Loader(yaml.SafeLoader):
    """A YAML loader that rejects repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys: list[Any] = []
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in keys:
                problem = f"the key {key!r} occurs twice: remove one of the two entries"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            keys.append(key)
        return super().construct_mapping(node, deep)


def _explain(error: str, values: Any, schema: type[msgspec.Struct]) -> str:
    """Reword a message from msgspec so that a user can find the mistake in the YAML text."""
    keys = schema.__struct_fields__
    if found := _UNKNOWN.fullmatch(error):
        return f"unknown key {found[1]!r}; {suggestion(found[1], keys)}"
    if found := _MISSING.fullmatch(error):
        return f"the key {found[1]!r} is missing: add it"
    found = _WRONG.fullmatch(error)
    if not found:
        return error  # from the Struct's own checks
    steps = re.findall(r"[^.\[\]]+|\.{3}", found["path"] or "")
    if not isinstance(values, dict):
        return f"the content must be a mapping with the keys {', '.join(keys)}"
    candidates = list(_values_at(values, steps))
    if found["key"]:
        key = next(key for value in candidates for key in value if not isinstance(key, str))
        return f"{': '.join([*steps[:1], repr(key)])} is not text: put it in quotes"
    value = next((one for one in candidates if _type_name(one) == found["got"]), None)
    one, several = _NAMES.get(found["type"], ("", ""))
    if not one:  # the Struct accepts any value that JSON has
        return f"{steps[0]}: {value} is a {found['got']}: put it in quotes"
    return f"{steps[0]} must {'be' if len(steps) == 1 else 'contain'} " + (
        f"{one if len(steps) == 1 else several}, got {value!r}"
    )


def _values_at(value: Any, steps: list[str]) -> Iterator[Any]:
    """Yield the values at a path of keys in nested YAML data.

    The key ``...`` stands for every key of a mapping.
    """
    if not steps:
        yield value
    elif isinstance(value, dict):
        for entry in value.values() if steps[0] == "..." else [value[steps[0]]]:
            yield from _values_at(entry, steps[1:])
    elif isinstance(value, list) and steps[0].isdecimal():
        yield from _values_at(value[int(steps[0])], steps[1:])


def _type_name(value: Any) -> str:
    return "null" if value is None else _TYPES.get(type(value), type(value).__name__)
