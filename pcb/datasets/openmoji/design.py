"""Design of an OpenMoji-LT: its classes, their look-alikes, and how often each class occurs."""

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

DESIGN_FILE = "design.json"  # describes the dataset in whose folder it lies

# Roles of the two members of a pair, for each kind.
PAIR_ROLES = {
    "head-tail": ("head", "tail"),
    "head-head": ("head", "head"),
    "tail-tail": ("tail", "tail"),
}


@dataclass(frozen=True)
class Design:
    """The size of a dataset.

    Args:
        name: "tiny", "mini" or "full".
        pairs: Number of look-alike pairs of each kind, in the order of ``PAIR_ROLES``.
        singletons: Number of classes without a look-alike.
        train_images: Number of training images.
        largest_load: Largest number of classes in a training image.
        count_range: Image counts of the most and of the least frequent class; None for the image
            counts of LVIS v1.
        val_instances: Number of instances of each class in the flat validation set.
        val_load: Number of instances in an image of the flat validation set.
        val_prior_images: Number of images in the validation set with the training prior.
        rare_at_most: Largest image count of a rare class.
        common_at_most: Largest image count of a common class.
        image_size: Side of the square images, in pixels.
        instance_size: Smallest and largest side of an instance before its rotation, in pixels.
        exhaustive: Whether every class is annotated in every image. If not, ``neg_category_ids``
            list only the look-alikes of the classes in an image and a few others, as in LVIS.
        icon_set: Icons of ``icons.json`` to draw from, "mini" or "full".
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
        """Number of classes: two for each pair and one for each singleton."""
        return 2 * sum(self.pairs) + self.singletons

    def frequency(self, image_count: int) -> str:
        """Return the frequency group of a class with this many training images: "r", "c" or "f".

        Example:
            >>> [DESIGNS["mini"].frequency(count) for count in (10, 11, 100, 101)]
            ['r', 'c', 'c', 'f']
        """
        return group_of(image_count, self.rare_at_most, self.common_at_most)


DESIGNS = {
    design.name: design
    for design in (
        # For tests and a first look. With so few images no class could be frequent by LVIS's
        # limits, so it has its own.
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
    """A class of the dataset.

    Args:
        icon: Its icon.
        image_count: Number of training images that show the class.
        role: "head", "tail" or "singleton".
        pair: Index of its pair; None for a singleton.
    """

    icon: Icon
    image_count: int
    role: str
    pair: int | None


@dataclass(frozen=True)
class Pair:
    """Two look-alikes.

    Args:
        head: Label of the more frequent class.
        tail: Label of the other class.
        kind: "head-tail", "head-head" or "tail-tail".
        similarity: Similarity of their icons, in [0, 1] (``tools.openmoji.similarity``).
    """

    head: int
    tail: int
    kind: str
    similarity: float


def image_counts(design: Design) -> np.ndarray:
    """Return the number of training images of each class, in descending order.

    With a ``count_range`` they follow a power law: the number of classes with ``n`` images falls as
    ``1 / n``, which is close to the profile of LVIS. Without it, they are the counts of LVIS v1.
    Counts up to 100 are unchanged. Larger ones are reduced to ``100 (n / 100)^0.3``, so that a few
    thousand images suffice, but stay above 100. Every class thus stays in its group.

    Returns:
        (C,) int64.

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
    """Draw which icons are heads and which are tails.

    The icons of a design are fixed. The seed determines the kind of each pair, which of its members
    is more frequent, and all image counts. How hard an icon is and how often it occurs are
    therefore independent. Singletons take ranks of the counts at equal distances, so they cover
    head and tail. Of the other ranks, the upper half are heads and the lower half are tails.
    Head-tail pairs join heads and tails of matching rank, so all of them are about equally
    unbalanced.

    Args:
        design: Size of the dataset.
        seed: Seed of the draw.

    Returns:
        classes: The classes by label. They are sorted by name, so a label does not reveal the
            frequency.
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
    """Read the description of an OpenMoji-LT.

    Args:
        folder: Folder of the dataset.

    Returns:
        ``size``, ``seed``, ``version`` and ``openmoji`` (the release of the icons). ``classes``:
        for each label its ``name``, ``icon`` (code), ``role`` ("head", "tail" or "singleton"),
        ``pair`` (index into ``pairs``, None for a singleton), ``frequency``, ``image_count`` and
        ``instance_count``. ``pairs``: for each pair of look-alikes the labels ``head`` (the more
        frequent class) and ``tail``, its ``kind`` ("head-tail", "head-head" or "tail-tail") and its
        ``similarity``. ``renderings``: names of those in ``train`` and of those that are
        ``validation_only``.

    Raises:
        FileNotFoundError: The folder does not hold an OpenMoji-LT.
    """
    path = Path(folder) / DESIGN_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; make the dataset with `pcb openmoji {folder}`"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def _draw_ranks(
    design: Design, rng: np.random.Generator
) -> tuple[list[tuple[tuple[int, int], str]], list[int]]:
    """Assign the ranks of the image counts: two and a kind to each pair, one to each singleton."""
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
    """Return the training images of the 1203 categories of LVIS v1, in descending order."""
    file = resources.files("pcb.datasets.openmoji") / "lvis_v1_image_counts.json"
    return json.loads(file.read_text(encoding="utf-8"))["image_counts"]
