"""Derive the settings of a training from its dataset and its schedule."""

import math
from dataclasses import dataclass

import numpy as np

from pcb.confusion import PUBLISHED_MOMENTUM, scaled_momentum
from pcb.datasets.lvis import Annotations
from pcb.datasets.lvis.classes import MOST_IMAGES_IF_COMMON

ITERATIONS = 3  # of PCB's refinement; each calls the loss once
_SMALL = 320  # pixels; larger images are treated as photographs
_LONGEST, _SHORTEST = 1333, 800  # limits of an image's sides in COCO and LVIS, in pixels
_BASE_IMAGES = {"small": 4, "photographs": 16}  # images per step for which the rates are meant
_RATES = {"small": 1e-3, "photographs": 0.02}
_STRIDE = 4  # pixels between the smallest anchors
_IMAGES_PER_STEP = {"small": 4, "photographs": 2}


@dataclass(frozen=True)
class Settings:
    """The settings that ``pcb data import`` writes into configs.

    Attributes:
        family: 'small' for a small model that is trained from scratch, or 'photographs' for a
            ResNet-50 with pretrained weights.
        has_masks: Whether the dataset has masks; otherwise only boxes are trained.
        num_classes: Number of classes.
        num_images: Number of training images.
        rarest: Number of training images of the rarest class that occurs.
        absent: Number of classes without a training image.
        epochs: Number of epochs.
        drops: Epochs after which the learning rate drops.
        images_per_step: Number of images per training step.
        rate: The learning rate.
        base_rate: The learning rate for ``base_images`` images per step.
        base_images: Number of images per step for which ``base_rate`` is meant.
        scale: Longest and shortest side of a resized image, in pixels.
        anchor_scale: Side of the smallest anchor, divided by the smallest stride.
    """

    family: str
    has_masks: bool
    num_classes: int
    num_images: int
    rarest: int
    absent: int
    epochs: int
    drops: tuple[int, ...]
    images_per_step: int
    rate: float
    base_rate: float
    base_images: int
    scale: tuple[int, int]
    anchor_scale: int

    @property
    def start_epoch(self) -> int:
        """First epoch in which PCB acts: the epoch after the first drop, as in the paper."""
        return self.drops[0] + 1

    @property
    def oversample_threshold(self) -> float:
        """Threshold of repeat factor sampling: the border of common and frequent classes."""
        return min(1.0, MOST_IMAGES_IF_COMMON / self.num_images)

    @property
    def warmup(self) -> int:
        """Number of warm-up steps: one epoch, but at most 100 (small) or 500 (photographs)."""
        steps = -(-self.num_images // self.images_per_step)
        return max(1, min(steps, 100 if self.family == "small" else 500))

    def calls(self, per_image: int) -> int:
        """Return how often the rarest class updates its row before PCB acts.

        Args:
            per_image: Calls of the loss per image: 1, or ``ITERATIONS`` with PCB's refinement.
        """
        return self.rarest * (self.start_epoch - 1) * per_image

    def momentum(self, per_image: int) -> float:
        """Return the momentum of the confusion matrix; see :func:`pcb.scaled_momentum`."""
        momentum = min(PUBLISHED_MOMENTUM, scaled_momentum(max(2, self.calls(per_image))))
        return math.floor(1000 * momentum) / 1000  # never more than the limit


def derive_settings(
    train: Annotations,
    epochs: int,
    images_per_step: int | None = None,
    with_masks: bool = True,
    family: str | None = None,
) -> Settings:
    """Derive the settings of a training from its annotations.

    Args:
        train: The training annotations, with the number of training images of each class.
        epochs: Number of epochs, at least 2.
        images_per_step: Number of images per training step; None for the default of the model.
        with_masks: Whether to train masks.
        family: 'small' or 'photographs', see ``Settings``; None to choose by the image sizes.

    Raises:
        ValueError: There are fewer than 2 epochs, or ``images_per_step`` is less than 1.

    Example:
        >>> from pcb.datasets import read_annotations
        >>> train = read_annotations("sample/openmoji/annotations/val.json.gz")
        >>> settings = derive_settings(train, epochs=24)
        >>> settings.family, settings.drops, settings.start_epoch
        ('small', (16, 22), 17)
    """
    if epochs < 2:
        raise ValueError(f"epochs must be at least 2, so that PCB can act, got {epochs}")
    if images_per_step is not None and images_per_step < 1:
        raise ValueError(f"images_per_step must be at least 1, got {images_per_step}")
    sizes = np.array([(image["width"], image["height"]) for image in train.images])
    long, short = np.percentile(sizes.max(axis=1), 95), np.percentile(sizes.min(axis=1), 95)
    family = family or ("small" if long <= _SMALL else "photographs")
    scale = min(_LONGEST, round(long)), min(_SHORTEST, round(short))
    factors = np.minimum(scale[0] / sizes.max(axis=1), scale[1] / sizes.min(axis=1))
    factor_of = dict(zip(train.image_of, factors.tolist(), strict=True))
    sides = [
        factor_of[record["image_id"]] * float(np.sqrt(record["bbox"][2] * record["bbox"][3]))
        for record in train.annotations
    ]
    counts = train.image_count
    images = images_per_step or _IMAGES_PER_STEP[family]
    first = max(1, min(epochs - 1, round(epochs * 16 / 24)))
    second = round(epochs * 22 / 24)
    return Settings(
        family=family,
        has_masks=with_masks,
        num_classes=len(train.categories),
        num_images=len(sizes),
        rarest=int(counts[counts > 0].min()),
        absent=int((counts == 0).sum()),
        epochs=epochs,
        drops=(first, second) if first < second < epochs else (first,),
        images_per_step=images,
        rate=_RATES[family] * images / _BASE_IMAGES[family],
        base_rate=_RATES[family],
        base_images=_BASE_IMAGES[family],
        scale=scale,
        anchor_scale=int(np.clip(round(np.percentile(sides, 25) / _STRIDE), 2, 8)),
    )
