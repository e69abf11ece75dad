"""Write the files of OpenMoji-LT: images, LVIS v1 annotations and icons."""

import json
import multiprocessing
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as run_length
from tqdm import tqdm

from pcb.datasets.openmoji import icons
from pcb.datasets.openmoji.design import Design, EmojiClass, Pair, draw_classes
from pcb.datasets.openmoji.layout import spread, spread_evenly
from pcb.datasets.openmoji.scene import Instance, compose
from pcb.datasets.openmoji.streams import stream

SPLITS = ("train", "val", "val_prior")
_SECOND_INSTANCE = 0.2  # probability that a class has a second instance in an image (not in val)
_OTHER_NEGATIVES = 20  # absent classes that an image lists besides look-alikes, unless it lists all


@dataclass(frozen=True)
class _Job:
    """An image to draw; ``labels`` has one entry for each instance in the image."""

    design: Design
    icons: tuple[icons.Icon, ...]
    seed: int
    split: str
    index: int
    labels: tuple[int, ...]
    path: Path


def write_dataset(folder: Path, design: Design, seed: int, progress: bool, workers: int) -> dict:
    """Write all files of an OpenMoji-LT dataset except ``design.json``.

    Args:
        folder: An empty folder.
        design: Size and settings of the dataset.
        seed: Seed for all random choices.
        progress: Whether to show a progress bar.
        workers: Number of processes that draw images.

    Returns:
        The entries ``classes``, ``pairs`` and ``renderings`` of ``design.json``, as a dict.
    """
    classes, pairs = draw_classes(design, seed)
    layout = {split: _lay_out(split, design, classes, seed) for split in SPLITS}
    instance_counts = np.bincount(np.concatenate(layout["train"]), minlength=len(classes))
    categories = [
        _category(label, c, int(n), design)
        for label, (c, n) in enumerate(zip(classes, instance_counts, strict=True))
    ]
    _write_icons(folder / "icons", classes)
    for split in SPLITS:
        (folder / split).mkdir()
    look = tuple(c.icon for c in classes)
    jobs = [
        _Job(design, look, seed, split, index, tuple(labels), folder / split / _file_name(index))
        for split, images in layout.items()
        for index, labels in enumerate(images)
    ]
    bar = {"desc": "OpenMoji-LT", "unit": "image", "disable": not progress, "mininterval": 1.0}
    drawn = list(tqdm(_draw_images(jobs, workers), total=len(jobs), **bar))
    (folder / "annotations").mkdir()
    for split, images in layout.items():
        content = {
            "info": {
                "description": f"OpenMoji-LT {design.name}, {split}, seed {seed}",
                "url": "https://openmoji.org",
                "contributor": icons.ATTRIBUTION,
            },
            "licenses": [{"id": 1, "name": icons.LICENSE_NAME, "url": icons.LICENSE_URL}],
            "images": _image_records(split, images, design, pairs, seed),
            "annotations": _number(
                annotations
                for job, annotations in zip(jobs, drawn, strict=True)
                if job.split == split
            ),
            "categories": categories,
        }
        text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
        path = folder / "annotations" / f"{split}.json"
        path.write_text(text + "\n", encoding="utf-8")
    keys = ("name", "frequency", "image_count", "instance_count")
    return {
        "classes": [
            {key: category[key] for key in keys}
            | {"icon": c.icon.code, "role": c.role, "pair": c.pair}
            for c, category in zip(classes, categories, strict=True)
        ],
        "pairs": [asdict(pair) for pair in pairs],
        "renderings": {
            "train": [r.name for r, _ in icons.TRAIN_RENDERINGS],
            "validation_only": [r.name for r, _ in icons.VALIDATION_ONLY_RENDERINGS],
        },
    }


