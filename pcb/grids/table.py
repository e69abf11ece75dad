"""Build a table that compares the metrics of training runs, and a legend for the table."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pcb.messages.table import align
from pcb.metrics import format_difference, format_estimate, format_interval, format_metric
from pcb.runs.comparison import ConfigRuns
from pcb.runs.published import published_results

# Mask AP and its groups, then box AP: (heading, IoU type, metric).
COLUMNS = (
    ("AP", "segm", "AP"),
    ("APr", "segm", "APr"),
    ("APc", "segm", "APc"),
    ("APf", "segm", "APf"),
    ("AP50", "segm", "AP50"),
    ("APb", "bbox", "AP"),
)
HEADINGS = [heading for heading, _, _ in COLUMNS]
LEGEND = (
    "Mask AP in percent over all classes (AP) and over the rare (APr), common (APc) and frequent "
    "(APf) classes; AP50: mask AP at IoU 0.5; APb: box AP. n/a: undefined."
)
BOXES = ", boxes"  # marks a detector that predicts no masks
_OF_BOXES = "Rows with the word boxes show box AP in every column."
ONE_SEED = (
    "A difference between two runs is partly due to chance, because results depend on the seed."
)
OVER_SEEDS = (
    "For several seeds, the table shows mean ± standard deviation. Differences are computed for "
    "each seed. Their 95% confidence interval (Student's t) covers the randomness of training, but "
    "not the choice of images or of the dataset."
)


class Row(NamedTuple):
    """A row of the metric table.

    Attributes:
        label: Name of a run or config, or an indented label such as ``  published``. An indented
            row belongs to the last unindented row above it.
        cells: The values as text, one for each metric.
        is_difference: Whether the values are differences, or confidence intervals of differences.
        of_seed: Whether the row is one of the per-seed rows at the end of the table.
    """

    label: str
    cells: list[str]
    is_difference: bool = False
    of_seed: bool = False


def metric_rows(configs: Iterable[ConfigRuns], root: str | os.PathLike[str]) -> list[Row]:
    """Return the rows of the metric table.

    Each config has up to four rows:

    - the metrics, averaged over seeds;
    - published results;
    - the difference from the baseline, averaged over the seeds that both configs have in common;
    - the 95% confidence interval of the difference, if there are several common seeds.

    If any config has several seeds, the table ends with rows for each seed.

    Args:
        configs: The result of :func:`pcb.runs.comparison.group_runs`. Every run must have metrics.
        root: The folder that contains all runs.
    """
    configs = list(configs)
    rows = [row for config in configs for row in _config_rows(config, root)]
    if any(len(config.runs) > 1 for config in configs):
        seeds = [config.only(seed) for config in configs for seed in config.runs]
        rows += [
            row._replace(of_seed=True)
            for one in seeds
            for row in _config_rows(one, root, published=False)
        ]
    return rows


def text_table(rows: Iterable[Row]) -> str:
    """Return the metric table as text, without the rows for single seeds."""
    shown = [[row.label, *row.cells] for row in rows if not row.of_seed]
    return align([["", *HEADINGS], *shown])


def legend(rows: Iterable[Row]) -> str:
    """Return a legend that explains the columns, differences and intervals of the metric table."""
    rows = list(rows)
    texts = [LEGEND, _OF_BOXES] if any(row.label.endswith(BOXES) for row in rows) else [LEGEND]
    texts.append(OVER_SEEDS if any(row.of_seed for row in rows) else ONE_SEED)
    return " ".join(texts)


def _config_rows(
    config: ConfigRuns, root: str | os.PathLike[str], published: bool = True
) -> list[Row]:
    first, *others = config.runs.values()
    count = 1 + len(others)
    measured = _measured(config)
    values = [config.estimate(iou_type, name) for iou_type, name in measured]
    of_boxes = BOXES if measured[0][0] == "bbox" else ""
    if others:
        name = first.path.parent.relative_to(root).as_posix()
        rows = [
            Row(f"{name}, {count} seeds{of_boxes}", [format_estimate(v, count) for v in values])
        ]
    else:
        name = first.path.relative_to(root).as_posix()
        rows = [Row(f"{name}{of_boxes}", [format_metric(value.mean) for value in values])]
    if published and (row := published_results(first.path)):
        rows.append(Row("  published", [format_metric(value) for value in _cells(row)]))
    if not config.pairs or not config.baseline:
        return rows
    differences = [config.difference(iou_type, name) for iou_type, name in measured]
    several = count > 1 or len(config.baseline.runs) > 1
    pairs = len(config.pairs)
    over = f" over {pairs} seed{'s' if pairs > 1 else ''}" if several else ""
    cells = [format_difference(d, pairs) for d in differences]
    rows.append(Row(f"  difference{over}", cells, True))
    if pairs > 1:
        rows.append(Row("  95% interval", [format_interval(d) for d in differences], True))
    return rows


def _measured(config: ConfigRuns) -> list[tuple[str, str]]:
    """Return the IoU type and the metric of each column; without masks, every type is boxes."""
    has_masks = config.estimate("segm", "AP").n or not config.estimate("bbox", "AP").n
    return [(iou_type if has_masks else "bbox", name) for _, iou_type, name in COLUMNS]


def _cells(metrics: Mapping[str, Mapping[str, float]]) -> list[float]:
    return [metrics.get(iou_type, {}).get(name, math.nan) for _, iou_type, name in COLUMNS]
