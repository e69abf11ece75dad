"""Read JSON files, uncompressed or gzipped.

A file is first read with msgspec, which is several times as fast as the standard library. If
msgspec rejects the file, the standard library reads it again. The standard library also accepts
NaN, infinity and encodings other than UTF-8.
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
        layout: Type to which msgspec decodes the content. If the content does not match this type,
            the function returns dicts, lists, numbers and strings instead. Values of type
            ``msgspec.Raw`` are not decoded; pass these values to ``decode``.

    Raises:
        FileNotFoundError: The file does not exist.
        error_type: The file is not JSON, or is truncated.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"{path} does not exist: check the path, or run `pcb doctor` to see what data is"
            " missing"
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
    """Yield all values in order, and decode those of type ``msgspec.Raw``.

    Args:
        values: Values from the result of ``load_json``.
        path: File from which the values were read; used in error messages.
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
    """Return the decompressed bytes of a file. An uncompressed file is memory-mapped."""
    if path.endswith(".gz"):
        with gzip.open(path) as file:
            return file.read()
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:  # an empty file cannot be mapped
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _not_json(path: str, error: Exception, error_type: type[ValueError]) -> ValueError:
    return error_type(
        f"{path}: not valid JSON ({error}). The file may be truncated: download or write it again"
    )
