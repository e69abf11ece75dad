"""Write the configs of a user's dataset: every baseline, with and without PCB."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jinja2

from pcb.confusion import PUBLISHED_MOMENTUM
from pcb.datasets.lvis.classes import MOST_IMAGES_IF_COMMON
from pcb.own_data.settings import ITERATIONS, Settings
from pcb.storage.repository import repository_path

# The configs of this dataset serve as templates for all baselines but softmax.
_MODELS = {"small": "openmoji", "photographs": "lvis_v1"}
BASELINES = ("softmax", "rfs", "eqlv2", "seesaw")
_TITLES = {
    "softmax": "Softmax (cross-entropy)",
    "rfs": "Softmax with repeat factor sampling (RFS)",
    "eqlv2": "EQL v2",
    "seesaw": "Seesaw with repeat factor sampling",
}
_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("pcb.own_data"),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701  # the output is Python, not HTML
)

_TEMPLATES.filters["literal"] = partial(json.dumps, ensure_ascii=False)  # of a text, in Python


def config_files(
    name: str,
    settings: Settings,
    images: Sequence[str],
    crowds: str | None = None,
    federated: bool = False,
    weights: str | None = None,
) -> dict[str, str]:
    """Return the paths and the contents of all files that a dataset adds to the repository.

    Args:
        name: Name of the dataset.
        settings: The settings of its training.
        images: Image folders of the training and the validation set.
        crowds: The dataset's argument ``crowds``.
        federated: Whether each image was checked only for some classes.
        weights: Checkpoint to start from.
    """
    values = {"name": name, "s": settings, "images": images, "iterations": ITERATIONS}
    values |= {
        "published": PUBLISHED_MOMENTUM,
        "crowds": crowds,
        "federated": federated,
        "weights": weights,
    }
    base = Path("configs", "_base_")
    files = {
        str(base / part / f"{name}.py"): _render(part, values)
        for part in ("datasets", "schedules", "pcb")
    }
    for file, text in _baselines(name, settings, values):
        files[f"configs/{name}/{file}.py"] = text
    files[f"workflow/grids/{name}.yaml"] = _render("grid", values)
    return files


def _render(part: str, values: dict[str, Any]) -> str:
    return _TEMPLATES.get_template(f"{part}.j2").render(values)


def _baselines(name: str, settings: Settings, values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each config."""
    for baseline in BASELINES:
        title = f"# {_TITLES[baseline]} on the dataset {name}"
        if baseline == "softmax":
            text = _render("softmax", values)
        else:
            text = _adapted(f"{_MODELS[settings.family]}/{baseline}.py", settings)
        yield baseline, f"{title}, without PCB.\n{text}"
        balanced = _adapted(f"{_MODELS[settings.family]}/{baseline}_pcb.py", settings)
        for part in ("published", "scaled"):
            balanced = balanced.replace(f"_base_/pcb/{part}.py", f"_base_/pcb/{name}.py")
        yield f"{baseline}_pcb", f"{title}, with PCB.\n{balanced}"


def _adapted(config: str, settings: Settings) -> str:
    """Return the text of an existing config, without its comments, for another dataset."""
    lines = repository_path(Path("configs", config)).read_text().splitlines()
    kept = [line for line in lines if not line.lstrip().startswith("#")]
    if not settings.has_masks:
        kept = [line for line in kept if "mask_head" not in line]
    return "".join(
        f"        # {MOST_IMAGES_IF_COMMON} images, the border of common and frequent classes, as a"
        f" share of all {settings.num_images}; at most 1.\n"
        f"        oversample_thr={settings.oversample_threshold:.6g},\n"
        if line.lstrip().startswith("oversample_thr=")
        else f"{line}\n"
        for line in kept
    )
