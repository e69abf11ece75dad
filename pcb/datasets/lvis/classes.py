"""What the categories of an annotation file say of its classes."""

from functools import cached_property

import numpy as np


class Classes:
    """Names, ids and training counts of C classes, for a class that has their `categories`.

    A *label* is the index of a class, `0..C-1`: its place in `categories`, which are sorted by id.
    """

    categories: list[dict]

    @cached_property
    def class_names(self) -> list[str]:
        """Name of each class, in label order."""
        return [category["name"] for category in self.categories]

    @cached_property
    def category_ids(self) -> list[int]:
        """Id of each class, in label order, hence ascending."""
        return [category["id"] for category in self.categories]

    @cached_property
    def label_of(self) -> dict[int, int]:
        """Label of each category id."""
        return {category_id: label for label, category_id in enumerate(self.category_ids)}

    @cached_property
    def frequency(self) -> list[str]:
        """Group of each class in label order: 'r' (rare), 'c' (common) or 'f' (frequent)."""
        return [category["frequency"] for category in self.categories]

    @cached_property
    def image_count(self) -> np.ndarray:
        """Number of *training* images of each class, shape (C,).

        LVIS states the training counts in the categories of every file, validation included.
        """
        return np.array([category["image_count"] for category in self.categories])

    @cached_property
    def instance_count(self) -> np.ndarray:
        """Number of *training* instances of each class, shape (C,); see `image_count`."""
        return np.array([category["instance_count"] for category in self.categories])
