"""Store the learned confusion matrix of PCB in one file for each epoch.

The matrices are stored as float16, which is precise enough for figures. Entries of at least 6e-5
have a relative error of at most 5e-4. Smaller entries have an absolute error of at most 3e-8. With
the 1203 classes of LVIS v1, each file takes at most 2.9 MB.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcb.runs.arrays import read_arrays, write_arrays

if TYPE_CHECKING:
    import numpy as np


def write_history(folder: Path, epoch: int, matrix: Any) -> None:
    """Write the (C, C) confusion matrix of an epoch to a file. Epochs are counted from 1."""
    import numpy as np

    file = folder / f"epoch_{epoch:02d}.npz"
    write_arrays(file, {"learned": np.asarray(matrix).astype(np.float16)})


def read_history(folder: Path) -> dict[int, np.ndarray]:
    """Return a dict that maps each epoch, in ascending order, to its (C, C) float32 matrix."""
    import numpy as np

    files = _files(folder)
    return {epoch: read_arrays(file)["learned"].astype(np.float32) for epoch, file in files}


def drop_history(folder: Path, after: int) -> None:
    """Remove the stored matrices of all epochs later than ``after``."""
    for epoch, file in _files(folder):
        if epoch > after:
            file.unlink()


def _files(folder: Path) -> list[tuple[int, Path]]:
    """Return the epoch and the file of each stored matrix, in ascending order of epochs."""
    numbered = ((file.stem.removeprefix("epoch_"), file) for file in folder.glob("epoch_*.npz"))
    return sorted((int(number), file) for number, file in numbered if number.isdigit())
