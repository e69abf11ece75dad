"""The figures of one notebook: laid out as its parameters ask, and saved where they belong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from pcb import plots
from pcb.runs.folder import RunFolder
from pcb.storage.repository import repository_path

# Parameters that choose the run, or how it is trained, but not how a figure is drawn.
_OF_A_RUN = ("config", "work_dir", "seed", "trust_checkpoint", "replace", "gpus")


class Figures:
    """Lays out the figures of a notebook, and saves each one in one call.

    From here on, figures are drawn with the notebook's ``width`` and ``titles``; see
    :func:`pcb.plots.use`. If the folder holds figures that were drawn with other settings, one line
    reports that they are about to be replaced.

    Args:
        folder: its ``figures/`` receives the figures: a run folder, or any other one; relative to
            the repository.
        notebook: name of the notebook, without its number.
        settings: the notebook's parameters, from :func:`pcb.notebooks.parameters.check`. Those that
            only choose the run are left out of the comparison with earlier settings.

    Raises:
        ValueError: ``width`` or ``titles`` is not allowed.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> figures = Figures(folder, "dataset", {"width": "column", "titles": False})
        >>> figures.save("tail", plots.class_tail([9, 1], ["f", "r"], ["fox", "wolf"]))
        >>> sorted(os.listdir(f"{folder}/figures"))
        ['dataset_settings.json', 'tail.pdf', 'tail.png']
        >>> _ = plots.use()  # as for a screen again
    """

    def __init__(
        self, folder: str | os.PathLike[str], notebook: str, settings: Mapping[str, Any]
    ) -> None:
        plots.use(settings.get("width"), settings.get("titles", True))
        drawn_with = {key: value for key, value in settings.items() if key not in _OF_A_RUN}
        self.folder = RunFolder(repository_path(folder)).figures_of(notebook, drawn_with)

    def save(self, name: str, drawn: tuple[Figure, Any]) -> None:
        """Save a figure as ``name.png`` and ``name.pdf``; the notebook shows it below the cell.

        Args:
            name: of both files, without their endings.
            drawn: what a function of :mod:`pcb.plots` returns: the figure and its axes.
        """
        figure, _ = drawn
        plots.save(figure, self.folder, name)
