"""A trained detector for single images, which need no annotations."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.parallel import collate
from mmdet.datasets.pipelines import Compose, LoadImageFromFile
from torch import nn

from pcb.detection.checkpoint import check_exists, read_checkpoint
from pcb.detection.classes import DetectorClasses, detector_classes
from pcb.detection.config import load_config
from pcb.detection.config.faults import missing_to_test
from pcb.detection.config.loading import naming_config
from pcb.detection.config.values import get_dotted
from pcb.detection.engine.device import pick_device, to_device
from pcb.detection.engine.inference import coco_results
from pcb.detection.engine.model import load_model
from pcb.detection.legacy.images import LoadWholeImage, check_size
from pcb.runs.folder import RunFolder
from pcb.storage.repository import repository_path


@dataclass(frozen=True)
class Detector:
    """A trained detector, with the preprocessing of its config.

    Attributes:
        model: The detector, in evaluation mode.
        device: The device that the detector runs on.
        loader: The first step of the pipeline, which reads image files.
        steps: All other steps of the pipeline.
        classes: Names and category ids of the classes.
        files: The config and the checkpoint.
    """

    model: nn.Module
    device: torch.device
    loader: LoadWholeImage
    steps: Compose
    classes: DetectorClasses
    files: tuple[Path, Path]

    def read(
        self, path: str | os.PathLike[str], stated_size: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Read an image file as training does: 8 bits, three channels, EXIF orientation applied.

        Args:
            path: Any image file that OpenCV can read.
            stated_size: Width and height in pixels according to the annotations; None if unknown.

        Returns:
            (H, W, 3) uint8, RGB.

        Raises:
            OSError: The file cannot be read, is incomplete, or does not have the stated size.
        """
        image = self.loader.read(os.fspath(path))
        if stated_size is not None:
            check_size(image, stated_size, os.fspath(path))
        return self._swapped(image)

    def detect(self, image: np.ndarray | str | os.PathLike[str]) -> list[dict[str, Any]]:
        """Detect objects in one image.

        Args:
            image: (H, W, 3) uint8, RGB; or the path of an image file.

        Returns:
            One dict per detection, best scores first, with the keys ``category_id``, ``score``,
            ``bbox`` (x, y, width, height in pixels) and, if the detector has a mask head,
            ``segmentation`` (a compressed run-length encoding).

        Raises:
            OSError: The file cannot be read or is incomplete.
            ValueError: The array is not an image.
        """
        pixels = image if isinstance(image, np.ndarray) else self.read(image)
        if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size or pixels.dtype != np.uint8:
            raise ValueError(
                f"image must be a (H, W, 3) array of type uint8, got shape {pixels.shape} and type "
                f"{pixels.dtype}: convert the image to RGB with 8 bits"
            )
        record = self.loader.record(np.ascontiguousarray(self._swapped(pixels)))
        batch = collate([self.steps(record)], samples_per_gpu=1)
        with torch.no_grad():
            output = self.model(return_loss=False, rescale=True, **to_device(batch, self.device))[0]
        boxes, masks = output if isinstance(output, tuple) else (output, None)
        of_boxes, of_masks = coco_results(boxes, masks, self.classes.category_ids, image_id=0)
        merged = [
            box | segmentation
            for box, segmentation in zip(of_boxes, of_masks or [{}] * len(of_boxes), strict=True)
        ]
        for detection in merged:
            del detection["image_id"]
        return sorted(merged, key=lambda detection: -detection["score"])

    def _swapped(self, image: np.ndarray) -> np.ndarray:
        """Convert between RGB and the channel order of the pipeline."""
        return image if self.loader.channel_order == "rgb" else image[..., ::-1]


def open_detector(
    run: str | Path,
    checkpoint: str | os.PathLike[str] = "",
    cfg_options: Mapping[str, Any] | None = None,
    device: str | None = None,
    trust_checkpoint: bool = False,
    categories: Sequence[Mapping[str, Any]] | None = None,
) -> Detector:
    """Load a trained detector, to detect objects in any images.

    Args:
        run: A run folder or a config file. A relative path is looked up first in the current
            directory, then in the repository root.
        checkpoint: File with the weights. If it is empty, the run's ``latest.pth`` is used.
        cfg_options: New values for settings, such as ``{"model.test_cfg.rcnn.score_thr": 0.1}``.
        device: ``"cpu"`` or ``"cuda"``. By default, the GPU is used if there is one.
        trust_checkpoint: Whether to read the checkpoint even if reading it may execute code.
        categories: Category records that the detector must fit, sorted by id; see
            :func:`pcb.detection.classes.detector_classes`.

    Raises:
        FileNotFoundError: The run, its config or the checkpoint does not exist.
        ValueError: A setting is wrong, the checkpoint does not fit the config or could execute
            code, or the names of the classes are unknown.
    """
    source = Path(run) if Path(run).exists() else repository_path(run)
    folder = RunFolder(source)
    cfg = load_config(run, cfg_options, for_training=False)
    if not (checkpoint or source.is_dir()):
        raise ValueError(
            f"{run} is a config file: pass a checkpoint (--checkpoint), or a run folder"
        )
    file = Path(checkpoint or folder.checkpoint)
    check_exists(file)
    split = "test" if missing_to_test(cfg._cfg_dict, "val") else "val"
    if lacking := missing_to_test(cfg._cfg_dict, split):
        raise ValueError(f"{run} cannot be used for prediction: add {' and '.join(lacking)}")
    pipeline = get_dotted(cfg._cfg_dict, f"data.{split}.pipeline") or [{}]
    first = dict(pipeline[0])
    if first.pop("type", None) not in (LoadImageFromFile.__name__, LoadWholeImage.__name__):
        raise ValueError(
            f"{run}: data.{split}.pipeline must begin with LoadImageFromFile to read image files"
        )
    picked = pick_device(device)
    weights = read_checkpoint(file, trust_checkpoint)
    model = load_model(cfg, run, weights, file, picked)
    with naming_config(run):
        loader, steps = LoadWholeImage(**first), Compose(pipeline[1:])
    annotations = cfg.data[split].get("ann_file")
    if isinstance(annotations, list | tuple):  # mmdet concatenates them; all have equal classes
        annotations = annotations[0]
    classes = detector_classes(_num_classes(model), weights, annotations, categories)
    config = folder.config_file if source.is_dir() else source
    return Detector(model, picked, loader, steps, classes, (config, file))


def _num_classes(model: nn.Module) -> int:
    """Return the number of classes of a detector with one stage, two stages or a cascade."""
    head = getattr(model, "roi_head", model).bbox_head
    return (head[-1] if isinstance(head, nn.ModuleList) else head).num_classes
