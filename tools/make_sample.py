"""Make the sample runs in the folder ``sample`` from the runs of the demo.

Run ``make demo`` first, then ``make sample``. A sample run is a small run folder without weights.
It contains the predictions with scores of at least 0.05 for every third validation image. The
metrics are computed from these predictions. All sample runs use the same annotations, icons and
images.
"""

import gzip
import json
import shutil
import tempfile
from pathlib import Path

from pcb.datasets.lvis import image_path
from pcb.detection import load_config
from pcb.detection.config.loading import save_config
from pcb.detection.engine.inference import predict
from pcb.evaluation import detection_confusion, evaluate
from pcb.runs.find import collect
from pcb.runs.folder import RunFolder
from pcb.storage.files import read_json, write_atomically
from pcb.storage.repository import repository_path

EVERY = 3  # keep every third validation image
SHOWN = 12  # number of images to copy
SCORE = 0.05  # minimum score of a detection to keep
NOTICE = """\
The icons, images and annotations in this folder are made from OpenMoji.

All emojis designed by OpenMoji - the open-source emoji and icon project (https://openmoji.org).
License: CC BY-SA 4.0, https://creativecommons.org/licenses/by-sa/4.0/

The images are adaptations (recoloured, scaled, rotated, composed) under the same licence.
"""


def main() -> None:
    """Write ``sample/openmoji``, replacing any earlier content."""
    demo, sample = repository_path("runs/demo/openmoji"), repository_path("sample/openmoji")
    data = repository_path("data/openmoji/mini")
    shutil.rmtree(sample, ignore_errors=True)
    annotations = sample / "annotations" / "val.json.gz"
    images = write_subset(data / "annotations" / "val.json", annotations)
    for image in images[:: len(images) // SHOWN][:SHOWN]:
        copy(data / "val" / image_path(image), sample / "val" / image_path(image))
    shutil.copytree(data / "icons", sample / "icons")
    copy(data / "design.json", sample / "design.json")
    (sample / "NOTICE").write_text(NOTICE)
    for run in collect(demo):
        write_run(run, RunFolder(sample / run.path.relative_to(demo)), annotations, data / "val")


def write_subset(full: Path, subset: Path) -> list[dict]:
    """Write an annotation file with every third image of ``full``, and return these images."""
    content = read_json(full)
    content["images"] = content["images"][::EVERY]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in kept]
    write_packed(subset, content)
    return content["images"]


def write_run(run: RunFolder, sample: RunFolder, annotations: Path, image_dir: Path) -> None:
    """Write a sample run with the predictions of a trained detector.

    Args:
        run: The training run of the detector.
        sample: Folder of the sample run to write.
        annotations: Annotation file of the images on which the detector is run.
        image_dir: Folder of the images.
    """
    metrics = {}
    with tempfile.TemporaryDirectory() as scratch:
        options = {"data.val.ann_file": str(annotations), "data.val.img_prefix": str(image_dir)}
        files = predict(run.path, run.checkpoint, scratch, options)
        measured = RunFolder(scratch).read_confusion()
        for iou_type, predicted in files.items():
            file = sample.results_file(iou_type).with_suffix(".json.gz")
            results = read_json(predicted)
            write_packed(
                file,
                [
                    {**result, "score": round(result["score"], 4)}
                    for result in results
                    if result["score"] >= SCORE
                ],
            )
            metrics |= evaluate(annotations, file, iou_types=(iou_type,))
    sample.write_metrics(metrics)
    measured["detections"] = detection_confusion(annotations, sample.predictions("bbox"))
    sample.write_confusion(**{**run.read_confusion(), **measured})
    for epoch, matrix in run.read_confusion_history().items():
        sample.write_confusion_history(epoch, matrix)
    copy(run.environment_file, sample.environment_file)
    copy(run.log_file, sample.log_file)
    cfg = load_config(run.path, for_training=False)
    cfg.data.val.ann_file = str(annotations)
    cfg.data.val.img_prefix = str(annotations.parent.parent / "val")
    save_config(cfg, sample.config_file)


def write_packed(path: Path, content: object) -> None:
    """Write gzipped JSON; the same content always produces the same bytes."""
    text = json.dumps(content, separators=(",", ":"))
    write_atomically(path, gzip.compress(text.encode(), 9, mtime=0))


def copy(source: Path, target: Path) -> None:
    """Copy a file; create missing parent folders of the target."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


if __name__ == "__main__":
    main()
