"""Read LVIS annotations into flat arrays to save memory in training.

If the 1.27 million instances of LVIS v1 were stored as dicts, there would be over 100 million
Python objects. Forked data-loading workers can share the memory of arrays, but not the memory of
Python objects, because reading a Python object changes its reference count.
"""

import dataclasses
import os
from array import array
from dataclasses import dataclass, field
from itertools import chain

import msgspec
import numpy as np

from pcb.datasets.lvis.boxes import region_warning
from pcb.datasets.lvis.checks import has_short_polygon
from pcb.datasets.lvis.classes import Classes
from pcb.datasets.lvis.images import image_path
from pcb.datasets.lvis.reader import AnnotationReader

_HUNDREDTHS = 100  # LVIS rounds coordinates to two decimals
_PENDING = 200  # polygons to convert per call, so that NumPy's overhead is negligible


@dataclass(frozen=True, eq=False)
class Segmentations:
    """The masks of m instances, stored losslessly in flat arrays.

    ``segmentations[i]`` is the mask of instance i: a list of polygons ``[x1, y1, x2, y2, ...]`` in
    pixels, or a run-length encoding ``{"size": [height, width], "counts": ...}``. There are P
    polygons with M coordinates in total.

    Attributes:
        coordinates: (M,) int32 or float64, coordinates in pixels multiplied by ``scale``.
        scale: Number by which ``coordinates`` must be divided to get pixels.
        polygon_start: (P + 1,) int64, start of each polygon in ``coordinates``, followed by M.
        first_polygon: (m + 1,) int64, index of each instance's first polygon, followed by P. An
            instance with a run-length encoding has no polygons.
        encoded: (B,) uint8, the run-length encodings as B bytes of JSON.
        encoded_start: (m + 1,) int64, start of each instance's bytes in ``encoded``, followed by B.

    Example:
        >>> packer = SegmentationPacker()
        >>> packer.append([[0, 0, 2.25, 0, 2.25, 1.5]])
        >>> packer.append({"size": [4, 6], "counts": "h0"})
        >>> segmentations = packer.pack()
        >>> segmentations[0], segmentations[1]
        ([[0.0, 0.0, 2.25, 0.0, 2.25, 1.5]], {'size': [4, 6], 'counts': 'h0'})
    """

    coordinates: np.ndarray
    scale: int
    polygon_start: np.ndarray
    first_polygon: np.ndarray
    encoded: np.ndarray
    encoded_start: np.ndarray

    def __len__(self) -> int:
        return len(self.first_polygon) - 1

    def __getitem__(self, index: int) -> list[list[float]] | dict:
        start, stop = self.encoded_start[index], self.encoded_start[index + 1]
        if start < stop:
            return msgspec.json.decode(self.encoded[start:stop])
        first, last = self.first_polygon[index], self.first_polygon[index + 1]
        if first == last:
            return []
        start, *ends = self.polygon_start[first : last + 1].tolist()
        # An integer number of hundredths divided by 100 is exactly the float read from the file.
        coordinates = (self.coordinates[start : ends[-1]] / self.scale).tolist()
        return [
            coordinates[begin - start : end - start]
            for begin, end in zip([start, *ends], ends, strict=False)
        ]


