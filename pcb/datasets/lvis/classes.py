"""The classes of an annotation file: names, ids, groups and training counts."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from pcb.messages.printable import display_names, look, printable

# LVIS groups classes by their training images: rare up to 10, common up to 100, frequent above.
MOST_IMAGES_IF_RARE, MOST_IMAGES_IF_COMMON = 10, 100


class Classes:
    """Names, ids and training counts of C classes, for subclasses that have ``categories``.

    A *label* is the index of a class, ``0`` to ``C - 1``, in ``categories``, which are sorted by
    id. LVIS files contain groups and counts, COCO files do not. The reader ensures that either all
    categories have them or none.
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
        """Id of each class, in label order, which is ascending."""
        return [category["id"] for category in self.categories]

    @cached_property
    def label_of(self) -> dict[int, int]:
        """Label of each category id."""
        return {category_id: label for label, category_id in enumerate(self.category_ids)}

    @property
    def has_groups(self) -> bool:
        """Whether the file gives the groups of the classes, directly or by training counts."""
        return self._all_have("frequency") or self.has_counts

    @property
    def has_counts(self) -> bool:
        """Whether the categories have training counts."""
        return self._all_have("image_count")

    @cached_property
    def frequency(self) -> list[str]:
        """Group of each class in label order: 'r' (rare), 'c' (common) or 'f' (frequent).

        If the file has no groups, they follow from its training counts as in LVIS.

        Raises:
            ValueError: The file has neither; see ``has_groups``.
        """
        if self._all_have("frequency"):
            return [category["frequency"] for category in self.categories]
        return [group_of(count) for count in self.image_count.tolist()]

    @cached_property
    def image_count(self) -> np.ndarray:
        """Number of *training* images of each class, shape (C,).

        Every LVIS file has the training counts in its categories, the validation files included.

        Raises:
            ValueError: The categories do not have them; see ``has_counts``.
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
                " frequency groups; add them as in the LVIS format"
            )
        return np.array([category[key] for category in self.categories])


def group_of(
    image_count: int, rare: int = MOST_IMAGES_IF_RARE, common: int = MOST_IMAGES_IF_COMMON
) -> str:
    """Return the frequency group of a class.

    Args:
        image_count: Number of training images of the class.
        rare: Largest count of a rare class; LVIS's by default.
        common: Largest count of a common class; LVIS's by default.

    Example:
        >>> [group_of(count) for count in (10, 11, 100, 101)]
        ['r', 'c', 'c', 'f']
    """
    if image_count <= rare:
        return "r"
    return "c" if image_count <= common else "f"


def repeated_names(names: Sequence[str]) -> list[str]:
    """Return each name that several classes have, once, in printable form.

    Example:
        >>> repeated_names(["red_fox", "red fox", "dog"])
        ['red fox']
    """
    counts = Counter(map(look, names))
    return [printable(name) for name, count in counts.items() if count > 1]
