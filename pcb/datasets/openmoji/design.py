"""What an OpenMoji-LT holds: its classes, their look-alikes and how often each of them occurs."""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from pcb.datasets.openmoji.icons import Icon, catalogue
from pcb.datasets.openmoji.streams import stream

# Roles of the two members of a pair, by kind.
PAIR_ROLES = {
    "head-tail": ("head", "tail"),
    "head-head": ("head", "head"),
    "tail-tail": ("tail", "tail"),
}


@dataclass(frozen=True)
class Design:
    """The sizes of a dataset.

    Args:
        name: "tiny", "mini" or "full".
        pairs: Number of look-alike pairs of each kind, in the order of ``PAIR_ROLES``.
        singletons: Number of classes without a look-alike.
        train_images: Number of training images.
        largest_load: Most classes in a training image.
        count_range: Image counts of the most and of the least frequent class; None for the image
            counts of LVIS v1.
        val_instances: Instances of each class in the flat validation set.
        val_load: Instances in an image of the flat validation set.
        val_prior_images: Images of the validation set with the training prior.
        rare_at_most: Largest image count of a rare class.
        common_at_most: Largest image count of a common class.
        image_size: Side of the square images in pixels.
        instance_size: Smallest and largest side of an instance in pixels, before its rotation.
        exhaustive: Every class is annotated in every image; if not, ``neg_category_ids`` name only
            the look-alikes of the classes in an image and a few others, as in LVIS.
        icon_set: "mini" or "full", which icons of ``icons.json`` to draw from.
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
    rare_at_most: int = 10
    common_at_most: int = 100
    image_size: int = 128
    instance_size: tuple[int, int] = (30, 64)
    exhaustive: bool = True
    icon_set: str = "mini"

    @property
    def num_classes(self) -> int:
        """Number of classes: two for each pair and one for each singleton."""
        return 2 * sum(self.pairs) + self.singletons

    def frequency(self, image_count: int) -> str:
        """LVIS's group of a class with this many training images: "r", "c" or "f".

        Example:
            >>> [DESIGNS["mini"].frequency(count) for count in (10, 11, 100, 101)]
            ['r', 'c', 'c', 'f']
        """
        if image_count <= self.rare_at_most:
            return "r"
        return "c" if image_count <= self.common_at_most else "f"


DESIGNS = {
    design.name: design
    for design in (
        # For tests and first looks. None of its classes could have more than 100 images, so the
        # groups have limits of their own.
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
        icon: What it looks like.
        image_count: Number of training images that show it.
        role: "head", "tail" or "singleton".
        pair: Index of its pair, None for a singleton.
    """

    icon: Icon
    image_count: int
    role: str
    pair: int | None


@dataclass(frozen=True)
class Pair:
    """Two look-alikes.

    Args:
        head: Label of the more frequent one.
        tail: Label of the other.
        kind: "head-tail", "head-head" or "tail-tail".
        similarity: How alike their icons are, in [0, 1] (``choose.similarity``).
    """

    head: int
    tail: int
    kind: str
    similarity: float


def image_counts(design: Design) -> np.ndarray:
    """Return the number of training images of each class, in descending order.

    With a ``count_range`` they follow a power law: between the two ends, the number of classes
    with ``n`` images falls as ``1/n``, which is close to the profile of LVIS. Without, they are the
    counts of LVIS v1, thinned above 100 to ``100 (n/100)^0.3`` so that some thousand images suffice
    and unchanged below, so that every class stays in its group.

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
    """Decide with the seed which icon is head and which is tail.

    The icons of a design are fixed. Drawn are the kind of each pair, which of its members is the
    more frequent, and all image counts, so that the difficulty of an icon and its frequency are
    not one thing. Singletons take every so-many-th rank of the counts and thus cover head and tail
    alike; of the other ranks the upper half are heads and the lower half tails. Head-tail pairs
    join heads and tails of matching rank, which makes all of them about equally unbalanced.

    Returns:
        The classes by label, sorted by name so that a label says nothing of the frequency; and the
        pairs.

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


def _draw_ranks(
    design: Design, rng: np.random.Generator
) -> tuple[list[tuple[tuple[int, int], str]], list[int]]:
    """Deal the ranks of the image counts: two and a kind to each pair, one to each singleton."""
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
    """Training images of the 1203 categories of LVIS v1, in descending order."""
    file = resources.files("pcb.datasets.openmoji") / "lvis_v1_image_counts.json"
    return json.loads(file.read_text(encoding="utf-8"))["image_counts"]