class SegmentationPacker:
    """A list of masks that :meth:`pack` converts to flat arrays."""

    def __init__(self) -> None:
        self._scale = _HUNDREDTHS
        self._coordinates = bytearray()  # grows in place; joining arrays would double the memory
        self._encoded = bytearray()
        self._pending: list[list[float]] = []
        self._lengths = array("q", [0])
        self._first_polygon = array("q", [0])
        self._encoded_start = array("q", [0])

    def append(self, segmentation: list[list[float]] | dict) -> None:
        """Add the mask of one instance: polygons or a run-length encoding."""
        if isinstance(segmentation, dict):
            self._encoded += msgspec.json.encode(segmentation)
        else:
            self._pending += segmentation
            self._lengths.extend(map(len, segmentation))
        self._first_polygon.append(len(self._lengths) - 1)
        self._encoded_start.append(len(self._encoded))
        if len(self._pending) >= _PENDING:
            self._convert()

    def pack(self) -> Segmentations:
        """Convert all added masks to arrays; no masks can be added afterwards."""
        self._convert()
        return Segmentations(
            coordinates=np.frombuffer(self._coordinates, self._dtype),
            scale=self._scale,
            polygon_start=np.cumsum(self._lengths),
            first_polygon=np.frombuffer(self._first_polygon, np.int64),
            encoded=np.frombuffer(self._encoded, np.uint8),
            encoded_start=np.frombuffer(self._encoded_start, np.int64),
        )

    @property
    def _dtype(self) -> type[np.number]:
        return np.int32 if self._scale == _HUNDREDTHS else np.float64

    def _convert(self) -> None:
        values = np.fromiter(chain.from_iterable(self._pending), np.float64)
        self._pending.clear()
        if self._scale == _HUNDREDTHS:
            hundredths = np.rint(values * _HUNDREDTHS).astype(np.int32)  # fits, see checks.FARTHEST
            if np.array_equal(hundredths / _HUNDREDTHS, values):
                self._coordinates += memoryview(hundredths).cast("B")
                return
            # Some coordinates have more than two decimals: store all coordinates as floats.
            earlier = np.frombuffer(self._coordinates, np.int32) / _HUNDREDTHS
            self._coordinates = bytearray(memoryview(earlier).cast("B"))
            self._scale = 1
        self._coordinates += memoryview(values).cast("B")


@dataclass(frozen=True, eq=False)
class CompactAnnotations(Classes):
    """Checked annotations of a dataset, stored as arrays.

    The dataset has I images and n instances. The instances of image ``i`` have the indices
    ``first_instance[i]`` to ``first_instance[i + 1] - 1``.

    Attributes:
        path: The file that was read.
        categories: One dict per class, sorted by id.
        image_ids: (I,) int64, id of each image.
        image_sizes: (I, 2) int32, width and height of each image in pixels.
        image_names: (I,) str, path of each image relative to the image folder.
        first_instance: (I + 1,) int64, index of each image's first instance, followed by n.
        labels: (n,) int64, class label of each instance.
        boxes: (n, 4) float64, the box ``[x, y, width, height]`` of each instance in pixels.
        areas: (n,) float64, area of each instance in square pixels.
        mask_rows: (n,) int64, index of each instance's mask in ``segmentations``.
        segmentations: The masks of all instances in the file.
        warnings: Warnings about class names and boxes, as text.
    """

    path: str
    categories: list[dict] = field(repr=False)
    image_ids: np.ndarray = field(repr=False)
    image_sizes: np.ndarray = field(repr=False)
    image_names: np.ndarray = field(repr=False)
    first_instance: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    boxes: np.ndarray = field(repr=False)
    areas: np.ndarray = field(repr=False)
    mask_rows: np.ndarray = field(repr=False)
    segmentations: Segmentations = field(repr=False)
    warnings: tuple[str, ...] = ()

    def instances_of(self, image: int) -> slice:
        """Return a slice that selects an image's instances from ``labels`` or ``boxes``.

        Args:
            image: Index of the image.
        """
        return slice(self.first_instance[image], self.first_instance[image + 1])

    @property
    def has_mask(self) -> np.ndarray:
        """(n,) bool, True for each instance that has a mask."""
        masks = self.segmentations
        has = (np.diff(masks.first_polygon) > 0) | (np.diff(masks.encoded_start) > 0)
        return has[self.mask_rows]

    def masks_of(self, image: int) -> list[list[list[float]] | dict]:
        """Return the masks of an image's instances, each as polygons or as a run-length encoding.

        Args:
            image: Index of the image.
        """
        return [self.segmentations[row] for row in self.mask_rows[self.instances_of(image)]]

    def select(self, keep: np.ndarray) -> "CompactAnnotations":
        """Return a copy of the annotations with all images, but only some of the instances.

        Args:
            keep: (n,) bool, True for each instance to keep.
        """
        kept_before = np.concatenate([[0], np.cumsum(keep)])
        return dataclasses.replace(
            self,
            first_instance=kept_before[self.first_instance],
            labels=self.labels[keep],
            boxes=self.boxes[keep],
            areas=self.areas[keep],
            mask_rows=self.mask_rows[keep],
        )


