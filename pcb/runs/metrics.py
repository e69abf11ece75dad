"""Read and write the metrics of a run as JSON; an undefined metric is null in the file."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

from pcb.storage.files import read_json, write_json


def read_metrics(path: str | os.PathLike[str]) -> dict[str, dict[str, float]]:
    """Return the metrics in a JSON file; undefined metrics (null in the file) are NaN."""
    return {
        iou_type: {name: math.nan if v is None else v for name, v in values.items()}
        for iou_type, values in read_json(path).items()
    }


def write_metrics(path: str | os.PathLike[str], metrics: Mapping[str, Mapping[str, float]]) -> None:
    """Write metrics such as ``{"bbox": {"AP": 0.25}}`` as JSON; NaN becomes null.

    Raises:
        ValueError: A metric is infinite. In this case, an existing file is not changed.
    """
    rows = {
        iou_type: {name: None if math.isnan(value) else float(value) for name, value in row.items()}
        for iou_type, row in metrics.items()
    }
    write_json(path, rows)


def is_metrics_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a file contains metrics in the format of :func:`write_metrics`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> file = Path(tempfile.mkdtemp(), "metrics.json")
        >>> write_metrics(file, {"segm": {"AP": 0.25}})
        >>> is_metrics_file(file)
        True
    """
    try:
        metrics = read_json(path)
    except ValueError:
        return False
    return (
        isinstance(metrics, dict)
        and bool(metrics)
        and set(metrics) <= {"bbox", "segm"}
        and all(isinstance(values, dict) and "AP" in values for values in metrics.values())
        and all(
            value is None or isinstance(value, int | float)
            for values in metrics.values()
            for value in values.values()
        )
    )
