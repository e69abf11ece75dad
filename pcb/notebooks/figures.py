"""Choose the layout of a notebook's figures, and save the figures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from pcb import plots
from pcb.runs.folder import RunFolder
from pcb.storage.repository import repository_path

# Parameters that select or train a run; they do not change how figures are drawn.
_OF_A_RUN = ("config", "work_dir", "seed", "trust_checkpoint", "replace", "gpus")


class Figures:
    """The layout of a notebook's figures, and the folder in which they are saved.

    Creating an instance applies the notebook's parameters ``width`` and ``titles`` to all later
    figures; see :func:`pcb.plots.use`. If the folder contains figures that were drawn with other
    settings, a printed line says that these figures will be replaced.

    Args:
        folder: Folder, relative to the repository, such as a run folder. The figures are saved in
            its subfolder ``figures/``.
        notebook: Name of the notebook, without its number.
        settings: The notebook's parameters, from :func:`pcb.notebooks.parameters.check`. Parameters
            that do not change how figures are drawn, such as ``gpus``, are ignored.

    Raises:
        ValueError: The value of ``width`` or ``titles`` is invalid.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> figures = Figures(folder, "dataset", {"width": "column", "titles": False})
        >>> figures.save("tail", plots.class_tail([9, 1], ["f", "r"], ["fox", "wolf"]))
        >>> sorted(os.listdir(f"{folder}/figures"))
        ['dataset_settings.json', 'tail.pdf', 'tail.png']
        >>> _ = plots.use()  # restore the layout for a screen
    """

    def __init__(
        self, folder: str | os.PathLike[str], notebook: str, settings: Mapping[str, Any]
    ) -> None:
        plots.use(settings.get("width"), settings.get("titles", True))
        drawn_with = {key: value for key, value in settings.items() if key not in _OF_A_RUN}
        self.folder = RunFolder(repository_path(folder)).figures_of(notebook, drawn_with)

    def save(self, name: str, drawn: tuple[Figure, Any]) -> None:
        """Save a figure as ``<name>.png`` and ``<name>.pdf``.

        Args:
            name: Name of both files, without a suffix.
            drawn: The figure and its axes, as returned by a function of :mod:`pcb.plots`.
        """
        figure, _ = drawn
        plots.save(figure, self.folder, name)