def read_compact_annotations(
    path: str | os.PathLike,
    image_dir: str | os.PathLike | None = None,
    allow_short_polygons: bool = False,
    crowds: str | None = None,
    may_lack_annotations: bool = False,
) -> CompactAnnotations:
    """Read and check annotations in LVIS or COCO format, and store them in flat arrays.

    The image keys ``neg_category_ids`` and ``not_exhaustive_category_ids`` are not stored, because
    only evaluation needs them.

    Args:
        path: A ``.json`` or ``.json.gz`` file.
        image_dir: Folder that must contain all images listed in the file; None to skip this check.
        allow_short_polygons: Whether to drop polygons with fewer than three points instead of
            raising an error. If all polygons of an instance are dropped, the instance has no mask
            (see ``CompactAnnotations.has_mask``).
        crowds: How to read annotations marked as crowds (``iscrowd``): 'ignore' to leave them out,
            'objects' to read each as one object. If None, crowds are left out, but it is an error
            if they are more than a tenth of the annotations.
        may_lack_annotations: Whether to accept a file without annotations.

    Returns:
        The annotations.

    Raises:
        FileNotFoundError: The file does not exist.
        AnnotationError: The file is invalid, or an image is missing from ``image_dir``.

    Example:
        >>> import json, pathlib, tempfile
        >>> cat = {"id": 3, "name": "cat", "frequency": "r", "image_count": 1, "instance_count": 1}
        >>> image = {"id": 7, "file_name": "7.png", "width": 6, "height": 4}
        >>> image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
        >>> instance = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [0, 0, 2, 2], "area": 2}
        >>> instance["segmentation"] = [[0, 0, 2, 0, 2, 2]]
        >>> content = {"images": [image], "annotations": [instance], "categories": [cat]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "cat.json")
        ...     _ = path.write_text(json.dumps(content))
        ...     annotations = read_compact_annotations(path)
        >>> annotations.labels, annotations.boxes, annotations.masks_of(0)
        (array([0]), array([[0., 0., 2., 2.]]), [[[0.0, 0.0, 2.0, 0.0, 2.0, 2.0]]])
    """
    reader = AnnotationReader(path, crowds, may_lack_annotations)
    images = [
        {key: image[key] for key in ("id", "width", "height")} | {"name": image_path(image)}
        for image in reader.images()
    ]
    names = [image["name"] for image in images]
    index_of = {image["id"]: index for index, image in enumerate(images)}

    packer = SegmentationPacker()
    image_of_instance, labels = array("q"), array("q")
    boxes, areas = array("d"), array("d")
    image_of = {image["id"]: image for image in images}
    for annotation in reader.annotations(image_of, allow_short_polygons):
        image_of_instance.append(index_of[annotation["image_id"]])
        labels.append(reader.label_of[annotation["category_id"]])
        boxes.extend(annotation["bbox"])
        areas.append(annotation["area"])
        segmentation = annotation.get("segmentation", [])
        if allow_short_polygons and has_short_polygon(segmentation):
            segmentation = [polygon for polygon in segmentation if len(polygon) >= 6]
        packer.append(segmentation)
    if image_dir is not None:
        reader.check_images_exist(names, image_dir)
    reader.finish()

    image_index = np.frombuffer(image_of_instance, np.int64)
    image_sizes = np.array([(image["width"], image["height"]) for image in images], np.int32)
    segmentations, flat_boxes = packer.pack(), np.frombuffer(boxes, np.float64).reshape(-1, 4)
    warnings = [
        *reader.warnings(),
        region_warning(flat_boxes, image_sizes[image_index], segmentations.__getitem__),
    ]
    rows = np.argsort(image_index, kind="stable")
    return CompactAnnotations(
        path=reader.path,
        categories=reader.categories,
        image_ids=np.array([image["id"] for image in images], np.int64),
        image_sizes=image_sizes,
        image_names=np.array(names),
        first_instance=np.searchsorted(image_index[rows], np.arange(len(images) + 1)),
        labels=np.frombuffer(labels, np.int64)[rows],
        boxes=flat_boxes[rows],
        areas=np.frombuffer(areas, np.float64)[rows],
        mask_rows=rows,
        segmentations=segmentations,
        warnings=tuple(filter(None, warnings)),
    )
