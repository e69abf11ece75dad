"""Properties of the classes of an annotation file: names, ids, frequency groups and counts."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from pcb.messages.printable import display_names, look, printable

# LVIS groups classes by their number of training images: rare up to 10, common up to 100, frequent
# above.
MOST_IMAGES_IF_RARE, MOST_IMAGES_IF_COMMON = 10, 100


class Classes:
    """Names, ids, frequency groups and training counts of the C classes of an annotation file.

    Subclasses define ``categories``, a list of category records sorted by id. The *label* of a
    class is its index in this list, ``0`` to ``C - 1``. The *training counts* of a class are the
    number of its training images and the number of its training instances. LVIS files contain
    frequency groups and training counts, but COCO files do not. If a file contains groups or counts
    for only some categories, reading the file raises an error.
    """

    categories: list[dict]

    @cached_property
    def class_names(self) -> list[str]:
        """Names of the classes for display, in label order.

        :func:`pcb.messages.printable.display_names` makes the names printable, short and distinct.
        """
        return display_names(category["name"] for category in self.categories)

    @cached_property
    def category_ids(self) -> list[int]:
        """Category ids in ascending order. The index of an id is the label of its class."""
        return [category["id"] for category in self.categories]

    @cached_property
    def label_of(self) -> dict[int, int]:
        """A dict from each category id to the label (class index) of its class."""
        return {category_id: label for label, category_id in enumerate(self.category_ids)}

    @property
    def has_groups(self) -> bool:
        """Whether the frequency groups can be read or computed from the annotation file."""
        return self._all_have("frequency") or self.has_counts

    @property
    def has_counts(self) -> bool:
        """Whether the file contains the number of training images of each class."""
        return self._all_have("image_count")

    @cached_property
    def frequency(self) -> list[str]:
        """Frequency group of each class in label order: 'r' (rare), 'c' (common), 'f' (frequent).

        If the file does not contain the groups, they are computed with :func:`group_of`.

        Raises:
            ValueError: The file contains neither frequency groups nor numbers of training images.
        """
        if self._all_have("frequency"):
            return [category["frequency"] for category in self.categories]
        return [group_of(count) for count in self.image_count.tolist()]

    @cached_property
    def image_count(self) -> np.ndarray:
        """Number of *training* images of each class, shape (C,).

        The numbers refer to the training set, even if the file describes the validation set.

        Raises:
            ValueError: The annotation file does not contain these numbers.
        """
        return self._counts("image_count")

    @cached_property
    def instance_count(self) -> np.ndarray:
        """Number of *training* instances of each class, shape (C,).

        Raises:
            ValueError: The annotation file does not contain these numbers.
        """
        return self._counts("instance_count")

    def _all_have(self, key: str) -> bool:
        return all(key in category for category in self.categories)

    def _counts(self, key: str) -> np.ndarray:
        if not self._all_have(key):
            where = getattr(self, "path", "") or "the annotations"
            raise ValueError(
                f"the categories in {where} have no {key!r}. Add this key, with the number of "
                f"training {key.removesuffix('_count')}s, to each category"
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
    """Return the names that several classes share; each name is listed once.

    Names that differ only in spaces or underscores count as equal.

    Example:
        >>> repeated_names(["red_fox", "red fox", "dog"])
        ['red fox']
    """
    counts = Counter(map(look, names))
    return [printable(name) for name, count in counts.items() if count > 1]
