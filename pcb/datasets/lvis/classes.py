"""What the categories of an annotation file say of its classes."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from pcb.messages.printable import display_names, look, printable

# LVIS's groups by training images: rare up to 10, common up to 100, frequent above.
MOST_IMAGES_IF_RARE, MOST_IMAGES_IF_COMMON = 10, 100


class Classes:
    """Names, ids and training counts of C classes, for a class that has their `categories`.

    A *label* is the index of a class, `0..C-1`: its place in `categories`, which are sorted by id.
    Groups and counts are stated by LVIS, not by COCO; the reader checks that either all categories
    state them or none.
    """

    categories: list[dict]

    @cached_property
    def class_names(self) -> list[str]:
        """A name to show for each class, in label order; see
        :func:`pcb.messages.printable.display_names`.
        """
        return display_names(category["name"] for category in self.categories)

    @cached_property
    def category_ids(self) -> list[int]:
        """Id of each class, in label order, hence ascending."""
        return [category["id"] for category in self.categories]

    @cached_property
    def label_of(self) -> dict[int, int]:
        """Label of each category id."""
        return {category_id: label for label, category_id in enumerate(self.category_ids)}

    @property
    def has_groups(self) -> bool:
        """Whether the groups of the classes are known: stated, or following from their counts."""
        return self._all_state("frequency") or self.has_counts

    @property
    def has_counts(self) -> bool:
        """Whether the categories state training counts."""
        return self._all_state("image_count")

    @cached_property
    def frequency(self) -> list[str]:
        """Group of each class in label order: 'r' (rare), 'c' (common) or 'f' (frequent).

        Where a file states none, they follow from its training counts as in LVIS.

        Raises:
            ValueError: The groups are not known, see `has_groups`.
        """
        if self._all_state("frequency"):
            return [category["frequency"] for category in self.categories]
        return [group_of(count) for count in self.image_count.tolist()]

    @cached_property
    def image_count(self) -> np.ndarray:
        """Number of *training* images of each class, shape (C,).

        LVIS states the training counts in the categories of every file, validation included.

        Raises:
            ValueError: The categories do not state them, see `has_counts`.
        """
        return self._counts("image_count")

    @cached_property
    def instance_count(self) -> np.ndarray:
        """Number of *training* instances of each class, shape (C,); see `image_count`."""
        return self._counts("instance_count")

    def _all_state(self, key: str) -> bool:
        return all(key in category for category in self.categories)

    def _counts(self, key: str) -> np.ndarray:
        if not self._all_state(key):
            where = getattr(self, "path", "") or "the annotations"
            raise ValueError(
                f"{where}: the categories state no {key!r}, the training counts that frequency"
                " groups follow from; add them, or annotate with LVIS's keys"
            )
        return np.array([category[key] for category in self.categories])


def group_of(image_count: int) -> str:
    """Frequency group of a class with so many training images, by LVIS's limits.

    Example:
        >>> [group_of(count) for count in (10, 11, 100, 101)]
        ['r', 'c', 'c', 'f']
    """
    if image_count <= MOST_IMAGES_IF_RARE:
        return "r"
    return "c" if image_count <= MOST_IMAGES_IF_COMMON else "f"


def shared_names(names: Sequence[str]) -> list[str]:
    """The names that several classes have, each once, printable.

    Example:
        >>> shared_names(["red_fox", "red fox", "dog"])
        ['red fox']
    """
    counts = Counter(map(look, names))
    return [printable(name) for name, count in counts.items() if count > 1]
