"""Saving a figure as PNG and PDF."""

import os
from pathlib import Path

from matplotlib.figure import Figure

from pcb.plots.layout import is_for_print
from pcb.plots.style import settings
from pcb.storage.files import open_atomically


def save(figure: Figure, folder: str | os.PathLike, name: str, dpi: int | None = None) -> Path:
    """Write a figure to ``folder/name.png`` and ``folder/name.pdf``.

    Missing folders are created. Either both files appear, complete, or neither. The same figure
    gives the same bytes, because the files hold no date and no version. Text in the PDF stays text.

    Args:
        figure: the figure.
        folder: folder of the two files.
        name: name of both files, without a suffix.
        dpi: resolution of the PNG; default: 150, or 300 for print, see :func:`pcb.plots.use`.

    Returns:
        The path of the PNG.

    Example:
        >>> import tempfile
        >>> import matplotlib.pyplot as plt
        >>> figure, axes = plt.subplots()
        >>> path = save(figure, tempfile.mkdtemp(), "empty")
        >>> path.name, path.with_suffix(".pdf").exists()
        ('empty.png', True)
        >>> plt.close(figure)
    """
    dpi = dpi or (300 if is_for_print() else 150)
    png, pdf = (Path(folder) / f"{name}.{suffix}" for suffix in ("png", "pdf"))
    undated = {"CreationDate": None, "Creator": None, "Producer": None}
    # The files get their final names only when both are complete.
    with open_atomically(png) as raster, open_atomically(pdf) as vector:
        figure.savefig(raster, format="png", dpi=dpi, metadata={"Software": None})
        with settings({"pdf.fonttype": 42}):  # TrueType: text that editors can change
            figure.savefig(vector, format="pdf", dpi=dpi, metadata=undated)
    return png
