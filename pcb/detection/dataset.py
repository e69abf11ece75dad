"""LVIS-format annotations as an mmdet dataset."""

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmdet.datasets import DATASETS, CustomDataset
from mmdet.datasets.pipelines import LoadImageFromFile

from pcb.datasets.lvis import CompactAnnotations, read_compact_annotations
from pcb.datasets.orientation import turn_warning
from pcb.detection.legacy.images import ImageError, LoadWholeImage
from pcb.distributed import rank

# Pixels. LVIS rounds place and size of a box to two decimals, so that it may stick out by as much.
_ROUNDING = 0.02


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
    the file names must exist, and be of the size that the file states when it is loaded: the
    pipeline's ``LoadImageFromFile`` stands for :class:`pcb.detection.legacy.images.LoadWholeImage`.
    Arguments are those of mmdet's ``CustomDataset``, and ``federated``, which is kept for the
    evaluation: whether an image judges only the classes that it is annotated for, as in LVIS, or
    all of them, as in COCO; by default the file tells, see :func:`pcb.datasets.read_annotations`.

    Images whose EXIF data turns them are turned; the log says how many there are.

    What is wrong raises an error. What is merely of no use, as in LVIS and in many people's own
    data, is mended, and in training the log says how often:

    - Boxes are cut at the border of their image; there is nothing to see beyond it.
    - Objects outside of their image, and those of less than a pixel's width, height or area, are
      left out, as by mmdet: no box can be regressed to them.
    - Polygons with fewer than three points have no area. In training they are left out; a file to
      be tested on may have none, since its evaluation would take them for boxes.

    Everything is held in flat arrays, which data-loading workers share as long as they are forked
    (PyTorch's default on Linux).
    """

    def __init__(
        self,
        ann_file: str,
        pipeline: Sequence[Mapping[str, Any]],
        *args: Any,
        federated: bool | None = None,
        **kwargs: Any,
    ) -> None:
        if federated not in (None, True, False):
            raise ValueError(f"federated must be True, False or None, got {federated!r}")
        self.federated = federated
        super().__init__(ann_file, [_checked(step) for step in pipeline], *args, **kwargs)
        if not self.test_mode:  # mmdet has made a list of records out of what is filtered
            self.data_infos = ImageRecords(self.annotations, np.array(self._filter_imgs()))

    def load_annotations(self, ann_file: str) -> ImageRecords:
        """Image records in mmdet's terms; sets ``CLASSES``."""
        annotations = read_compact_annotations(
            ann_file, image_dir=self.img_prefix, short_polygons=not self.test_mode
        )
        self.CLASSES = tuple(annotations.class_names)
        self.category_ids = annotations.category_ids
        self.annotations, mended = usable(annotations)
        name = os.path.basename(ann_file)
        said: list[str | None] = (
            [] if self.test_mode else [*annotations.warnings, mended]
        )  # evaluation says its own
        if self.img_prefix:
            said.append(_turn_warning(name, annotations, self.img_prefix))
        if rank() == 0:
            for text in filter(None, said):
                logging.getLogger("pcb").warning("%s: %s", name, text)
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


def usable(annotations: CompactAnnotations) -> tuple[CompactAnnotations, str]:
    """The instances that can be learned from, their boxes cut at the border of their images.

    Returns:
        The annotations, and what was done, such as "3 of 500 annotations left out: 2 boxes of less
        than a pixel, 1 outside of the image"; empty if nothing was.
    """
    sizes = np.repeat(annotations.image_sizes, np.diff(annotations.first_instance), axis=0)
    start = annotations.boxes[:, :2]
    end = start + annotations.boxes[:, 2:]
    clipped_start, clipped_end = np.clip(start, 0, sizes), np.clip(end, 0, sizes)
    is_cut = (np.maximum(clipped_start - start, end - clipped_end) > _ROUNDING).any(axis=1)
    inside = ((start < sizes) & (end > 0)).all(axis=1)
    size = np.where(is_cut[:, None], clipped_end - clipped_start, annotations.boxes[:, 2:])
    keep = np.ones(len(start), bool)
    reasons = []
    for what, fits in (
        ("outside of the image", inside),
        ("boxes of less than a pixel", (size >= 1).all(axis=1)),
        ("of no area", annotations.areas > 0),
        ("polygons of fewer than three points", annotations.has_mask),
    ):
        if left_out := np.count_nonzero(keep & ~fits):
            reasons.append(f"{left_out:,} {what}")
        keep &= fits
    text = []
    if reasons:
        text.append(f"{np.count_nonzero(~keep):,} of {len(keep):,} annotations left out: ")
        text[0] += ", ".join(reasons)
    if cut := np.count_nonzero(keep & is_cut):
        text.append(f"boxes cut at the border of their image: {cut:,}")
    boxes = np.where(is_cut[:, None], np.hstack([clipped_start, size]), annotations.boxes)
    return dataclasses.replace(annotations, boxes=boxes).select(keep), "; ".join(text)


def _turn_warning(name: str, annotations: CompactAnnotations, folder: str) -> str | None:
    try:
        return turn_warning(annotations.image_names, annotations.image_sizes, folder)
    except ValueError as error:
        raise ImageError(f"{name}: {error}") from error


def _checked(step: Mapping[str, Any]) -> Mapping[str, Any]:
    """A step of a pipeline, with our own way to load an image in place of mmdet's."""
    if step.get("type") == LoadImageFromFile.__name__:
        return {**step, "type": LoadWholeImage.__name__}
    return step
