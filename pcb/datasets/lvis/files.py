"""JSON files, plain or gzipped.

msgspec reads JSON several times as fast as the standard library. The standard library reads what
msgspec rejects: numbers that are not finite (Python writes them, although JSON has none) and
encodings other than UTF-8. For text that is not JSON, it reports where the text goes wrong.
"""

import gzip
import json
import mmap
import os
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

_decode_json = msgspec.json.Decoder().decode


def load_json(path: str, error_type: type[ValueError], layout: Any = Any) -> Any:
    """Return the content of a ``.json`` or ``.json.gz`` file.

    Args:
        path: The file.
        error_type: Error to raise if the file is not JSON.
        layout: A type that msgspec decodes the content to. Content that does not fit is returned as
            plain Python. ``msgspec.Raw`` in the type marks a value that ``decode`` reads later.

    Raises:
        FileNotFoundError: The file does not exist.
        error_type: The file is not JSON, or ends too early.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"{path}: no such file; check the path, or run `pcb doctor` to see what data is missing"
        )
    try:
        content = _content(path)
        try:
            return msgspec.json.decode(content, type=layout)
        except ValueError:  # an error of msgspec, or invalid UTF-8
            return json.loads(bytes(content))
    except (ValueError, RecursionError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _not_json(path, error, error_type) from error


def decode(values: Iterable, path: str, error_type: type[ValueError]) -> Iterator[Any]:
    """Yield values as plain Python; decode those that ``load_json`` left as ``msgspec.Raw``.

    Args:
        values: The values.
        path: The file, for messages.
        error_type: Error to raise if a value is not JSON.
    """
    for value in values:
        if isinstance(value, msgspec.Raw):
            try:
                value = _decode(value)
            except (ValueError, RecursionError) as error:
                raise _not_json(path, error, error_type) from error
        yield value


def _decode(value: msgspec.Raw) -> Any:
    try:
        return _decode_json(value)
    except ValueError:
        return json.loads(bytes(value))


def _content(path: str) -> bytes | mmap.mmap:
    """Return the bytes of a file; a plain file is mapped, so that processes share its pages."""
    if path.endswith(".gz"):
        with gzip.open(path) as file:
            return file.read()
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:  # an empty file cannot be mapped
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _not_json(path: str, error: Exception, error_type: type[ValueError]) -> ValueError:
    return error_type(
        f"{path}: not valid JSON ({error}); it may be truncated, so download or write it again"
    )
