"""A dataset with boxes but no masks trains a box detector, which is evaluated for boxes."""

import json
import shutil
from pathlib import Path

import pytest

from pcb.datasets import AnnotationError, read_annotations
from pcb.detection.dataset import LVISFormatDataset
from pcb.own_data import import_data
from pcb.runs.paths import RunName

ROOT = Path(__file__).resolve().parents[2]
WITH_MASKS = [{"type": "LoadAnnotations", "with_bbox": True, "with_mask": True}]


@pytest.fixture(scope="module")
def boxes(tmp_path_factory, tiny_openmoji) -> Path:
    """A repository with the imported dataset `boxes`: OpenMoji-LT tiny without its masks."""
    root = tmp_path_factory.mktemp("boxes")
    shutil.copytree(ROOT / "configs" / "_base_", root / "configs" / "_base_")
    files = []
    for split in ("train", "val"):
        content = json.loads((tiny_openmoji / "annotations" / f"{split}.json").read_text())
        for annotation in content["annotations"]:
            annotation["segmentation"] = []
        files.append(root / f"{split}.json")
        files[-1].write_text(json.dumps(content))
    folders = [tiny_openmoji / "train", tiny_openmoji / "val"]
    import_data(*files, folders, "boxes", epochs=2, images_per_step=8, root=root)
    return root


def options(boxes: Path) -> dict:
    data = boxes / "data" / "boxes" / "annotations"
    return {
        "data.train.ann_file": str(data / "train.json"),
        "data.val.ann_file": str(data / "val.json"),
        "data.workers_per_gpu": 0,
        "evaluation": {"interval": 2},
    }


def test_pipeline_with_masks_is_refused(boxes):
    path = boxes / "data" / "boxes" / "annotations" / "train.json"
    with pytest.raises(AnnotationError, match="has no masks, but the pipeline loads masks"):
        LVISFormatDataset(ann_file=str(path), pipeline=WITH_MASKS, img_prefix=None)
    dataset = LVISFormatDataset(ann_file=str(path), pipeline=[], img_prefix=None)
    assert len(dataset.annotations.labels) == len(read_annotations(path).annotations)


@pytest.mark.parametrize("baseline", ["softmax", "rfs", "eqlv2", "seesaw"])
def test_models_have_no_mask_head(boxes, baseline):
    from pcb.detection import load_config
    from pcb.detection.engine.model import predicted_types
    from pcb.detection.engine.training import build_model

    for ending in ("", "_pcb"):
        model = build_model(load_config(boxes / f"configs/boxes/{baseline}{ending}.py"))
        assert not model.with_mask and predicted_types(model) == ("bbox",)


@pytest.mark.slow
@pytest.mark.xdist_group("boxes alone")
def test_boxes_are_trained_predicted_and_compared(boxes, tmp_path, capsys):
    from pcb.cli import main as cli
    from pcb.detection.engine.training import train
    from pcb.notebooks.execute import run_notebook
    from pcb.study import evaluate_validation, open_run

    runs = []
    for config in ("softmax", "softmax_pcb"):
        run = tmp_path / str(RunName("boxes", config, 0))
        file = boxes / f"configs/boxes/{config}.py"
        train(file, run, 0, options(boxes), device="cpu", evaluate=evaluate_validation)
        assert "validation after epoch 2: bbox_AP" in capsys.readouterr().out
        assert cli.main(["test", str(run), str(run / "latest.pth")]) == 0
        assert "segm" not in capsys.readouterr().out
        view = open_run(run)
        assert view.iou_type == "bbox" and not view.run.results_file("segm").exists()
        view.predict()  # nothing to do
        runs.append(str(run))
    work = tmp_path / "notebooks"
    for notebook, parameters in {
        "02_evaluate": {"work_dir": runs[1]},
        "03_confusion_matrix": {"work_dir": runs[1]},
        "04_soft_labels": {"work_dir": runs[1]},
        "05_compare": {"runs": runs, "work_dir": str(work)},
    }.items():
        executed = work / f"{notebook}.ipynb"
        run_notebook(
            ROOT / "notebooks" / executed.name, parameters, executed, work / f"{notebook}.html"
        )
    assert "box AP" in (work / "05_compare.ipynb").read_text()
