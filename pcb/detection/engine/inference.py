"""Run a trained detector and write its predictions in COCO's results format.

Predictions are written to disk image by image, because a detector can make millions of predictions
(six million on LVIS's validation set).
"""

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from mmdet.core import encode_mask_results
from mmdet.datasets import build_dataset
from torch import nn
from torch.utils.data import Subset
from tqdm import tqdm

from pcb.detection.checkpoint import describe_other_classes, read_checkpoint
from pcb.detection.config import load_config
from pcb.detection.config.faults import missing_to_test
from pcb.detection.config.loading import naming_config, save_config
from pcb.detection.engine.device import pick_device, to_device
from pcb.detection.engine.ground_truth import GroundTruthConfusion
from pcb.detection.engine.loaders import prediction_loader
from pcb.detection.engine.model import load_model, predicted_types
from pcb.detection.engine.settings import loader_settings
from pcb.distributed import process_group, rank, wait_for_all, world_size
from pcb.messages.terminal import outliving_terminal
from pcb.runs.files import IOU_TYPES
from pcb.runs.folder import RunFolder
from pcb.runs.metrics import is_metrics_file
from pcb.runs.processes import PREDICTION
from pcb.storage.files import (
    check_folder,
    check_output,
    naming_when_full,
    open_atomically,
    remove_unfinished,
)
from pcb.storage.writing import writing_alone


@outliving_terminal()
def predict(
    config: str | Path,
    checkpoint: str | Path,
    work_dir: str | Path,
    cfg_options: Mapping[str, Any] | None = None,
    device: str | None = None,
    split: str = "val",
    trust_checkpoint: bool = False,
) -> dict[str, Path]:
    """Run a detector on a dataset split, and write its predictions in COCO's results format.

    The files are ``predictions/bbox.json`` and, if the detector predicts masks,
    ``predictions/segm.json`` in ``work_dir``.

    The function also computes the mean class probabilities that the detector predicts at the
    ground-truth boxes of each class, and writes them to ``confusion.npz``. For details, see
    :class:`pcb.detection.engine.ground_truth.GroundTruthConfusion`.

    Under ``torchrun``, the images are divided among the processes. The files are the same as with
    one process.

    Args:
        config: A config file, or the output folder of a training run.
        checkpoint: The checkpoint of a training run, or a checkpoint published by PCB's authors.
        work_dir: The folder that the predictions are written to.
        cfg_options: New values for settings, such as ``{"model.test_cfg.rcnn.score_thr": 0.1}``.
        device: ``"cpu"`` or ``"cuda"``. By default, the GPU is used if there is one.
        split: The split of the dataset, ``"val"`` or ``"test"``.
        trust_checkpoint: Whether to read the checkpoint even if reading it may execute code.

    Returns:
        A dictionary that maps the IoU types ``"bbox"`` and ``"segm"`` to the paths of the files.

    Raises:
        FileNotFoundError: The config, the checkpoint or the data is missing.
        ValueError: A setting is wrong, or the checkpoint does not fit the config.
        ValueError: Reading the checkpoint could execute code.
        ValueError: Another process is writing to the folder, or an output file would overwrite an
            input or an unrelated file.
        OSError: The disk is full.
    """
    cfg = load_config(config, cfg_options, for_training=False)
    if lacking := missing_to_test(cfg._cfg_dict, split):
        raise ValueError(
            f"{config} cannot be used for testing: add the "
            f"{'dictionary' if len(lacking) == 1 else 'dictionaries'} {' and '.join(lacking)}"
        )
    picked = pick_device(device)
    weights = read_checkpoint(checkpoint, trust_checkpoint)
    model = load_model(cfg, config, weights, checkpoint, picked)
    with naming_config(config):
        dataset = build_dataset(cfg.data[split], {"test_mode": True})
    folder = RunFolder(work_dir)
    files = {iou_type: folder.results_file(iou_type) for iou_type in predicted_types(model)}
    _check_outputs(folder, files.values(), (config, checkpoint, cfg.data[split].ann_file))
    with process_group(picked), ExitStack() as stack:
        if rank() == 0:
            stack.enter_context(writing_alone(folder.path, PREDICTION))
            if other := describe_other_classes(weights, dataset.CLASSES):
                warnings.warn(
                    f"{checkpoint} was trained with other classes than data.{split} has ({other}), "
                    "so its predictions are assigned to the wrong classes. Use the annotations or "
                    "the checkpoint of the same classes",
                    stacklevel=2,
                )
        wait_for_all()  # no process may write before the first process holds the lock
        truth = stack.enter_context(GroundTruthConfusion(model, dataset))
        write_predictions(model, dataset, loader_settings(cfg, split), picked, folder, truth)
        matrices = truth.arrays()  # sums over all processes, so every process must call it
        if rank() == 0:
            if matrices:
                folder.write_confusion(**matrices)
            folder.write_prediction_source(checkpoint, cfg_options, matrices, files)
            if not folder.config_file.is_file():  # make the folder a run folder
                save_config(cfg, folder.config_file)
        wait_for_all()
    return files


