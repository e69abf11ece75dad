"""What the commands print and write."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pcb.messages.printable import csv_text
from pcb.storage.files import write_atomically

if TYPE_CHECKING:
    import numpy as np


def metrics_table(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """Return the metrics as an aligned table, a line per IoU type."""
    from pcb.metrics import format_metric

    names = list(next(iter(metrics.values())))
    rows = [["", *names]]
    rows += [[kind, *(format_metric(row[name]) for name in names)] for kind, row in metrics.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def confusion_summary(matrix: np.ndarray, class_names: Sequence[str], shown: int = 10) -> str:
    """Say how many objects were found, and which classes were most often taken for another."""
    import numpy as np

    from pcb.metrics import detection_totals

    mistaken = matrix[:-1, :-1].copy()
    np.fill_diagonal(mistaken, 0)
    totals = detection_totals(matrix)
    lines = [
        f"objects {int(matrix[:-1].sum())}: right class {totals['right class']}, "
        f"other class {totals['other class']}, missed {totals['missed']}; "
        f"detections on background {totals['on background']}"
    ]
    order = np.argsort(-mistaken, axis=None, kind="stable")[:shown]
    for true, predicted in zip(*np.unravel_index(order, mistaken.shape), strict=True):
        if count := int(mistaken[true, predicted]):
            lines.append(f"{count:6d}  {class_names[true]} mistaken for {class_names[predicted]}")
    return "\n".join(lines)


def write_matrix(path: Path, matrix: np.ndarray, class_names: Sequence[str]) -> None:
    """Write a matrix of detections as ``.npz`` or as a table, by the name of the file."""
    import numpy as np

    file = os.path.realpath(path)  # a link stays one
    if path.suffix == ".npz":
        buffer = io.BytesIO()
        np.savez_compressed(buffer, detections=matrix, class_names=np.array(class_names))
        write_atomically(file, buffer.getvalue())
        return
    rows = zip([*class_names, "background"], matrix.tolist(), strict=True)
    head = ["true class", *class_names, "missed"]
    write_atomically(file, csv_text([head, *([name, *row] for name, row in rows)]))
