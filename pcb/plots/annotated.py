"""Heatmaps that show the value of each cell as text."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes


def annotated_heatmap(values: np.ndarray, ax: Axes, **look: Any) -> None:
    """Draw a matrix with ``seaborn.heatmap``.

    Args:
        values: (rows, columns) numbers.
        ax: The axes to draw in.
        look: Further arguments of ``seaborn.heatmap``, such as ``annot`` and ``cmap``.
    """
    # Imported here, because seaborn loads scipy.stats: this takes a second, which notebooks without
    # such a figure save.
    import seaborn

    seaborn.heatmap(values, ax=ax, **look)
