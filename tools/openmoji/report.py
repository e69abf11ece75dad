"""Measure whether the two icons of each similar pair in OpenMoji-LT can be distinguished.

:func:`pair_report` trains a classifier on the same number of crops of every class. It then measures
how often the classifier distinguishes the two icons of each pair.

The pairs were chosen so that the classifier is right in at least 90% of the cases. If a detector
confuses the icons of a pair, the cause is therefore the class imbalance of its training data.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from pcb.datasets.openmoji.design import DESIGNS, Design, draw_classes
from pcb.datasets.openmoji.icons import TRAIN_RENDERINGS, VALIDATION_RENDERINGS, Icon
from pcb.datasets.openmoji.layout import spread_evenly
from pcb.datasets.openmoji.scene import compose
from pcb.datasets.openmoji.streams import stream

CROP_SIZE = 32  # pixels
_CONTEXT = 1.1  # side of a crop divided by the longer side of the instance's box
_LOAD = 5  # instances per image, as in training


def pair_report(
    size: str = "mini",
    seed: int = 0,
    train_per_class: int = 300,
    test_per_class: int = 100,
    epochs: int = 10,
) -> list[dict]:
    """Measure how well a classifier distinguishes each pair of similar icons.

    The classifier is trained on the same number of crops of every class. With the size "mini",
    this function takes three to four minutes on one core. PyTorch is required.

    Args:
        size: Size of the dataset: "tiny", "mini" or "full".
        seed: Random seed for the dataset, the crops and the classifier.
        train_per_class: Number of training crops of each class.
        test_per_class: Number of test crops of each class.
        epochs: Number of passes over the training crops.

    Returns:
        One dict per pair:

        - ``head``: Name of the more frequent class.
        - ``tail``: Name of the rarer class.
        - ``kind``: "head-tail", "head-head" or "tail-tail".
        - ``similarity``: Similarity of the two icons, in [0, 1].
        - ``accuracy``: Accuracy of the classifier; see :func:`pair_accuracies`.
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
    """Measure how well a classifier distinguishes the two classes of each pair.

    A single classifier is trained and tested on crops of all icons. The training crops use the
    drawing styles of the training set. The test crops use the drawing styles of the validation set.
    A prediction is correct if the logit of the crop's class exceeds the logit of the other class in
    the pair.

    Args:
        icons: Icon of each class, indexed by label.
        pairs: Labels of the two classes of each pair.
        design: Design that determines the sizes of images and instances.
        seed: Random seed for the crops and the classifier.
        train_per_class: Number of training crops of each class.
        test_per_class: Number of test crops of each class.
        epochs: Number of passes over the training crops.

    Returns:
        (len(pairs),) accuracy for each pair, in [0, 1].
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
    """Draw images, and crop the same number of instances of each icon.

    Args:
        icons: Icon of each class, indexed by label.
        design: Design that determines the sizes of images and instances.
        seed: Random seed for the images.
        per_class: Number of crops of each icon.
        validation: True for the drawing styles of the validation set, False for those of the
            training set.

    Returns:
        crops: (len(icons) * per_class, CROP_SIZE, CROP_SIZE, 3) uint8, the crops.
        labels: (len(icons) * per_class,) int64, the class of each crop.

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
    """Crop the square around a mask, and scale the crop to CROP_SIZE.

    Areas outside the picture are black.
    """
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
