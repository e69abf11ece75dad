"""Predictions of a trained detector, written in COCO's results format."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.core import encode_mask_results
from mmdet.datasets import build_dataloader, build_dataset
from mmdet.models import build_detector
from tqdm import tqdm

from pcb.detection.checkpoint import load_weights, read_checkpoint
from pcb.detection.config import load_config
from pcb.detection.data import pick_device, to_device
from pcb.runs import RunFolder, write_atomically


def predict(
    config: str | Path,
    checkpoint: str | Path,
    work_dir: str | Path,
    cfg_options: Mapping[str, Any] | None = None,
    device: str | None = None,
    split: str = "val",
) -> dict[str, Path]:
    """Run a detector over a split and write ``predictions/{bbox,segm}.json``.

    Args:
        config: config file, for instance the run folder's ``config.py``.
        checkpoint: weights, as training wrote them.
        work_dir: run folder that the predictions go to.
        cfg_options: overrides by dotted key, see :func:`pcb.detection.load_config`.
        device: ``"cpu"`` or ``"cuda"``; default the GPU if there is one.
        split: key in the config's ``data``: ``"val"`` or ``"test"``.

    Returns:
        The two files by IoU type.

    Raises:
        FileNotFoundError: config, checkpoint or data is missing.
        ValueError: the checkpoint does not fit the config.
    """
    cfg = load_config(config, cfg_options)
    picked = pick_device(device)
    weights = read_checkpoint(checkpoint)
    # The weights come from the checkpoint: none are initialised, none downloaded.
    cfg.model.backbone.init_cfg = None
    cfg.model.pop("pretrained", None)
    model = build_detector(cfg.model)
    load_weights(model, weights, checkpoint)
    model.to(picked, memory_format=torch.channels_last).eval()
    dataset = build_dataset(cfg.data[split], {"test_mode": True})
    loader = build_dataloader(
        dataset,
        samples_per_gpu=cfg.data.get(f"{split}_dataloader", {}).get("samples_per_gpu", 1),
        workers_per_gpu=cfg.data.workers_per_gpu,
        dist=False,
        shuffle=False,
    )
    results: dict[str, list[dict[str, Any]]] = {"bbox": [], "segm": []}
    index = 0
    for batch in tqdm(loader, desc="predict", unit="batch", mininterval=5.0):
        with torch.no_grad():
            outputs = model(return_loss=False, rescale=True, **to_device(batch, picked))
        for boxes, masks in outputs:
            image_id = dataset.data_infos[index]["id"]
            for box, segmentation in _detections(boxes, masks, dataset.category_ids, image_id):
                results["bbox"].append(box)
                results["segm"].append(segmentation)
            index += 1

    folder = RunFolder(work_dir)
    files = {}
    for iou_type, detections in results.items():
        files[iou_type] = folder.path / "predictions" / f"{iou_type}.json"
        write_atomically(files[iou_type], json.dumps(detections, separators=(",", ":")))
    folder.write_prediction_source(checkpoint, cfg_options)
    return files


def _detections(
    boxes: list[np.ndarray],
    masks: list[list[Any]],
    category_ids: list[int],
    image_id: int,
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """COCO results of one image from mmdet's lists by class; boxes become x, y, width, height."""
    for category_id, class_boxes, class_masks in zip(
        category_ids, boxes, encode_mask_results(masks), strict=True
    ):
        for (x1, y1, x2, y2, score), mask in zip(class_boxes.tolist(), class_masks, strict=True):
            detection = {"image_id": image_id, "category_id": category_id, "score": score}
            counts = mask["counts"].decode("ascii")
            segmentation = {"size": list(mask["size"]), "counts": counts}
            bbox = [round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)]
            yield (
                {**detection, "bbox": bbox},
                {**detection, "segmentation": segmentation},
            )
