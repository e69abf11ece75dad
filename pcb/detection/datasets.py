"""LVIS-format annotations as an mmdet dataset."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.datasets import DATASETS, CustomDataset

from pcb.datasets.lvis import CompactAnnotations, read_compact_annotations


class ImageRecords(Sequence):
    """Images of annotations as the records that mmdet expects, made when they are asked for.

    Args:
        annotations: All annotations.
        rows: (n,) int, places of the images in them.
    """

    def __init__(self, annotations: CompactAnnotations, rows: np.ndarray) -> None:
        self.annotations = annotations
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return ImageRecords(self.annotations, self.rows[index])
        row = self.rows[index]
        width, height = self.annotations.image_sizes[row].tolist()
        return {
            "id": int(self.annotations.image_ids[row]),
            "filename": str(self.annotations.image_names[row]),
            "width": width,
            "height": height,
        }


@DATASETS.register_module()
class LVISFormatDataset(CustomDataset):
    """Boxes and masks from an annotation file in LVIS format; classes come from the file.

    A label is the index of a category in the file's categories sorted by id. Every image that
    the file names must exist. Objects of less than a pixel's width, height or area are left out, as
    mmdet does: no box can be regressed to them. Arguments are those of mmdet's ``CustomDataset``.

    Everything is held in flat arrays, which data-loading workers share as long as they are forked
    (PyTorch's default on Linux).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.test_mode:  # mmdet has made a list of records out of what is filtered
            self.data_infos = ImageRecords(self.annotations, np.array(self._filter_imgs()))

    def load_annotations(self, ann_file: str) -> ImageRecords:
        """Image records in mmdet's terms; sets ``CLASSES``."""
        annotations = read_compact_annotations(ann_file, image_dir=self.img_prefix)
        self.CLASSES = tuple(annotations.class_names)
        self.category_ids = annotations.category_ids
        large_enough = (annotations.boxes[:, 2:].min(axis=1) >= 1) & (annotations.areas > 0)
        self.annotations = annotations.select(large_enough)
        return ImageRecords(self.annotations, np.arange(len(annotations.image_ids)))

    def get_ann_info(self, idx: int) -> dict[str, Any]:
        """Boxes (n, 4) as x1, y1, x2, y2 in pixels, labels (n,) and masks of an image."""
        image = self.data_infos.rows[idx]
        instances = self.annotations.instances_of(image)
        boxes = self.annotations.boxes[instances].astype(np.float32)
        boxes[:, 2:] += boxes[:, :2]
        return {
            "bboxes": boxes,
            "labels": self.annotations.labels[instances].copy(),
            "bboxes_ignore": np.zeros((0, 4), dtype=np.float32),
            "masks": self.annotations.masks_of(image),
        }

    def get_cat_ids(self, idx: int) -> list[int]:
        """Labels in an image, for repeat factor sampling (``ClassBalancedDataset``)."""
        instances = self.annotations.instances_of(self.data_infos.rows[idx])
        return self.annotations.labels[instances].tolist()

    def instance_count(self) -> np.ndarray:
        """Annotated instances of each class, (C,)."""
        return np.bincount(self.annotations.labels, minlength=len(self.CLASSES))

    def _filter_imgs(self, min_size: int = 32) -> list[int]:
        """Images with instances; unlike mmdet's default, small images stay."""
        instances = np.diff(self.annotations.first_instance)
        return np.flatnonzero((instances > 0) | (not self.filter_empty_gt)).tolist()
