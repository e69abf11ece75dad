"""Read and write arrays in ``.npz`` files; importing this module does not import NumPy."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pcb.storage.files import write_atomically

if TYPE_CHECKING:
    import numpy as np


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return the arrays in an ``.npz`` file, as a dict from name to array.

    Raises:
        ValueError: The file is not an ``.npz`` file, or contains pickled Python objects. The
            message names the file.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (AttributeError, EOFError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is not an .npz file of arrays ({error}): restore a backup of the file, or "
            "delete the file and create it again"
        ) from error


def write_arrays(path: str | os.PathLike[str], arrays: Mapping[str, Any]) -> None:
    """Write arrays to a compressed ``.npz`` file.

    If an error occurs, an existing file is not changed.

    Raises:
        ValueError: An array contains Python objects.
        NoSpaceError: There is no space for the file.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> file = Path(tempfile.mkdtemp(), "arrays.npz")
        >>> write_arrays(file, {"epoch": 4, "count": [1, 2]})
        >>> read_arrays(file)
        {'epoch': array(4), 'count': array([1, 2])}
    """
    import numpy as np

    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    write_atomically(path, content.getvalue())
