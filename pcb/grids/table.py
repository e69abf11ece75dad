"""The table of metrics over a grid of runs, as text and HTML; means of several seeds."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from html import escape
from typing import NamedTuple

from pcb.metrics import format_difference, format_estimate, format_interval, format_metric
from pcb.runs.comparison import ConfigRuns, group_runs
from pcb.runs.find import collect
from pcb.runs.folder import RunFolder
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
LEGEND = (
    "Mask AP in percent, over all classes and over the rare (APr), common (APc) and frequent (APf) "
    "ones; AP50 at IoU 0.5; APb of boxes. n/a: undefined."
)
ONE_SEED = "A difference between two runs contains the chance of their seed."
OVER_SEEDS = (
    "Of several seeds: mean ± standard deviation. A difference is taken seed by seed; its interval "
    "(95%, Student's t) holds the chance of training alone, not that of the images or the dataset."
)


class Row(NamedTuple):
    """A row of the metric table: its label and the cells of ``COLUMNS``.

    Attributes:
        label: the run, or what stands below one.
        cells: as they are printed.
        is_difference: whether it is a difference, not a metric.
        of_seed: whether it is one seed of several, of which another row has the mean.
    """

    label: str
    cells: list[str]
    is_difference: bool = False
    of_seed: bool = False


def metric_rows(runs: Iterable[RunFolder], root: str | os.PathLike[str]) -> list[Row]:
    """Return the rows of the metric table.

    A config has a row with the mean over its seeds, or with its only run. Below it stand the
    published results, if there are any, and for a config with PCB the paired difference from the
    plain one, over the seeds that both have. A run without ``metrics.json`` is left out. After all
    that comes every seed by itself, if a config has several.
    """
    evaluated = [run for run in runs if run.metrics_file.is_file()]
    configs = group_runs(evaluated, or_first=False)
    rows = [row for config in configs for row in _config_rows(config, root)]
    if any(len(config.runs) > 1 for config in configs):
        seeds = [config.only(seed) for config in configs for seed in config.runs]
        rows += [
            row._replace(of_seed=True)
            for one in seeds
            for row in _config_rows(one, root, published=False)
        ]
    return rows


def text_table(root: str | os.PathLike[str]) -> str:
    """Return the metric table of every run below ``root`` as text; of several seeds the mean.

    Raises:
        FileNotFoundError: ``root`` is not a folder.
    """
    rows = [row for row in metric_rows(collect(root), root) if not row.of_seed]
    lines = [["", *(heading for heading, _, _ in COLUMNS)]]
    lines += [[row.label, *row.cells] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        label.ljust(widths[0])
        + "".join(f"  {c:>{w}}" for c, w in zip(cells, widths[1:], strict=True))
        for label, *cells in lines
    )


def legend(rows: list[Row]) -> str:
    """What the columns are, and what a difference between rows says."""
    return f"{LEGEND} {OVER_SEEDS if any(row.of_seed for row in rows) else ONE_SEED}"


def html_table(rows: list[Row]) -> str:
    """The table with its legend as HTML; the rows of single seeds are folded below it."""
    shown = [row for row in rows if not row.of_seed]
    seeds = [row for row in rows if row.of_seed]
    html = f'{_table(shown)}\n<p class="note">{legend(rows)}</p>'
    if seeds:
        html += f"\n<details><summary>Every seed</summary>\n{_table(seeds)}</details>"
    return html


def _table(rows: list[Row]) -> str:
    head = "".join(f"<th>{heading}</th>" for heading in ["run", *(h for h, _, _ in COLUMNS)])
    body = []
    for row in rows:
        kind = ' class="difference"' if row.is_difference else ""
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in [row.label.strip(), *row.cells])
        body.append(f"<tr{kind}>{cells}</tr>")
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _config_rows(
    config: ConfigRuns, root: str | os.PathLike[str], published: bool = True
) -> list[Row]:
    first, *others = config.runs.values()
    count = 1 + len(others)
    values = [config.estimate(iou_type, name) for _, iou_type, name in COLUMNS]
    if others:
        name = first.path.parent.relative_to(root).as_posix()
        rows = [Row(f"{name}, {count} seeds", [format_estimate(v, count) for v in values])]
    else:
        name = first.path.relative_to(root).as_posix()
        rows = [Row(name, [format_metric(value.mean) for value in values])]
    if published and (row := published_results(first.path)):
        rows.append(Row("  published", [format_metric(value) for value in _cells(row)]))
    if not config.pairs:
        return rows
    differences = [config.difference(iou_type, name) for _, iou_type, name in COLUMNS]
    several = count > 1 or len(config.baseline.runs) > 1  # type: ignore[union-attr]
    pairs = len(config.pairs)
    over = f" over {pairs} seed{'s' if pairs > 1 else ''}" if several else ""
    cells = [format_difference(d, pairs) for d in differences]
    rows.append(Row(f"  difference{over}", cells, True))
    if pairs > 1:
        rows.append(Row("  95% interval", [format_interval(d) for d in differences], True))
    return rows


def _cells(metrics: Mapping[str, Mapping[str, float]]) -> list[float]:
    return [metrics.get(iou_type, {}).get(name, math.nan) for _, iou_type, name in COLUMNS]
