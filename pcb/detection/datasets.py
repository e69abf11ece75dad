"""LVIS-format annotations as an mmdet dataset."""

from typing import Any

import numpy as np
from mmdet.datasets import DATASETS, CustomDataset

from pcb.datasets.lvis import image_path, read_annotations


@DATASETS.register_module()
class LVISFormatDataset(CustomDataset):
    """Boxes and masks from an annotation file in LVIS format; classes come from the file.

    A label is the index of a category in the file's categories sorted by id. Every image that
    the file names must exist. Objects of less than a pixel's width, height or area are left out, as
    mmdet does: no box can be regressed to them. Arguments are those of mmdet's ``CustomDataset``.
    """

    def load_annotations(self, ann_file: str) -> list[dict[str, Any]]:
        """Image records in mmdet's terms; sets ``CLASSES``."""
        dataset = read_annotations(ann_file, image_dir=self.img_prefix)
        self.CLASSES = tuple(dataset.class_names)
        self.category_ids = dataset.category_ids
        labels = dataset.label_of
        by_image: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in dataset.images}
        for annotation in dataset.annotations:
            if min(annotation["bbox"][2:]) >= 1 and annotation.get("area", 1) > 0:
                by_image[annotation["image_id"]].append(annotation)
        self._labels = {
            image_id: [labels[annotation["category_id"]] for annotation in annotations]
            for image_id, annotations in by_image.items()
        }
        self._annotations = by_image
        return [
            {
                "id": image["id"],
                "filename": image_path(image),
                "width": image["width"],
                "height": image["height"],
            }
            for image in dataset.images
        ]

    def get_ann_info(self, idx: int) -> dict[str, Any]:
        """Boxes (n, 4) as x1, y1, x2, y2 in pixels, labels (n,) and masks of an image."""
        image_id = self.data_infos[idx]["id"]
        annotations = self._annotations[image_id]
        boxes = np.array([a["bbox"] for a in annotations], dtype=np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return {
            "bboxes": boxes,
            "labels": np.array(self._labels[image_id], dtype=np.int64),
            "bboxes_ignore": np.zeros((0, 4), dtype=np.float32),
            "masks": [a["segmentation"] for a in annotations],
        }

    def get_cat_ids(self, idx: int) -> list[int]:
        """Labels in an image, for repeat factor sampling (``ClassBalancedDataset``)."""
        return self._labels[self.data_infos[idx]["id"]]

    def instance_count(self) -> np.ndarray:
        """Annotated instances of each class, (C,)."""
        labels = [label for in_image in self._labels.values() for label in in_image]
        return np.bincount(labels, minlength=len(self.CLASSES))

    def _filter_imgs(self, min_size: int = 32) -> list[int]:
        """Images with instances; unlike mmdet's default, small images stay."""
        return [
            i
            for i, image in enumerate(self.data_infos)
            if self._labels[image["id"]] or not self.filter_empty_gt
        ]
