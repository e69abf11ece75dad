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
from pcb.datasets.orientation import orientation_warning
from pcb.detection.legacy.images import ImageError, LoadWholeImage
from pcb.distributed import rank

# Pixels. LVIS rounds a box's position and size to two decimals, so it may stick out by as much.
_ROUNDING = 0.02


class ImageRecords(Sequence):
    """Images as the records that mmdet expects, each created when it is requested.

    Args:
        annotations: all annotations.
        rows: (n,) int, the images' positions in them.
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

    A label is the index of a category in the file's categories sorted by id. Every image that the
    file names must exist and, when it is loaded, have the size that the file states. For that,
    :class:`pcb.detection.legacy.images.LoadWholeImage` replaces the pipeline's
    ``LoadImageFromFile``. Images are turned as their EXIF data says, and the log tells how many.

    The arguments are those of mmdet's ``CustomDataset`` and ``federated``, which the evaluation
    uses: whether an image judges only the classes that it is annotated for, as in LVIS, or all of
    them, as in COCO. By default the file tells, see :func:`pcb.datasets.lvis.read_annotations`.

    Wrong data raises an error. Data that is merely useless, which LVIS and many other datasets
    contain, is fixed, and in training the log tells how often:

    - Boxes are clipped to their image.
    - Objects outside their image, and those with less than a pixel of width, height or area, are
      skipped, as mmdet does: no box can be regressed to them.
    - Polygons with fewer than three points have no area. In training they are skipped. In a file to
      test on they are an error, because its evaluation would treat them as boxes.

    All data is kept in flat arrays, which data-loading workers share if they are forked (PyTorch's
    default on Linux).
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
        if not self.test_mode:  # mmdet's own filter makes a list of records
            self.data_infos = ImageRecords(self.annotations, np.array(self._filter_imgs()))

    def load_annotations(self, ann_file: str) -> ImageRecords:
        """Image records in mmdet's terms; sets ``CLASSES``."""
        annotations = read_compact_annotations(
            ann_file, image_dir=self.img_prefix, allow_short_polygons=not self.test_mode
        )
        self.CLASSES = tuple(annotations.class_names)
        self.category_ids = annotations.category_ids
        self.annotations, fixes = fix_instances(annotations)
        name = os.path.basename(ann_file)
        # Evaluation has its own notes.
        notes: list[str | None] = [] if self.test_mode else [*annotations.warnings, fixes]
        if self.img_prefix:
            notes.append(_turn_warning(name, annotations, self.img_prefix))
        if rank() == 0:
            for text in filter(None, notes):
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
        """Number of annotated instances of each class, (C,)."""
        return np.bincount(self.annotations.labels, minlength=len(self.CLASSES))

    def _filter_imgs(self, min_size: int = 32) -> list[int]:
        """Images with instances; small images are kept, unlike in mmdet's default."""
        instances = np.diff(self.annotations.first_instance)
        return np.flatnonzero((instances > 0) | (not self.filter_empty_gt)).tolist()


def fix_instances(annotations: CompactAnnotations) -> tuple[CompactAnnotations, str]:
    """Skip instances that nothing can be learned from, and clip boxes to their images.

    Returns:
        The annotations, and what was changed, such as "3 of 500 annotations skipped: 2 boxes
        smaller than a pixel, 1 outside the image"; empty if nothing was.
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
        ("outside the image", inside),
        ("boxes smaller than a pixel", (size >= 1).all(axis=1)),
        ("without area", annotations.areas > 0),
        ("polygons with fewer than three points", annotations.has_mask),
    ):
        if skipped := np.count_nonzero(keep & ~fits):
            reasons.append(f"{skipped:,} {what}")
        keep &= fits
    text = []
    if reasons:
        text.append(f"{np.count_nonzero(~keep):,} of {len(keep):,} annotations skipped: ")
        text[0] += ", ".join(reasons)
    if cut := np.count_nonzero(keep & is_cut):
        text.append(f"boxes clipped to their image: {cut:,}")
    boxes = np.where(is_cut[:, None], np.hstack([clipped_start, size]), annotations.boxes)
    return dataclasses.replace(annotations, boxes=boxes).select(keep), "; ".join(text)


def _turn_warning(name: str, annotations: CompactAnnotations, folder: str) -> str | None:
    try:
        return orientation_warning(annotations.image_names, annotations.image_sizes, folder)
    except ValueError as error:
        raise ImageError(f"{name}: {error}") from error


def _checked(step: Mapping[str, Any]) -> Mapping[str, Any]:
    """A step of a pipeline; the kit's way to load an image replaces mmdet's."""
    if step.get("type") == LoadImageFromFile.__name__:
        return {**step, "type": LoadWholeImage.__name__}
    return step
