"""LVIS on disk: annotation files and detection results, read and checked on entry.

Everything behind these readers may rely on what they promise, so a wrong file ends here, with
a message that names the file, the value and the way out, and not in a library's `KeyError`.
"""

from pcb.datasets.lvis.annotations import Annotations, read_annotations
from pcb.datasets.lvis.compact import CompactAnnotations, read_compact_annotations
from pcb.datasets.lvis.compact_results import CompactResults, read_compact_results
from pcb.datasets.lvis.reader import AnnotationError, image_path, missing_images
from pcb.datasets.lvis.results import ResultsError, read_results

__all__ = [
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
