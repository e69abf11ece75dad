"""Are the look-alikes as designed: alike, and yet not the same?

:func:`pair_report` trains a classifier on crops of all classes in equal number, drawn as in the
dataset, and measures how often it tells the two members of each pair apart: at least nine times in
ten, if they are as designed. What a detector then confuses on the long-tailed data is owed to the
imbalance.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from pcb.datasets.openmoji.design import DESIGNS, Design, draw_classes
from pcb.datasets.openmoji.icons import TRAIN_RENDERINGS, VALIDATION_RENDERINGS, Icon
from pcb.datasets.openmoji.layout import spread_evenly
from pcb.datasets.openmoji.scene import compose
from pcb.datasets.openmoji.streams import stream

CROP_SIZE = 32  # px
_CONTEXT = 1.1  # side of a crop over the longer side of the instance's box
_LOAD = 5  # instances in an image that crops are cut from, as in training


def pair_report(
    size: str = "mini",
    seed: int = 0,
    train_per_class: int = 300,
    test_per_class: int = 100,
    epochs: int = 10,
) -> list[dict]:
    """Measure how well each pair of a dataset is told apart by a classifier on balanced data.

    It takes three to four minutes on one core with "mini". Needs PyTorch.

    Args:
        size: "tiny", "mini" or "full".
        seed: Seed of the dataset, of the crops and of the classifier.
        train_per_class: Crops of each class to learn from.
        test_per_class: Crops of each class to measure on.
        epochs: Passes over the training crops.

    Returns:
        For each pair ``head`` and ``tail`` (names), ``kind``, ``similarity`` and ``accuracy``, see
        :func:`pair_accuracies`.
    """
    design = DESIGNS[size]
    classes, pairs = draw_classes(design, seed)
    icons = [c.icon for c in classes]
    labels = [(pair.head, pair.tail) for pair in pairs]
    accuracies = pair_accuracies(
        icons, labels, design, seed, train_per_class, test_per_class, epochs
    )
    return [
        {
            "head": icons[pair.head].name,
            "tail": icons[pair.tail].name,
            "kind": pair.kind,
            "similarity": pair.similarity,
            "accuracy": float(accuracy),
        }
        for pair, accuracy in zip(pairs, accuracies, strict=True)
    ]


def pair_accuracies(
    icons: Sequence[Icon],
    pairs: Sequence[tuple[int, int]],
    design: Design,
    seed: int,
    train_per_class: int,
    test_per_class: int,
    epochs: int,
) -> np.ndarray:
    """Measure how well the members of each pair are told apart.

    One classifier learns all icons from crops with training renderings. A crop with one of the
    validation renderings then counts as right if its own logit exceeds its look-alike's.

    Args:
        icons: What the classes look like, indexed by label.
        pairs: Two labels each.
        design: Sets the sizes of images and instances.
        seed: Seed of the crops and of the classifier.
        train_per_class: Crops of each class to learn from.
        test_per_class: Crops of each class to measure on.
        epochs: Passes over the training crops.

    Returns:
        (len(pairs),) accuracies in [0, 1], both members counting the same.
    """
    from tools.openmoji.classifier import classify, train_classifier

    crops, labels = balanced_crops(icons, design, seed, train_per_class)
    network = train_classifier(crops, labels, epochs, seed)
    crops, labels = balanced_crops(icons, design, seed, test_per_class, validation=True)
    logits = classify(network, crops)
    accuracies = []
    for first, second in pairs:
        lead = logits[:, first] - logits[:, second]
        right = np.concatenate([lead[labels == first] > 0, lead[labels == second] < 0])
        accuracies.append(right.mean())
    return np.array(accuracies)


def balanced_crops(
    icons: Sequence[Icon], design: Design, seed: int, per_class: int, validation: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Cut instances out of images drawn for the purpose, as many of each icon.

    Args:
        icons: What the classes look like, indexed by label.
        design: Sets the sizes of images and instances.
        seed: Seed of the images, which are not those of a dataset with this seed.
        per_class: Number of crops of each icon.
        validation: Draw the renderings of validation, and other images.

    Returns:
        crops: (len(icons) * per_class, CROP_SIZE, CROP_SIZE, 3) uint8.
        labels: (len(icons) * per_class,) int64.

    Example:
        >>> icons = [Icon("1F34E", "red_apple"), Icon("1F438", "frog_face")]
        >>> crops, labels = balanced_crops(icons, DESIGNS["mini"], seed=0, per_class=3)
        >>> crops.shape, np.bincount(labels).tolist()
        ((6, 32, 32, 3), [3, 3])
    """
    renderings = VALIDATION_RENDERINGS if validation else TRAIN_RENDERINGS
    num_images = max(-(-len(icons) * per_class // _LOAD), per_class)
    rng = stream(seed, "crops", int(validation))
    crops, labels = [], []
    for shown in spread_evenly([per_class] * len(icons), num_images, rng):
        image, instances = compose(
            icons, shown, renderings, design.image_size, design.instance_size, rng
        )
        picture = Image.fromarray(image)
        for instance in instances:
            crops.append(_cut(picture, instance.mask))
            labels.append(instance.label)
    return np.stack(crops), np.array(labels)


def _cut(picture: Image.Image, mask: np.ndarray) -> np.ndarray:
    """Scale the square around a mask to CROP_SIZE; black where it leaves the picture."""
    ys, xs = np.nonzero(mask)
    side = _CONTEXT * (max(np.ptp(xs), np.ptp(ys)) + 1)
    left, top = ((axis.min() + axis.max() + 1 - side) / 2 for axis in (xs, ys))
    step = side / CROP_SIZE
    crop = picture.transform(
        (CROP_SIZE, CROP_SIZE),
        Image.Transform.AFFINE,
        (step, 0, left, 0, step, top),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(crop)
