"""The learned matrix after every epoch, in a file per epoch.

The files hold float16, for figures: entries of at least 6e-5 lose at most 5e-4 of their value,
smaller ones at most 3e-8. Entries below 3e-8 become 0, so the soft label of a class with hardly any
confusion may look sharper than it was. An epoch of LVIS v1 with its 1203 classes takes at most
2.9 MB.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcb.runs.arrays import read_arrays, write_arrays

if TYPE_CHECKING:
    import numpy as np


def write_history(folder: Path, epoch: int, matrix: Any) -> None:
    """Write the matrix (C, C) of an epoch, counted from 1."""
    import numpy as np

    file = folder / f"epoch_{epoch:02d}.npz"
    write_arrays(file, {"learned": np.asarray(matrix).astype(np.float16)})


def read_history(folder: Path) -> dict[int, np.ndarray]:
    """Return the matrix (C, C), float32, of every epoch, oldest first."""
    import numpy as np

    files = _files(folder)
    return {epoch: read_arrays(file)["learned"].astype(np.float32) for epoch, file in files}


def drop_history(folder: Path, after: int) -> None:
    """Remove the matrices of the epochs after this one; 0 removes all."""
    for epoch, file in _files(folder):
        if epoch > after:
            file.unlink()


def _files(folder: Path) -> list[tuple[int, Path]]:
    """Epoch and file of every matrix, oldest first."""
    numbered = ((file.stem.removeprefix("epoch_"), file) for file in folder.glob("epoch_*.npz"))
    return sorted((int(number), file) for number, file in numbered if number.isdigit())
