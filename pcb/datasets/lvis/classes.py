"""The classes of an annotation file: names, ids, frequency groups and training counts."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from pcb.messages.printable import display_names, look, printable

# LVIS groups classes by their number of training images: rare up to 10, common up to 100, frequent
# above.
MOST_IMAGES_IF_RARE, MOST_IMAGES_IF_COMMON = 10, 100


class Classes:
    """Names, ids, frequency groups and training counts of C classes.

    Subclasses define ``categories``, a list of category records sorted by id. The *label* of a
    class is its index in this list, ``0`` to ``C - 1``. LVIS files contain frequency groups and
    training counts, COCO files do not. The reader ensures that either all categories of a file have
    them, or no category has them.
    """

    categories: list[dict]

    @cached_property
    def class_names(self) -> list[str]:
        """Display name of each class, in label order.

        See :func:`pcb.messages.printable.display_names`.
        """
        return display_names(category["name"] for category in self.categories)

    @cached_property
    def category_ids(self) -> list[int]:
        """Id of each class, in label order; the ids are ascending."""
        return [category["id"] for category in self.categories]

    @cached_property
    def label_of(self) -> dict[int, int]:
        """A dict from the id of each category to the label of its class."""
        return {category_id: label for label, category_id in enumerate(self.category_ids)}

    @property
    def has_groups(self) -> bool:
        """Whether the file contains each class's frequency group or number of training images."""
        return self._all_have("frequency") or self.has_counts

    @property
    def has_counts(self) -> bool:
        """Whether the categories have numbers of training images."""
        return self._all_have("image_count")

    @cached_property
    def frequency(self) -> list[str]:
        """Frequency group of each class in label order: 'r' (rare), 'c' (common), 'f' (frequent).

        If the file does not contain groups, the numbers of training images determine them, as in
        LVIS.

        Raises:
            ValueError: The file contains neither groups nor training counts; see ``has_groups``.
        """
        if self._all_have("frequency"):
            return [category["frequency"] for category in self.categories]
        return [group_of(count) for count in self.image_count.tolist()]

    @cached_property
    def image_count(self) -> np.ndarray:
        """Number of *training* images of each class, shape (C,).

        The categories of every LVIS file, including validation files, contain the training counts.

        Raises:
            ValueError: The categories have no training counts; see ``has_counts``.
        """
        return self._counts("image_count")

    @cached_property
    def instance_count(self) -> np.ndarray:
        """Number of *training* instances of each class, shape (C,); see ``image_count``."""
        return self._counts("instance_count")

    def _all_have(self, key: str) -> bool:
        return all(key in category for category in self.categories)

    def _counts(self, key: str) -> np.ndarray:
        if not self._all_have(key):
            where = getattr(self, "path", "") or "the annotations"
            raise ValueError(
                f"{where}: the categories have no {key!r}, the training counts that determine the"
                " frequency groups: add these counts as in the LVIS format"
            )
        return np.array([category[key] for category in self.categories])


def group_of(
    image_count: int, rare: int = MOST_IMAGES_IF_RARE, common: int = MOST_IMAGES_IF_COMMON
) -> str:
    """Return the frequency group of a class: 'r' (rare), 'c' (common) or 'f' (frequent).

    Args:
        image_count: Number of training images of the class.
        rare: Maximum number of training images of a rare class, by default 10 as in LVIS.
        common: Maximum number of training images of a common class, by default 100 as in LVIS.

    Example:
        >>> [group_of(count) for count in (10, 11, 100, 101)]
        ['r', 'c', 'c', 'f']
    """
    if image_count <= rare:
        return "r"
    return "c" if image_count <= common else "f"


def repeated_names(names: Sequence[str]) -> list[str]:
    """Return the names that are shared by several classes.

    Each name is listed once, in the form in which it is displayed.

    Example:
        >>> repeated_names(["red_fox", "red fox", "dog"])
        ['red fox']
    """
    counts = Counter(map(look, names))
    return [printable(name) for name, count in counts.items() if count > 1]