def _lay_out(split: str, design: Design, classes: list[EmojiClass], seed: int) -> list[list[int]]:
    """Return randomly chosen labels for the instances in each image of a split."""
    rng = stream(seed, "layout", SPLITS.index(split))
    if split == "val":
        num_images = -(-len(classes) * design.val_instances // design.val_load)
        return spread_evenly([design.val_instances] * len(classes), num_images, rng)
    counts = np.array([c.image_count for c in classes])
    num_images = design.train_images
    if split == "val_prior":
        num_images = design.val_prior_images
        # Each class is in the same fraction of images as in train, rounded up or down at random.
        counts = np.floor(counts * num_images / design.train_images + rng.random(len(counts)))
    images = spread(counts.astype(int), num_images, design.largest_load, rng)
    return [
        sorted(labels + [y for y in labels if rng.random() < _SECOND_INSTANCE]) for labels in images
    ]


def _draw_images(jobs: list[_Job], workers: int) -> Iterator[list[dict]]:
    """Draw the image of each job, and yield one list of annotations per image."""
    if workers == 1:
        yield from map(_draw_image, jobs)
        return
    # Spawn processes instead of forking: the caller may have threads (of PyTorch, of a notebook).
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(_draw_image, jobs, chunksize=8)


def _draw_image(job: _Job) -> list[dict]:
    """Draw and save one image, and return its annotations without annotation ids."""
    rng = stream(job.seed, "image", SPLITS.index(job.split), job.index)
    image, instances = compose(
        job.icons,
        job.labels,
        icons.TRAIN_RENDERINGS if job.split == "train" else icons.VALIDATION_RENDERINGS,
        job.design.image_size,
        job.design.instance_size,
        rng,
    )
    Image.fromarray(image).save(job.path)
    return [{"image_id": job.index + 1} | _annotation(instance) for instance in instances]


def _annotation(instance: Instance) -> dict:
    """Return the annotation record of an instance, without its annotation id and image id.

    The mask is stored as a run-length encoding, which is more exact than polygons.
    """
    encoded = run_length.encode(np.asfortranarray(instance.mask.astype(np.uint8)))
    return {
        "category_id": instance.label + 1,
        "bbox": run_length.toBbox(encoded).tolist(),
        "area": float(instance.mask.sum()),
        "segmentation": {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")},
    }


def _number(annotations: Iterable[list[dict]]) -> list[dict]:
    """Join the annotations of all images into one list, and number the annotations from 1."""
    joined = (annotation for of_image in annotations for annotation in of_image)
    return [{"id": i} | annotation for i, annotation in enumerate(joined, start=1)]


def _category(label: int, emoji: EmojiClass, instance_count: int, design: Design) -> dict:
    """Return the category record of a class.

    Even in validation files, ``image_count`` and ``instance_count`` describe the training split.
    """
    name = emoji.icon.name
    return {
        "id": label + 1,
        "name": name,
        "synset": f"{name}.emoji.{emoji.icon.code.lower()}",
        "synonyms": [name],
        "def": f"the OpenMoji {name.replace('_', ' ')}",
        "frequency": design.frequency(emoji.image_count),
        "image_count": emoji.image_count,
        "instance_count": instance_count,
    }


def _image_records(
    split: str, images: list[list[int]], design: Design, pairs: list[Pair], seed: int
) -> list[dict]:
    """Return the LVIS record of each image.

    Each record lists classes that are absent from the image.
    """
    rng = stream(seed, "negatives", SPLITS.index(split))
    partner = {pair.head: pair.tail for pair in pairs} | {pair.tail: pair.head for pair in pairs}
    everything = np.arange(design.num_classes)
    records = []
    for index, labels in enumerate(images):
        absent = np.setdiff1d(everything, labels)
        if not design.exhaustive:
            # List look-alikes as absent, so that mistaking a class for its look-alike is an error.
            look_alikes = np.array([partner[y] for y in labels if y in partner], dtype=int)
            others = rng.choice(absent, min(_OTHER_NEGATIVES, len(absent)), replace=False)
            absent = np.intersect1d(absent, np.union1d(look_alikes, others))
        records.append(
            {
                "id": index + 1,
                "file_name": _file_name(index),
                "width": design.image_size,
                "height": design.image_size,
                "license": 1,
                "not_exhaustive_category_ids": [],
                "neg_category_ids": (absent + 1).tolist(),
            }
        )
    return records


def _file_name(index: int) -> str:
    return f"{index + 1:06d}.png"


def _write_icons(folder: Path, classes: list[EmojiClass]) -> None:
    """Draw the icon of each class, and save it in a file named after the category id."""
    folder.mkdir()
    for label, emoji in enumerate(classes):
        picture = Image.fromarray(icons.draw(emoji.icon), mode="RGBa").convert("RGBA")
        picture.save(folder / f"{label + 1:04d}.png")
