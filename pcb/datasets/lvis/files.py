"""JSON files, plain or gzipped.

msgspec reads JSON several times as fast as the standard library, which gets what msgspec refuses:
numbers that are not finite (Python writes them, though JSON has none), other encodings than UTF-8,
and what is no JSON at all, for a message that says where it goes wrong.
"""

import gzip
import json
import mmap
import os
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

_DECODE = msgspec.json.Decoder().decode


def load_json(path: str, error_type: type[ValueError], layout: Any = Any) -> Any:
    """Content of a `.json` or `.json.gz` file.

    Args:
        path: The file.
        error_type: What to raise if it is not JSON.
        layout: A type that msgspec decodes the content to if it fits; else it is plain Python.
            `msgspec.Raw` in it stands for a value that `decoded` reads later.

    Raises:
        FileNotFoundError: There is no such file.
        error_type: The file is not JSON, or ends too early.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"{path}: no such file; check the path, or ask `pcb doctor` what data is missing"
        )
    try:
        content = _content(path)
        try:
            return msgspec.json.decode(content, type=layout)
        except ValueError:  # msgspec's own errors, and wrong UTF-8
            return json.loads(bytes(content))
    except (ValueError, RecursionError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _not_json(path, error, error_type) from error


def decoded(values: Iterable, path: str, error_type: type[ValueError]) -> Iterator[Any]:
    """The values as plain Python: those that `load_json` left undecoded are decoded one by one."""
    for value in values:
        if isinstance(value, msgspec.Raw):
            try:
                value = _decode(value)
            except (ValueError, RecursionError) as error:
                raise _not_json(path, error, error_type) from error
        yield value


def _decode(value: msgspec.Raw) -> Any:
    try:
        return _DECODE(value)
    except ValueError:
        return json.loads(bytes(value))


def _content(path: str) -> bytes | mmap.mmap:
    """The bytes of a file; a plain one is mapped, so that processes share it and pages can go."""
    if path.endswith(".gz"):
        with gzip.open(path) as file:
            return file.read()
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:  # cannot be mapped
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _not_json(path: str, error: Exception, error_type: type[ValueError]) -> ValueError:
    return error_type(
        f"{path}: not valid JSON ({error}); it may be truncated, so download or write it again"
    )
