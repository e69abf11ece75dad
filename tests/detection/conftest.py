"""Import pcb.detection first, because mmdet needs the operators that it installs."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pcb.detection  # noqa: F401


@pytest.fixture(scope="session")
def tiny_lvis(tmp_path_factory) -> dict[str, Path]:
    """Both LVIS versions in their distributed form with 8 images each; roots by dataset."""
    rng = np.random.default_rng(0)
    roots = {}
    for dataset, stem in (("lvis_v0_5", "lvis_v0.5"), ("lvis_v1", "lvis_v1")):
        roots[dataset] = root = tmp_path_factory.mktemp(dataset)
        for folder in ("annotations", "train2017", "val2017"):
            (root / folder).mkdir()
        for split in ("train", "val"):
            images, annotations = [], []
            for i in range(1, 9):
                # Validation images of v1 are in both folders.
                in_train = split == "train" or (dataset == "lvis_v1" and i % 2)
                folder = "train2017" if in_train else "val2017"
                number = f"{i + (100 if split == 'val' else 0):012d}.jpg"
                pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / folder / number)
                named = {"coco_url": f"http://images.cocodataset.org/{folder}/{number}"}
                if dataset == "lvis_v0_5":
                    named = {"file_name": f"COCO_val2014_{number}"}
                lists = {"neg_category_ids": [], "not_exhaustive_category_ids": []}
                images.append({"id": i, "width": 64, "height": 48, **named, **lists})
                # Category 1 is in every image, 2 in four, 3 in one.
                for category in [c for c, every in ((1, 1), (2, 2), (3, 8)) if i % every == 0]:
                    x, y = 4 * i, 2.0 * category
                    polygon = [x, y, x + 20, y, x + 20, y + 16, x, y + 16]
                    box = {"bbox": [x, y, 20, 16], "segmentation": [polygon], "area": 320}
                    ids = {"id": len(annotations) + 1, "image_id": i, "category_id": category}
                    annotations.append(ids | box)
            categories = [
                {"id": c, "name": n, "frequency": "r", "image_count": m, "instance_count": m}
                for c, n, m in ((1, "cat", 8), (2, "dog", 4), (3, "axolotl", 1))
            ]
            content = {"images": images, "annotations": annotations, "categories": categories}
            (root / "annotations" / f"{stem}_{split}.json").write_text(json.dumps(content))
    return roots
