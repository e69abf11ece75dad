"""Read LVIS annotations and detection results, and generate the dataset OpenMoji-LT."""

from pcb.datasets.lvis import (
    AnnotationError,
    Annotations,
    CompactAnnotations,
    CompactResults,
    ResultsError,
    image_path,
    read_annotations,
    read_compact_annotations,
    read_compact_results,
    read_results,
)

__all__ = [
    "AnnotationError",
    "Annotations",
    "CompactAnnotations",
    "CompactResults",
    "ResultsError",
    "image_path",
    "read_annotations",
    "read_compact_annotations",
    "read_compact_results",
    "read_results",
]
