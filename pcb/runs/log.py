"""Read the log of a training run. Each line of the log is a JSON object."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_log(file: Path) -> list[dict[str, Any]]:
    """Return the records of a training log, oldest first. Records without an epoch are left out.

    :meth:`pcb.runs.RunFolder.read_log` describes the records.

    Raises:
        ValueError: A line other than the last is not JSON.
    """
    lines = file.read_text(encoding="utf-8").splitlines()
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):  # this line is still being written
                break
            raise ValueError(
                f"line {number} of {file} is not JSON ({error}): delete this line"
            ) from error
        if "epoch" not in record:  # the first line of logs that mmcv itself writes
            continue
        while records and _position(records[-1]) >= _position(record):
            records.pop()  # resumed training repeated this iteration
        records.append(record)
    return records


def _position(record: Mapping[str, Any]) -> tuple[int, float]:
    """Return a key that sorts the records of a training log by time.

    A validation record comes after all training records of its epoch.
    """
    return record["epoch"], record["iter"] if record.get("mode") == "train" else math.inf
