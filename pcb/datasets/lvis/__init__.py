"""Read annotation files and detection results in LVIS or COCO format, and check them.

If a file is invalid, an error is raised. The message names the file, the invalid value and the
remedy. Code that uses these readers does not need to check the data again.
"""

from pcb.datasets.lvis.annotations import Annotations, read_annotations
from pcb.datasets.lvis.compact import CompactAnnotations, read_compact_annotations
from pcb.datasets.lvis.compact_results import CompactResults, read_compact_results
from pcb.datasets.lvis.images import image_path, missing_images
from pcb.datasets.lvis.reader import AnnotationError
from pcb.datasets.lvis.results import IOU_TYPES, ResultsError, read_results

__all__ = [
    "IOU_TYPES",
    "AnnotationError",
    "Annotations",
    "CompactAnnotations",
    "CompactResults",
    "ResultsError",
    "image_path",
    "missing_images",
    "read_annotations",
    "read_compact_annotations",
    "read_compact_results",
    "read_results",
]
