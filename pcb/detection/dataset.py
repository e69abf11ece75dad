"""An mmdet dataset for annotations in LVIS format."""

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmdet.datasets import DATASETS, CustomDataset
from mmdet.datasets.pipelines import LoadImageFromFile

from pcb.datasets.headers import check_images
from pcb.datasets.lvis import AnnotationError, CompactAnnotations, read_compact_annotations
from pcb.datasets.lvis.images import first_names
from pcb.detection.legacy.images import ImageError, LoadWholeImage
from pcb.distributed import rank

# In pixels. LVIS rounds the position and size of a box to two decimals, so rounding alone can move
# the edge of a box this far outside its image.
_ROUNDING = 0.02


class ImageRecords(Sequence):
    """Sequence of image records in mmdet's format; each record is created when it is requested.

    Args:
        annotations: All annotations of the dataset.
        rows: (n,) int, the index of each record's image in ``annotations.image_ids``.
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
    """Dataset with the boxes, masks and classes of an annotation file in LVIS format.

    A label is the index of a category in the list of all categories; this list is sorted by id.

    Every image must exist and have the size stated in the annotation file. To check the sizes,
    :class:`pcb.detection.legacy.images.LoadWholeImage` replaces the pipeline's
    ``LoadImageFromFile``. Images are rotated according to their EXIF data.

    The dataset accepts the arguments of mmdet's ``CustomDataset`` and two more. ``crowds`` says how
    annotations marked as crowds are read; see :func:`pcb.datasets.lvis.read_compact_annotations`.
    ``federated`` affects only the evaluation. If it is True, each image is evaluated only for the
    classes that its annotators checked, as in LVIS. If it is False, each image is evaluated for all
    classes, as in COCO. By default, it depends on the annotation file; see
    :func:`pcb.datasets.lvis.read_annotations`.

    Boxes are clipped to their image. Objects are skipped if they lie outside their image, have a
    width or height below one pixel, or have no area. In training, objects whose polygons have fewer
    than three points are also skipped. All other invalid annotations raise an error.

    Forked data-loading workers (the default on Linux) share the memory of the annotations.
    """

    def __init__(
        self,
        ann_file: str,
        pipeline: Sequence[Mapping[str, Any]],
        *args: Any,
        federated: bool | None = None,
        crowds: str | None = None,
        **kwargs: Any,
    ) -> None:
        if federated not in (None, True, False):
            raise ValueError(f"federated must be True, False or None, got {federated!r}")
        self.federated, self.crowds = federated, crowds
        self._needs_masks = any(step.get("with_mask") for step in pipeline)
        super().__init__(ann_file, [_checked(step) for step in pipeline], *args, **kwargs)
        if not self.test_mode:  # mmdet's own filter would create a list of all records
            self.data_infos = ImageRecords(self.annotations, np.array(self._filter_imgs()))

    def load_annotations(self, ann_file: str) -> ImageRecords:
        """Read an annotation file, set ``CLASSES``, and return image records in mmdet's format."""
        annotations = read_compact_annotations(
            ann_file,
            image_dir=self.img_prefix,
            allow_short_polygons=not self.test_mode,
            crowds=self.crowds,
            may_lack_annotations=self.test_mode,
        )
        self.CLASSES = tuple(annotations.class_names)
        self.category_ids = annotations.category_ids
        if self._needs_masks and len(annotations.labels) and not annotations.has_mask.any():
            raise AnnotationError(
                f"{ann_file} has no masks, but the pipeline loads masks: remove with_mask=True and"
                " 'gt_masks' from the pipeline, and use a model without mask head, such as"
                " configs/_base_/models/faster_rcnn_r50_fpn.py"
            )
        self.annotations, fixes = fix_instances(annotations, self._needs_masks)
        name = os.path.basename(ann_file)
        # When testing, the evaluation reports these corrections itself.
        notes: list[str | None] = [] if self.test_mode else [*annotations.warnings, fixes]
        if self.img_prefix:
            notes += _image_notes(name, annotations, self.img_prefix)
        if rank() == 0:
            for text in filter(None, notes):
                logging.getLogger("pcb").warning("%s: %s", name, text)
        return ImageRecords(self.annotations, np.arange(len(annotations.image_ids)))

    def get_ann_info(self, idx: int) -> dict[str, Any]:
        """Return the annotations of an image in mmdet's format.

        Returns:
            A dictionary with four entries:

            - ``bboxes``: (n, 4) float32, the corners x1, y1, x2, y2 of each box in pixels.
            - ``labels``: (n,) int, the class index of each box.
            - ``bboxes_ignore``: (0, 4) float32, always empty.
            - ``masks``: List of n masks, as polygons or run-length encodings.
        """
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
        """Return the label of each instance in an image.

        mmdet's ``ClassBalancedDataset`` uses the labels for repeat factor sampling.
        """
        instances = self.annotations.instances_of(self.data_infos.rows[idx])
        return self.annotations.labels[instances].tolist()

    def instance_count(self) -> np.ndarray:
        """Return a (C,) array with the number of annotated instances of each class."""
        return np.bincount(self.annotations.labels, minlength=len(self.CLASSES))

    def _filter_imgs(self, min_size: int = 32) -> list[int]:
        """Return the indices of the images to train on. Unlike in mmdet, small images are included.

        Images without instances are left out if ``filter_empty_gt`` is True.
        """
        instances = np.diff(self.annotations.first_instance)
        return np.flatnonzero((instances > 0) | (not self.filter_empty_gt)).tolist()


def fix_instances(
    annotations: CompactAnnotations, needs_masks: bool = True
) -> tuple[CompactAnnotations, str]:
    """Skip instances that a detector cannot learn from, and clip boxes to their images.

    Args:
        annotations: The annotations.
        needs_masks: Whether to skip instances without a mask.

    Returns:
        The corrected annotations, and a description of the changes, such as "2 of 500 annotations
        skipped: 2 outside the image". If nothing has changed, the description is empty.
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
        ("with a width or height below one pixel", (size >= 1).all(axis=1)),
        ("without area", annotations.areas > 0),
        ("without a mask of at least three points", annotations.has_mask | (not needs_masks)),
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


def _image_notes(name: str, annotations: CompactAnnotations, folder: str) -> list[str | None]:
    """Check the headers of images, so that a wrong image is found before training.

    Raises:
        ImageError: The size of an image differs from the annotations, or a file is damaged.
    """
    found = check_images(annotations.image_names, annotations.image_sizes, folder)
    faults = found.size_faults
    if found.damaged:
        faults.append(
            f"{len(found.damaged):,} of {found.of_images} cannot be read"
            f" ({first_names(found.damaged)}). Copy or download them again, or remove them from"
            " the annotations"
        )
    if faults:
        raise ImageError(f"{name}: {'; '.join(faults)}")
    notes = [found.turn_warning]
    if found.checked < found.total:
        notes.append(
            f"the files of only {found.checked:,} of {found.total:,} images were checked;"
            " `pcb doctor CONFIG` checks all"
        )
    return notes


def _checked(step: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the pipeline step, or ``LoadWholeImage`` if the step is ``LoadImageFromFile``."""
    if step.get("type") == LoadImageFromFile.__name__:
        return {**step, "type": LoadWholeImage.__name__}
    return step
