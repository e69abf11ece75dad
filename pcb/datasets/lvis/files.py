"""JSON files, plain or gzipped."""

import gzip
import json
import os
import zlib


def load_json(path: str, error_type: type[ValueError]) -> object:
    """Content of a `.json` or `.json.gz` file.

    Raises:
        FileNotFoundError: There is no such file.
        error_type: The file is not JSON, or ends too early.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: no such file; check the path")
    open_file = gzip.open if path.endswith(".gz") else open
    try:
        with open_file(path, "rb") as file:
            return json.load(file)
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise error_type(
            f"{path}: not valid JSON ({error}); it may be truncated, so download or write it again"
        ) from error
