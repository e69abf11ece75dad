"""Save figures as PNG and PDF."""

import os
from pathlib import Path

from matplotlib.figure import Figure

from pcb.plots.layout import is_for_print
from pcb.plots.style import settings
from pcb.storage.files import open_atomically


def save(figure: Figure, folder: str | os.PathLike, name: str, dpi: int | None = None) -> Path:
    """Write a figure to ``folder/name.png`` and ``folder/name.pdf``.

    Missing folders are created. If an error occurs, neither file is created or changed. Saving the
    same figure again produces identical files. Text in the PDF can be edited.

    Args:
        figure: Figure to save.
        folder: Folder for both files.
        name: Name of both files, without a suffix.
        dpi: Resolution of the PNG in dots per inch. The default is 150, or 300 if
            :func:`pcb.plots.use` has chosen a layout for a paper.

    Returns:
        The path of the PNG file.

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
    # Each file gets its final name only after both have been written.
    with open_atomically(png) as raster, open_atomically(pdf) as vector:
        figure.savefig(raster, format="png", dpi=dpi, metadata={"Software": None})
        with settings({"pdf.fonttype": 42}):  # TrueType fonts, so that the text can be edited
            figure.savefig(vector, format="pdf", dpi=dpi, metadata=undated)
    return png