def write_predictions(
    model: nn.Module,
    dataset: Any,
    loading: Mapping[str, int],
    device: torch.device,
    folder: RunFolder,
    truth: GroundTruthConfusion | None = None,
) -> None:
    """Run a detector on a dataset, and write ``predictions/bbox.json`` and ``segm.json``.

    Every process must call this function. The images are divided among the processes.

    Args:
        model: An mmdet detector in evaluation mode, on the device.
        dataset: An mmdet dataset in test mode.
        loading: ``samples_per_gpu`` and ``workers_per_gpu`` for the data loader.
        device: The device of the model.
        folder: The folder that the predictions are written to.
        truth: Measures the predictions at the ground-truth boxes of each batch. If it is None,
            nothing is measured, and no progress bar is shown.
    """
    if rank() == 0:
        _remove_unfinished_parts(folder)
    wait_for_all()
    share = range(rank(), len(dataset), world_size())
    loader = prediction_loader(loading, Subset(dataset, share))
    remaining = iter(share)
    quiet = rank() > 0 or truth is None
    iou_types = predicted_types(model)
    with ExitStack() as stack:
        files = [folder.prediction_part(iou_type, rank()) for iou_type in iou_types]
        parts = [stack.enter_context(_part(file)) for file in files]
        for batch in tqdm(loader, desc="predict", unit="batch", mininterval=5.0, disable=quiet):
            inputs = to_device(batch, device)
            with torch.no_grad():
                outputs = model(return_loss=False, rescale=True, **inputs)
            indices = list(islice(remaining, len(outputs)))
            if truth is not None:
                truth.add(inputs["img_metas"][0], indices)
            for index, output in zip(indices, outputs, strict=True):
                boxes, masks = output if isinstance(output, tuple) else (output, None)
                image_id = dataset.data_infos[index]["id"]
                found = coco_results(boxes, masks, dataset.category_ids, image_id)
                for part, detections in zip(parts, found, strict=False):  # maybe only boxes
                    text = ",".join(json.dumps(d, separators=(",", ":")) for d in detections)
                    part.write(text + "\n")
        for part in parts:
            part.flush()
        wait_for_all()
        if rank() == 0:
            for iou_type in iou_types:
                written = [folder.prediction_part(iou_type, r) for r in range(world_size())]
                _join(written, folder.results_file(iou_type))
        wait_for_all()  # no process deletes its part before the parts are joined


def _check_outputs(folder: RunFolder, files: Iterable[Path], inputs: Iterable[str | Path]) -> None:
    """Raise an error if an output would overwrite an input or an unrelated file."""
    check_folder(folder.path)
    inputs, hint = list(inputs), "choose another work_dir"
    for file in files:
        check_output(file, inputs, _is_list, name="the predictions file", hint=hint)
    metrics, matrices = folder.metrics_file, folder.confusion_file
    check_output(metrics, inputs, is_metrics_file, name="the metrics file", hint=hint)
    check_output(
        matrices,
        inputs,
        lambda _: bool(folder.read_confusion()),
        name="the file for confusion matrices",
        hint=hint,
    )


def _is_list(file: Path) -> bool:
    with open(file, "rb") as opened:
        return opened.read(64).lstrip().startswith(b"[")


def _remove_unfinished_parts(folder: RunFolder) -> None:
    """Delete the unfinished prediction files that earlier processes left in a folder."""
    remove_unfinished(folder.predictions_folder)
    for iou_type in IOU_TYPES:
        current = {folder.prediction_part(iou_type, r) for r in range(world_size())}
        for part in set(folder.prediction_parts(iou_type)) - current:
            part.unlink(missing_ok=True)


@contextmanager
def _part(path: Path) -> Iterator[TextIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with naming_when_full(path), open(path, "w") as part:
            yield part
    finally:
        path.unlink(missing_ok=True)


def _join(parts: list[Path], file: Path) -> None:
    """Join the prediction files of all processes into one JSON list, in the order of the images."""
    with open_atomically(file) as joined, ExitStack() as stack:
        opened = [stack.enter_context(open(part, "rb")) for part in parts]
        joined.write(b"[")
        separator = b""
        for lines in zip_longest(*opened, fillvalue=b""):
            for line in filter(None, map(bytes.strip, lines)):
                joined.write(separator + line)
                separator = b","
        joined.write(b"]")


def coco_results(
    boxes: list[np.ndarray],
    masks: list[list[Any]] | None,
    category_ids: list[int],
    image_id: int,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Convert mmdet's predictions for one image to COCO's results format.

    Args:
        boxes: For each class, (n, 5) corners x1, y1, x2, y2 in pixels and score of its detections.
        masks: For each class, the n masks of its detections; None if the detector has no mask head.
        category_ids: (C,) category id of each class.
        image_id: The id of the image.

    Returns:
        The entries for ``bbox.json``, and the entries for ``segm.json`` in the same order. There
        are no entries for ``segm.json`` if the detector has no mask head.
    """
    results: tuple[list, list] = ([], [])
    encoded = [[None] * len(b) for b in boxes] if masks is None else encode_mask_results(masks)
    for category_id, class_boxes, class_masks in zip(category_ids, boxes, encoded, strict=True):
        for (x1, y1, x2, y2, score), mask in zip(class_boxes.tolist(), class_masks, strict=True):
            detection = {"image_id": image_id, "category_id": category_id, "score": score}
            bbox = [round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)]
            results[0].append({**detection, "bbox": bbox})
            if mask is None:
                continue
            counts = mask["counts"].decode("ascii")
            segmentation = {"size": list(mask["size"]), "counts": counts}
            results[1].append({**detection, "segmentation": segmentation})
    return results
