"""Write LVIS-sized files and run scripts, for the benchmarks."""

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np

from pcb.datasets.lvis import read_compact_annotations
from pcb.datasets.lvis.classes import group_of

WIDTH, HEIGHT = 640, 480
OUTLINES = 4000  # different polygons; each instance gets a random one


def write_annotations(path: Path, images: int, instances: int, seed: int) -> None:
    """Write random annotations in LVIS's format, with the class frequencies of LVIS v1.

    Args:
        path: The file to write.
        images: Number of images.
        instances: Number of instances.
        seed: Random seed.
    """
    rng = np.random.default_rng(seed)
    counts_file = files("pcb.datasets.openmoji") / "lvis_v1_image_counts.json"
    counts = np.array(json.loads(counts_file.read_text())["image_counts"])
    outlines = [_outline(rng) for _ in range(OUTLINES)]
    image_of = np.sort(rng.integers(images, size=instances)).tolist()
    category_of = rng.choice(len(counts), size=instances, p=counts / counts.sum()).tolist()
    outline_of = rng.integers(OUTLINES, size=instances).tolist()
    present: list[set[int]] = [set() for _ in range(images)]
    for image, category in zip(image_of, category_of, strict=True):
        present[image].add(category + 1)
    # Random order is the hardest case for code that groups annotations by image.
    order = rng.permutation(instances).tolist()
    with open(path, "w") as file:
        file.write('{"info": {"description": "made for a benchmark"}, "annotations": [')
        for number, i in enumerate(order, start=1):
            file.write(
                f'{", " if number > 1 else ""}{{{outlines[outline_of[i]]}, "id": {number},'
                f' "image_id": {image_of[i] + 1}, "category_id": {category_of[i] + 1}}}'
            )
        file.write('], "images": [')
        for i in range(images):
            file.write(", " if i else "")
            absent = set(rng.integers(1, len(counts) + 1, size=12).tolist()) - present[i]
            unfinished = sorted(present[i])[: int(rng.integers(2))]
            json.dump(_image(i + 1, sorted(absent), unfinished), file)
        file.write('], "categories": [')
        for i, count in enumerate(counts.tolist()):
            file.write(", " if i else "")
            json.dump(_category(i + 1, count), file)
        file.write('], "licenses": []}')


def write_predictions(path: Path, annotations: Path, per_image: int, seed: int) -> None:
    """Write random detections in COCO's results format.

    Some boxes lie around objects, and most of these boxes have the correct class. All other boxes
    have random positions and classes.

    Args:
        path: The file to write.
        annotations: Annotation file that contains the images and the objects.
        per_image: Number of detections per image.
        seed: Random seed.
    """
    truth = read_compact_annotations(annotations)
    rng = np.random.default_rng(seed)
    ids = np.array(truth.category_ids)
    similar = rng.integers(len(ids), size=(len(ids), 3))
    share = truth.image_count / truth.image_count.sum()
    labels_of = rng.choice(len(ids), size=(len(truth.image_ids), per_image), p=share)
    separator = "["
    with open(path, "w") as file:
        for image, (image_id, labels) in enumerate(zip(truth.image_ids, labels_of, strict=True)):
            boxes = rng.uniform([0, 0, 5, 5], [WIDTH - 5, HEIGHT - 5, 160, 160], (per_image, 4))
            scores = rng.beta(1, 6, per_image)
            instances = truth.instances_of(image)
            near = rng.random(per_image) < 0.3 * (instances.start < instances.stop)
            if near.any():
                target = rng.integers(instances.start, instances.stop, near.sum())
                box, label = truth.boxes[target], truth.labels[target]
                jitter = rng.normal(0, 0.1, box.shape) * box[:, [2, 3, 2, 3]]
                boxes[near] = np.maximum(box + jitter, [0, 0, 1, 1])
                confused = similar[label, rng.integers(3, size=len(label))]
                chance = rng.random(len(label))
                labels[near] = np.select(
                    [chance < 0.7, chance < 0.9], [label, confused], labels[near]
                )
                scores[near] = rng.beta(2, 2, len(label))
            for category_id, box, score in zip(
                ids[labels].tolist(), boxes.round(2).tolist(), scores.tolist(), strict=True
            ):
                file.write(
                    f'{separator}{{"image_id": {image_id}, "category_id": {category_id},'
                    f' "bbox": {box}, "score": {score}}}'
                )
                separator = ", "
        file.write("]")


def in_own_process(script: str, *arguments: str | Path) -> dict:
    """Run a Python script in a new process, and parse the last line of its output as JSON."""
    command = [sys.executable, script, *map(str, arguments)]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return json.loads(output.splitlines()[-1])


def memory(file: str, *names: str) -> float:
    """Return the sum, in MiB, of the given entries of a file such as /proc/self/status."""
    lines = map(str.split, Path(file).read_text().splitlines())
    return sum(int(line[1]) for line in lines if line and line[0] in names) / 1024


def _outline(rng: np.random.Generator) -> str:
    """Return the JSON entries ``area``, ``bbox`` and ``segmentation`` of a random shape."""
    parts = []
    for _ in range(1 + (rng.random() < 0.1)):
        angle = np.sort(rng.random(max(3, int(rng.lognormal(3.5, 0.75))))) * 2 * np.pi
        radius = rng.uniform(5, 80) * rng.uniform(0.8, 1.2, size=len(angle))
        x = rng.uniform(0, WIDTH) + radius * np.cos(angle)
        y = rng.uniform(0, HEIGHT) + radius * np.sin(angle)
        parts.append(np.stack([x.clip(0, WIDTH), y.clip(0, HEIGHT)], axis=1).round(2))
    low, high = np.concatenate(parts).min(axis=0), np.concatenate(parts).max(axis=0)
    box = [*low.tolist(), *(high - low).round(2).tolist()]
    members = {
        "area": round(0.6 * box[2] * box[3], 2),
        "bbox": box,
        "segmentation": [part.ravel().tolist() for part in parts],
    }
    return json.dumps(members)[1:-1]


def _image(image_id: int, absent: list[int], unfinished: list[int]) -> dict:
    return {
        "id": image_id,
        "width": WIDTH,
        "height": HEIGHT,
        "coco_url": f"http://images.cocodataset.org/train2017/{image_id:012d}.jpg",
        "flickr_url": f"http://farm8.staticflickr.com/7188/{image_id:010d}_d967c90a4c_z.jpg",
        "date_captured": "2013-11-14 16:28:13",
        "license": 1,
        "neg_category_ids": absent,
        "not_exhaustive_category_ids": unfinished,
    }


def _category(category_id: int, image_count: int) -> dict:
    return {
        "id": category_id,
        "name": f"class_{category_id}",
        "frequency": group_of(image_count),
        "image_count": image_count,
        "instance_count": image_count,
    }
