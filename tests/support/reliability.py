"""Crash a small training everywhere, resume it, and write what came of it: ``make reliability``."""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import torch

from pcb.datasets.openmoji import make_openmoji
from pcb.runs import RunFolder
from pcb.storage.files import write_atomically
from tests.support.crashes import (
    changes_of_training,
    crash,
    differences,
    in_child,
    resume,
    train_tiny,
)
from tests.support.tiny import tiny_options

KILLS = 10
WITHIN = "within a write"

HEADING = "## Killed at every write\n"  # begins the last section of the page, which is replaced

SECTION = """
Result of `make reliability` on {day} (PyTorch {torch}, CPU, one thread): **{alike} of {count}
trainings that were killed and resumed ended like the undisturbed one**, to the last bit of
weights, buffers, optimizer state, learned matrices and log, and with the same files in the run
folder.

The training is `tests/configs/tiny_pcb.py` on OpenMoji-LT *tiny*: two epochs of three iterations,
a checkpoint after the second and the third of each, PCB acting in the second epoch. Undisturbed,
it changes its run folder {changes} times: {opens} times it opens a file for writing; the other
changes make folders, rename and remove. Every training below began in an empty folder, was killed
once and resumed once.

| Killed | Trainings | Ended alike |
|---|---|---|
{rows}

"Before a change" covers the moment after the previous change, too, and the end of the training
after the last one. "Within a write" means that half of the file's bytes, or part of a line of the
log, are on disk. The random moments are spread over the duration of the undisturbed training. All
of it took {minutes:.0f} minutes.
"""


def main() -> int:
    """Go through all cases and write the section of the page."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.reliability", description=__doc__
    )
    parser.add_argument("--out", type=Path, default=Path("docs/interruption.md"))
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the random kills")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="pcb-reliability-") as folder:
        section, all_alike = examine(Path(folder), random.Random(options.seed))
    before, heading, _ = options.out.read_text().partition(HEADING)
    write_atomically(options.out, before + heading + section)
    print(f"Written: {options.out}")
    return 0 if all_alike else 1


def examine(root: Path, moments: random.Random) -> tuple[str, bool]:
    """Everything in a folder; the section, and whether all was as it should be."""
    begun = time.monotonic()
    data = tiny_options(make_openmoji(root / "tiny", size="tiny", progress=False))
    whole = root / "whole"
    changes = changes_of_training(whole, data)
    sizes = {file.name: file.stat().st_size for file in whole.rglob("*") if file.is_file()}
    outcomes: dict[str, list[bool]] = {}

    cases = [("before a change", {"before": number}) for number in range(len(changes))]
    writes = [number for number, change in enumerate(changes) if change.event == "open"]
    cases += [(WITHIN, {"within": number, "sizes": sizes}) for number in writes]
    for kind, where in cases:
        change = changes[where.get("before", where.get("within"))]
        folder = root / "crashed"
        crash(folder, data, **where)
        note(outcomes, kind, f"{change.event} of {change.file}", folder, data, whole)

    for workers in (0, 2):
        options = {**data, "data.workers_per_gpu": workers}
        undisturbed = root / f"whole{workers}"
        start = time.monotonic()
        if in_child(train_tiny, undisturbed, options) != 0:
            raise RuntimeError("the undisturbed training failed")
        seconds = time.monotonic() - start
        kind = f"at random within {seconds:.0f} s, {workers or 'no'} data-loading workers"
        for _ in range(KILLS):
            moment = moments.uniform(0, seconds)
            folder = root / "killed"
            in_child(train_tiny, folder, options, kill_after=moment)
            note(outcomes, kind, f"after {moment:.2f} s", folder, options, undisturbed)

    alike = [outcome for case in outcomes.values() for outcome in case]
    rows = [f"| {kind} | {len(case)} | {sum(case)} |" for kind, case in outcomes.items()]
    section = SECTION.format(
        day=date.today(),
        torch=torch.__version__.partition("+")[0],
        alike=sum(alike),
        count=len(alike),
        changes=len(changes),
        opens=len(writes),
        rows="\n".join(rows),
        minutes=(time.monotonic() - begun) / 60,
    )
    return section, all(alike)


def note(
    outcomes: dict[str, list[bool]],
    kind: str,
    moment: str,
    folder: Path,
    options: Mapping[str, Any],
    undisturbed: Path,
) -> None:
    """Resume what was killed and compare it; then remove it."""
    resume(folder, options)
    found = differences(RunFolder(folder), RunFolder(undisturbed))
    outcomes.setdefault(kind, []).append(not found)
    print(f"{kind}: {moment}: {', '.join(found) or 'as undisturbed'}", flush=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
