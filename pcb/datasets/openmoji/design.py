"""Design of an OpenMoji-LT dataset: its classes, look-alike pairs and image counts."""

import json
import os
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from pcb.datasets.lvis.classes import MOST_IMAGES_IF_COMMON, MOST_IMAGES_IF_RARE, group_of
from pcb.datasets.openmoji.icons import Icon, catalogue
from pcb.datasets.openmoji.streams import stream

DESIGN_FILE = "design.json"  # lies in the dataset's folder and describes the dataset

# Roles of the two classes in each kind of look-alike pair. Heads are frequent, tails are rarer.
PAIR_ROLES = {
    "head-tail": ("head", "tail"),
    "head-head": ("head", "head"),
    "tail-tail": ("tail", "tail"),
}


@dataclass(frozen=True)
class Design:
    """The size and the settings of an OpenMoji-LT dataset.

    Args:
        name: "tiny", "mini" or "full".
        pairs: Numbers of head-tail, head-head and tail-tail pairs of look-alike classes.
        singletons: Number of classes without a look-alike.
        train_images: Number of training images.
        largest_load: Maximum number of classes in a training image.
        count_range: Image counts of the most and the least frequent class in the training set;
            None to use the image counts of LVIS v1.
        val_instances: Number of instances of each class in ``val``, the validation set in which
            all classes are equally frequent.
        val_load: Number of instances in each image of ``val``.
        val_prior_images: Number of images in ``val_prior``, the validation set with the class
            frequencies of the training set.
        rare_at_most: Maximum number of training images of a rare class.
        common_at_most: Maximum number of training images of a common class.
        image_size: Side of the square images, in pixels.
        instance_size: Range of the longer side of an instance before its rotation, in pixels.
        exhaustive: Whether ``neg_category_ids`` lists every class that is absent from an image. If
            False, ``neg_category_ids`` lists only some of the absent classes.
        icon_set: Name of the icon set from which classes are chosen, "mini" or "full".
    """

    name: str
    pairs: tuple[int, int, int]
    singletons: int
    train_images: int
    largest_load: int
    count_range: tuple[int, int] | None
    val_instances: int
    val_load: int
    val_prior_images: int
    rare_at_most: int = MOST_IMAGES_IF_RARE
    common_at_most: int = MOST_IMAGES_IF_COMMON
    image_size: int = 128
    instance_size: tuple[int, int] = (30, 64)
    exhaustive: bool = True
    icon_set: str = "mini"

    @property
    def num_classes(self) -> int:
        """Number of classes: two for each pair, plus the classes without a look-alike."""
        return 2 * sum(self.pairs) + self.singletons

    def frequency(self, image_count: int) -> str:
        """Return the frequency group of a class with ``image_count`` training images.

        The groups are "r" (rare), "c" (common) and "f" (frequent).

        Example:
            >>> [DESIGNS["mini"].frequency(count) for count in (10, 11, 100, 101)]
            ['r', 'c', 'c', 'f']
        """
        return group_of(image_count, self.rare_at_most, self.common_at_most)


DESIGNS = {
    design.name: design
    for design in (
        # For tests and a first look. With so few images no class would be frequent by the limits
        # of LVIS, so this design has its own limits.
        Design(
            name="tiny",
            pairs=(1, 1, 1),
            singletons=2,
            train_images=24,
            largest_load=6,
            count_range=(18, 2),
            val_instances=12,
            val_load=8,
            val_prior_images=8,
            rare_at_most=3,
            common_at_most=9,
        ),
        Design(
            name="mini",
            pairs=(10, 3, 3),
            singletons=8,
            train_images=640,
            largest_load=8,
            count_range=(560, 3),
            val_instances=100,
            val_load=10,
            val_prior_images=200,
        ),
        Design(
            name="full",
            pairs=(126, 37, 37),
            singletons=803,
            train_images=9600,
            largest_load=14,
            count_range=None,
            val_instances=20,
            val_load=16,
            val_prior_images=1000,
            image_size=256,
            instance_size=(30, 72),
            exhaustive=False,
            icon_set="full",
        ),
    )
}


@dataclass(frozen=True)
class EmojiClass:
    """A class of an OpenMoji-LT dataset.

    Args:
        icon: Icon of the class.
        image_count: Number of training images that show the class.
        role: "head" or "tail" for a class of a pair, "singleton" for a class without a look-alike.
        pair: Index of the pair that contains the class; None for a class without a look-alike.
    """

    icon: Icon
    image_count: int
    role: str
    pair: int | None


@dataclass(frozen=True)
class Pair:
    """Two classes that look alike.

    Args:
        head: Label of the more frequent class.
        tail: Label of the less frequent class.
        kind: "head-tail", "head-head" or "tail-tail".
        similarity: Similarity of the two icons, in [0, 1] (see ``tools.openmoji.similarity``).
    """

    head: int
    tail: int
    kind: str
    similarity: float


