"""Format, print and write the results of the ``pcb`` commands."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pcb.messages.printable import csv_text
from pcb.messages.table import align
from pcb.runs.arrays import read_arrays, write_arrays
from pcb.storage.files import write_atomically

if TYPE_CHECKING:
    import numpy as np


def metrics_table(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """Return a text table of metrics in percent, with one row for boxes and one row for masks.

    Args:
        metrics: ``{"bbox": {metric: value}, "segm": {metric: value}}`` with values as fractions.
            One of the two entries may be missing.
    """
    from pcb.metrics import format_metric

    names = list(next(iter(metrics.values())))
    rows = [["", *names]]
    rows += [[kind, *(format_metric(row[name]) for name in names)] for kind, row in metrics.items()]
    return align(rows)


def confusion_summary(
    matrix: np.ndarray,
    class_names: Sequence[str],
    frequency: Sequence[str] | None = None,
    shown: int = 10,
) -> str:
    """Return the totals and the most frequent mistakes of a confusion matrix as text.

    Args:
        matrix: (C + 1, C + 1) counts. Rows are true classes, and columns are predicted classes. The
            last row counts detections on background, and the last column counts missed objects.
        class_names: (C,) class names in label order.
        frequency: (C,) group of each class: 'r', 'c' or 'f'. None to leave out the totals by group.
        shown: Maximum number of mistakes to show.
    """
    import numpy as np

    from pcb.metrics import detection_totals
    from pcb.metrics.groups import GROUP_NAMES, GROUPS

    mistaken = matrix[:-1, :-1].copy()
    np.fill_diagonal(mistaken, 0)
    totals = detection_totals(matrix)
    lines = [
        f"objects {int(matrix[:-1].sum())}: right class {totals['right class']}, "
        f"other class {totals['other class']}, missed {totals['missed']}; "
        f"detections on background {totals['on background']}"
    ]
    for group in GROUPS if frequency is not None else ():
        labels = np.flatnonzero(np.array(frequency) == group)
        if not len(labels):
            continue
        rows = matrix[labels]
        objects, right = int(rows.sum()), int(rows[range(len(labels)), labels].sum())
        missed = int(rows[:, -1].sum())
        lines.append(
            f"{GROUP_NAMES[group]} classes {len(labels)}: objects {objects}, right class {right},"
            f" other class {objects - right - missed}, missed {missed}"
        )
    order = np.argsort(-mistaken, axis=None, kind="stable")[:shown]
    for true, predicted in zip(*np.unravel_index(order, mistaken.shape), strict=True):
        if count := int(mistaken[true, predicted]):
            lines.append(f"{count:6d}  {class_names[true]} mistaken for {class_names[predicted]}")
    return "\n".join(lines)


def write_matrix(path: Path, matrix: np.ndarray, class_names: Sequence[str]) -> None:
    """Write a confusion matrix as ``.npz`` or ``.csv``, depending on the suffix of the path."""
    file = os.path.realpath(path)  # follows a symbolic link
    if path.suffix == ".npz":
        write_arrays(file, {"detections": matrix, "class_names": list(class_names)})
        return
    rows = zip([*class_names, "background"], matrix.tolist(), strict=True)
    head = ["true class", *class_names, "missed"]
    write_atomically(file, csv_text([head, *([name, *row] for name, row in rows)]))


def is_matrix_file(path: Path) -> bool:
    """Return whether a file contains a matrix in the format that ``pcb confusion`` writes."""
    if path.suffix == ".csv":
        head = path.read_bytes().split(b"\n", 1)[0].strip()
        return head.startswith(b"true class,") and head.endswith(b",missed")
    return set(read_arrays(path)) == {"detections", "class_names"}


@contextmanager
def log_to_stderr() -> Iterator[None]:
    """Print this package's log messages to stderr while the ``with`` block runs.

    Messages below level INFO are not printed.
    """
    logger, handler = logging.getLogger("pcb"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("pcb: %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