def image_counts(design: Design) -> np.ndarray:
    """Return the number of training images of each class, in descending order.

    If the design has a ``count_range``, the counts decrease geometrically. Otherwise, they are the
    image counts of LVIS v1, except that counts above 100 are reduced. The reduced counts are still
    above 100, so each class keeps its frequency group.

    Returns:
        (C,) int64, one count per class.

    Example:
        >>> image_counts(DESIGNS["tiny"])
        array([18, 13, 10,  7,  5,  4,  3,  2])
    """
    if design.count_range:
        largest, smallest = design.count_range
        rank = np.arange(design.num_classes) / (design.num_classes - 1)
        return np.rint(largest * (smallest / largest) ** rank).astype(np.int64)
    counts = np.array(_lvis_image_counts())
    thinned = np.maximum(np.rint(100 * (counts / 100) ** 0.3), design.common_at_most + 1)
    return np.where(counts > design.common_at_most, thinned, counts).astype(np.int64)


def draw_classes(design: Design, seed: int) -> tuple[list[EmojiClass], list[Pair]]:
    """Choose the classes of a dataset at random, and assign a frequency to each class.

    Singletons (classes without a look-alike) are spread evenly from the most to the least frequent
    class. Of the other classes, the more frequent half are heads, and the rest are tails.
    All head-tail pairs have a similar difference in frequency rank.

    Args:
        design: Size and settings of the dataset.
        seed: Seed for the random choices.

    Returns:
        classes: The classes in label order. They are sorted by name, so that a label does not
            reveal the frequency of its class.
        pairs: The pairs of look-alikes.

    Example:
        >>> classes, pairs = draw_classes(DESIGNS["mini"], seed=0)
        >>> len(classes), len(pairs), [pair.kind for pair in pairs].count("head-tail")
        (40, 16, 10)
    """
    rng = stream(seed, "classes")
    icons = catalogue()[design.icon_set]
    paired = rng.permutation(len(icons["pairs"]))[: sum(design.pairs)]
    single = rng.permutation(len(icons["singletons"]))[: design.singletons]
    pair_ranks, single_ranks = _draw_ranks(design, rng)

    drawn: list[tuple[str, int, str, int | None]] = []  # code, rank, role and pair of each class
    for index, (chosen, (ranks, kind)) in enumerate(zip(paired, pair_ranks, strict=True)):
        codes = rng.permutation(icons["pairs"][chosen]["icons"]).tolist()
        for code, rank, role in zip(codes, ranks, PAIR_ROLES[kind], strict=True):
            drawn.append((code, rank, role, index))
    for chosen, rank in zip(single, single_ranks, strict=True):
        drawn.append((icons["singletons"][chosen], rank, "singleton", None))

    names, counts = catalogue()["names"], image_counts(design)
    drawn.sort(key=lambda entry: names[entry[0]])
    label = {rank: y for y, (_, rank, _, _) in enumerate(drawn)}
    classes = [
        EmojiClass(Icon(code, names[code]), int(counts[rank]), role, pair)
        for code, rank, role, pair in drawn
    ]
    pairs = [
        Pair(label[head], label[tail], kind, icons["pairs"][chosen]["similarity"])
        for chosen, ((head, tail), kind) in zip(paired, pair_ranks, strict=True)
    ]
    return classes, pairs


def read_design(folder: str | os.PathLike) -> dict[str, Any]:
    """Read the description of an OpenMoji-LT dataset from its ``design.json``.

    Args:
        folder: Folder of the dataset.

    Returns:
        A dict with these keys:

        - ``size``, ``seed``: The arguments that were used to make the dataset.
        - ``version``, ``openmoji``: The versions of the dataset's content and of OpenMoji.
        - ``classes``: One dict per class, in label order. The keys are ``name``, ``icon``
          (OpenMoji code), ``role``, ``pair`` (index in ``pairs``, or None), ``frequency``,
          ``image_count`` and ``instance_count``.
        - ``pairs``: One dict per pair of look-alikes; the keys are the attributes of ``Pair``.
        - ``renderings``: A dict with two lists of style names, ``train`` and ``validation_only``.

    Raises:
        FileNotFoundError: The folder does not contain an OpenMoji-LT dataset.
    """
    path = Path(folder) / DESIGN_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: make the dataset with `pcb openmoji {folder}`"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def _draw_ranks(
    design: Design, rng: np.random.Generator
) -> tuple[list[tuple[tuple[int, int], str]], list[int]]:
    """Choose the frequency rank of each class; the most frequent class has rank 0.

    Returns:
        Two lists: ``((rank, rank), kind)`` for each pair of look-alikes, and the rank of each class
        without a look-alike.
    """
    edges = np.linspace(0, design.num_classes, design.singletons + 1)
    single = ((edges[:-1] + edges[1:]) / 2).astype(int)
    paired = np.setdiff1d(np.arange(design.num_classes), single)
    half = len(paired) // 2
    heads, tails = rng.permutation(paired[:half]), rng.permutation(paired[half:])
    split = design.pairs[0]
    by_kind = {
        "head-tail": np.stack([np.sort(heads[:split]), np.sort(tails[:split])], axis=1),
        "head-head": np.sort(heads[split:].reshape(-1, 2)),
        "tail-tail": np.sort(tails[split:].reshape(-1, 2)),
    }
    ranks = [(tuple(pair), kind) for kind, rows in by_kind.items() for pair in rows.tolist()]
    return ranks, single.tolist()


@cache
def _lvis_image_counts() -> list[int]:
    """Return the number of training images of each LVIS v1 class, in descending order."""
    file = resources.files("pcb.datasets.openmoji") / "lvis_v1_image_counts.json"
    return json.loads(file.read_text(encoding="utf-8"))["image_counts"]
