"""Bad input of users: a clear error without any loss, or a count of what is left out."""

import copy
import json
import logging
from pathlib import Path

import numpy as np
import pytest

from pcb.cli import main as cli
from pcb.runs.metrics import read_metrics, write_metrics

CONFIG = "tests/configs/tiny_pcb.py"
IMAGE = {"id": 1, "width": 60, "height": 40}
IMAGE |= {"neg_category_ids": [1, 2], "not_exhaustive_category_ids": []}
SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]
NAN = float("nan")


def instance(category_id: int, bbox=(10, 10, 20, 20), area=400, polygons=(SQUARE,), **more) -> dict:
    record = {"image_id": 1, "category_id": category_id, "bbox": list(bbox), "area": area}
    return record | {"segmentation": [list(polygon) for polygon in polygons]} | more


def detection(category_id: int, score: float, bbox=(10, 10, 20, 20), image_id=1) -> dict:
    record = {"image_id": image_id, "category_id": category_id, "score": score}
    return record | {"bbox": list(bbox)}


@pytest.fixture
def content() -> dict:
    """A fox and a wolf on one image."""
    category = {"image_count": 3, "instance_count": 4}
    return {
        "images": [{**IMAGE, "file_name": "1.png"}],
        "annotations": [instance(1, id=1), instance(2, (35, 5, 10, 10), 100, id=2)],
        "categories": [
            {"id": 1, "name": "fox", "frequency": "f", **category},
            {"id": 2, "name": "wolf", "frequency": "r", **category},
        ],
    }


@pytest.fixture
def folder(tmp_path) -> Path:
    """Holds an earlier run, and the image of the annotations."""
    from PIL import Image

    Image.new("RGB", (60, 40), "green").save(tmp_path / "1.png")
    (tmp_path / "run").mkdir()
    for name in ("config.py", "latest.pth", "metrics.json", "train.log.json"):
        (tmp_path / "run" / name).write_text("of an earlier run")
    return tmp_path


def write(folder: Path, name: str, content) -> str:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def earlier_out(folder: Path, door: str) -> str:
    """An output of the command, which it may overwrite."""
    if door == "evaluate":
        write_metrics(folder / "out.json", {"bbox": {"AP": 0.25}})
        return str(folder / "out.json")
    return write(folder, "out.csv", "true class,fox,wolf,missed\n")


def train_words(folder: Path, annotations: str, **options) -> list[str]:
    """``pcb train`` on these annotations, into the folder of the earlier run."""
    options = {"data.train.ann_file": annotations, "data.train.img_prefix": str(folder)} | options
    words = ["train", CONFIG, "--replace", "--work-dir", str(folder / "run"), "--device", "cpu"]
    return [*words, "--cfg-options", json.dumps(options)]


def everything(folder: Path) -> dict[Path, bytes]:
    """Content of all files except the lock, which names the last writer."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path: path.read_bytes() for path in files}


def assert_refused(words: list[str], folder: Path, capsys, *parts: str) -> None:
    """The command ends with one line that contains all parts, and changes no file."""
    before = everything(folder)
    assert cli.main(words) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("pcb: error: ")
    for part in parts:
        assert part in error
    assert everything(folder) == before


def change(part: str, index: int = 0, **values):
    """A function that changes one record."""
    return lambda content: content[part][index].update(values)


SHORT_RUNS = {"size": [40, 60], "counts": "T1"}
ANNOTATION_ERRORS = {
    "a category id twice": (
        change("categories", id=2),
        ["category id 2 occurs 2 times: make the ids unique"],
    ),
    "a category id out of range": (
        change("annotations", category_id=3),
        ["annotation 1: category_id 3 is not the id of any category", "(ids 1 to 2)"],
    ),
    "an annotation of an image that does not exist": (
        change("annotations", image_id=7),
        ["annotation 1: image_id 7 is not the id of any image"],
    ),
    "a box of negative size": (
        change("annotations", bbox=[10, 10, -5, 5]),
        ["annotation 1: bbox must be [x, y, width, height]", "no negative size", "[10, 10, -5, 5]"],
    ),
    "a box that is not finite": (
        change("annotations", bbox=[10, NAN, 5, 5]),
        ["annotation 1: bbox must be", "finite", "nan"],
    ),
    "RLE of the wrong size": (
        change("annotations", segmentation={"size": [60, 40], "counts": "P[2"}),
        ["annotation 1: segmentation must be", "RLE of size [40, 60]", "[60, 40]"],
    ),
    "RLE that does not fill its size": (
        change("annotations", segmentation=SHORT_RUNS),
        ["annotation 1: the runs of the mask do not add up to 40 x 60 pixels", "pycocotools"],
    ),
    "RLE as integers that do not fill its size": (
        change("annotations", segmentation={"size": [40, 60], "counts": [5, 2000]}),
        ["annotation 1: segmentation must be", "[5, 2000]"],
    ),
    "RLE with a character that no encoder writes": (
        change("annotations", segmentation={"size": [40, 60], "counts": "\ud83d"}),
        ["annotation 1: segmentation must be", "RLE of size [40, 60]"],
    ),
    "a polygon far away": (
        change("annotations", segmentation=[[0, 0, 1e9, 0, 1e9, 1e9]]),
        ["annotation 1: segmentation must be", "1000000000.0"],
    ),
    "an image outside of the folder": (
        change("images", file_name="../1.png"),
        ["image 1: file '../1.png' is outside the image folder", "relative"],
    ),
}


@pytest.mark.parametrize("door", ["train", "evaluate", "confusion"])
@pytest.mark.parametrize("item", ANNOTATION_ERRORS)
def test_wrong_annotation(content, folder, capsys, door, item):
    wrong, parts = ANNOTATION_ERRORS[item]
    wrong(content)
    path = write(folder, "wrong.json", content)
    results = write(folder, "results.json", [])
    out = earlier_out(folder, door)
    words = {
        "train": train_words(folder, path),
        "evaluate": ["evaluate", path, results, "--out", out],
        "confusion": ["confusion", path, results, "--out", out],
    }
    assert_refused(words[door], folder, capsys, f"{path}: ", *parts)


@pytest.mark.parametrize("door", ["train", "evaluate", "confusion"])
@pytest.mark.parametrize("damage", ["truncated", "malformed", "deeply nested", "empty"])
def test_damaged_json(content, folder, capsys, door, damage):
    text = {
        "truncated": json.dumps(content)[:-30],
        "malformed": json.dumps(content).replace('"width": 60', '"width": 6O'),
        "deeply nested": json.dumps(content).replace('"width": 60', '"width": ' + "[" * 100_000),
        "empty": "",
    }[damage]
    good, bad = write(folder, "good.json", content), write(folder, "bad.json", text)
    out = earlier_out(folder, door)
    if door == "train":
        assert_refused(train_words(folder, bad), folder, capsys, f"{bad}: not valid JSON")
        return
    for pair in ((bad, good), (good, bad)):
        words = [door, *pair, "--out", out]
        assert_refused(
            words, folder, capsys, f"{bad}: not valid JSON", "download or write it again"
        )


RESULT_ERRORS = {
    "NaN scores": ({"score": NAN}, ["score must be a finite number, got nan", "for NaN"]),
    "an image that does not exist": ({"image_id": 7}, ["image_id 7 is not the id of any image"]),
    "a category out of range": ({"category_id": 0}, ["category_id 0", "(ids 1 to 2)", "label"]),
    "a box of negative size": ({"bbox": [1, 1, -1, 1]}, ["bbox must be", "[1, 1, -1, 1]"]),
    "RLE of the wrong size": (
        {"segmentation": {"size": [60, 40], "counts": "P[2"}},
        ["'size': [40, 60]", "pycocotools"],
    ),
    "RLE that does not fill its size": (
        {"segmentation": SHORT_RUNS},
        ["the runs of the mask do not add up to 40 x 60 pixels", "pycocotools"],
    ),
}


@pytest.mark.parametrize("door", ["evaluate", "confusion"])
@pytest.mark.parametrize("item", RESULT_ERRORS)
def test_wrong_result(content, folder, capsys, door, item):
    wrong, parts = RESULT_ERRORS[item]
    mask = {"segmentation": {"size": [40, 60], "counts": "P[2"}}
    found = [detection(1, 0.9) | mask, detection(1, 0.8) | mask | wrong]
    truth, results = write(folder, "gt.json", content), write(folder, "results.json", found)
    out = earlier_out(folder, door)
    words = [door, truth, results, "--iou-type", "segm", "--out", out]
    assert_refused(words, folder, capsys, f"{results}: result 1: ", *parts)


def test_results_file_of_0_entries(content, folder, capsys):
    truth, results = write(folder, "gt.json", content), write(folder, "results.json", [])
    out = folder / "metrics.json"
    assert cli.main(["evaluate", truth, results, "--out", str(out)]) == 0
    for metrics in read_metrics(out).values():
        assert metrics["AP"] == metrics["APr"] == metrics["AR@300"] == 0
        assert np.isnan(metrics["APc"])  # no class is common
    assert cli.main(["confusion", truth, results]) == 0
    assert "objects 2: right class 0, other class 0, missed 2" in capsys.readouterr().out


def test_empty_class(content, folder, capsys):
    """The AP of a class without objects is undefined, not 0; detections of it are mistakes."""
    content["annotations"].pop()
    truth = write(folder, "gt.json", content)
    results = write(folder, "results.json", [detection(1, 0.9), detection(2, 0.8, (0, 0, 5, 5))])
    for backend in ("fast", "lvis"):
        out = folder / f"{backend}.json"
        words = ["evaluate", truth, results, "--backend", backend, "--out", str(out)]
        assert cli.main(words) == 0
        metrics = read_metrics(out)["bbox"]
        assert metrics["AP"] == metrics["APf"] == pytest.approx(1) and np.isnan(metrics["APr"])
    out = folder / "matrix.npz"
    assert cli.main(["confusion", truth, results, "--out", str(out)]) == 0
    matrix = np.load(out)["detections"]
    np.testing.assert_array_equal(matrix, [[1, 0, 0], [0, 0, 0], [0, 1, 0]])


DIRT = [
    instance(1, (50, 10, 20.5, 20), 300, ([50, 10, 71, 10, 71, 30, 50, 30],)),  # sticks out
    instance(1, (-5, 30, 20, 20), 300, ([-5, 30, 15, 30, 15, 50],)),  # sticks out at two sides
    instance(1, (60, 10, 5, 5), 25, ([60, 10, 65, 10, 65, 15],)),  # outside, touches the border
    instance(2, (-30, -30, 10, 10), 50, ([-30, -30, -20, -30, -20, -20],)),  # outside
    instance(2, (10, 10, 0, 20), 20),  # a box without area
    instance(2, (59.5, 10, 10, 20), 20),  # less than a pixel is inside
    instance(2, area=0),
]
SHORT = [
    instance(2, polygons=([10, 10, 30, 30],)),
    instance(2, polygons=([10, 10], [])),
    instance(2, polygons=()),
    instance(2, polygons=([10, 10, 30, 30], SQUARE)),  # one polygon has an area
]
LEFT_OUT = (
    "train.json: 8 of 13 annotations skipped: 2 outside the image, 2 with a width or height"
    " below one pixel, 1 without area, 3 without a mask of at least three points; boxes clipped to"
    " their image: 2"
)


def dirty(content: dict, dirt: list[dict]) -> dict:
    content["annotations"] += copy.deepcopy(dirt)
    for number, record in enumerate(content["annotations"], start=1):
        record["id"] = number
    return content


def test_boxes_outside_or_without_area_and_short_polygons_are_counted_in_training(
    content, folder, caplog
):
    from pcb.detection.dataset import LVISFormatDataset

    path = write(folder, "train.json", dirty(content, DIRT + SHORT))
    pipeline = [{"type": "LoadAnnotations", "with_bbox": True, "with_mask": True}]
    dataset = LVISFormatDataset(ann_file=path, pipeline=pipeline, img_prefix=str(folder))
    assert [r.message for r in caplog.records if r.levelno == logging.WARNING] == [LEFT_OUT]
    truth = dataset.get_ann_info(0)
    np.testing.assert_array_equal(
        truth["bboxes"],
        [[10, 10, 30, 30], [35, 5, 45, 15], [50, 10, 60, 30], [0, 30, 15, 40], [10, 10, 30, 30]],
    )
    assert truth["labels"].tolist() == [0, 1, 0, 0, 1]
    assert truth["masks"][-1] == [SQUARE]


def test_boxes_outside_or_without_area_are_evaluated_as_by_the_lvis_package(
    content, folder, capsys
):
    truth = write(folder, "gt.json", dirty(content, DIRT))
    mask = {"segmentation": {"size": [40, 60], "counts": "P[2"}}
    found = [detection(1, 0.9), detection(1, 0.8, (50, 10, 20.5, 20)), detection(2, 0.7)]
    found += [detection(2, 0.6, (-30, -30, 10, 10)), detection(1, 0.5, (60, 10, 5, 5))]
    results = write(folder, "results.json", [record | mask for record in found])
    metrics = {}
    for backend in ("fast", "lvis"):
        out = folder / f"{backend}.json"
        words = ["evaluate", truth, results, "--backend", backend, "--out", str(out)]
        assert cli.main(words) == 0
        metrics[backend] = read_metrics(out)
    for iou_type, values in metrics["lvis"].items():
        assert metrics["fast"][iou_type] == pytest.approx(values, abs=1e-12, nan_ok=True)
    assert 0.3 < metrics["fast"]["bbox"]["AP"] < 1  # objects outside can be found
    assert cli.main(["confusion", truth, results]) == 0
    assert "objects 9: " in capsys.readouterr().out


@pytest.mark.parametrize("index", [0, 1, 3])
def test_polygons_with_fewer_than_three_points_are_refused_where_they_are_evaluated(
    content, folder, capsys, index
):
    path = write(folder, "val.json", dirty(content, SHORT[index : index + 1]))
    parts = [f"{path}: annotation 3: segmentation", "at least three points", "remove"]
    results = write(folder, "results.json", [])
    assert_refused(["evaluate", path, results], folder, capsys, *parts)
    from pcb.datasets import AnnotationError
    from pcb.detection.dataset import LVISFormatDataset

    # This is detected before anything is predicted.
    with pytest.raises(AnnotationError, match="at least three points"):
        LVISFormatDataset(ann_file=path, pipeline=[], img_prefix=str(folder), test_mode=True)


def test_masks_are_not_evaluated_where_an_object_has_none(content, folder, capsys):
    path = write(folder, "val.json", dirty(content, [instance(2, polygons=())]))
    parts = [f"{path}: 1 of 3 annotations have no mask", "--iou-type bbox"]
    mask = {"segmentation": {"size": [40, 60], "counts": "P[2"}}
    results = write(folder, "results.json", [detection(1, 0.9) | mask])
    for door in ("evaluate", "confusion"):
        assert_refused([door, path, results, "--iou-type", "segm"], folder, capsys, *parts)
        assert cli.main([door, path, results, "--iou-type", "bbox"]) == 0
    capsys.readouterr()
    assert cli.main(["evaluate", path, results]) == 0
    printed = capsys.readouterr()
    assert "segm" not in printed.out and "masks are not evaluated" in printed.err


UNKNOWN = "configs/openmoji/sofmax.py"
NEAREST = "configs/openmoji/softmax.py"


def test_config_of_an_unknown_baseline(folder, capsys):
    run, checkpoint = folder / "run", str(folder / "run" / "latest.pth")
    for words in (
        ["train", UNKNOWN, "--replace", "--work-dir", str(run)],
        ["test", UNKNOWN, checkpoint],
    ):
        assert_refused(words, folder, capsys, f"no config {UNKNOWN}", f"did you mean {NEAREST!r}?")


def test_grid_of_an_unknown_baseline(folder):
    from pcb.grids.grid import read_grid

    text = "title: a grid\ndatasets: [openmoji]\nconfigs: [sofmax]\n"
    grid = write(folder, "grid.yaml", text)
    with pytest.raises(ValueError, match=r"no config 'openmoji/sofmax'; did you mean .*softmax'"):
        read_grid(grid)


def test_notebook_of_an_unknown_baseline(folder):
    """The first cells of the notebooks 00, 01 and 02 to 04."""
    from pcb import study
    from pcb.study import launch

    before = everything(folder)
    for open_it in (
        lambda: study.open_dataset(UNKNOWN),
        lambda: launch.start_training(UNKNOWN, folder / "run"),
        lambda: study.open_run(folder / "no run", UNKNOWN),
    ):
        with pytest.raises(
            FileNotFoundError, match=f"no config .*{UNKNOWN}.*; did you mean .*softmax"
        ):
            open_it()
    assert everything(folder) == before


def test_checkpoint_of_another_number_of_classes(tiny_options, folder, capsys):
    """To test it, or to resume the training."""
    from pcb.detection import load_config
    from pcb.detection.checkpoint import save_checkpoint
    from pcb.detection.engine.training import build_model

    roi_head = "model.roi_head."
    heads = ("bbox_head.num_classes", "bbox_head.loss_cls.num_classes", "mask_head.num_classes")
    more = {f"{roi_head}{head}": 9 for head in heads}
    model = build_model(load_config(CONFIG, tiny_options | more))
    checkpoint = folder / "run" / "latest.pth"
    meta = {"epoch": 1, "iter": 3}
    save_checkpoint(checkpoint, {"state_dict": model.state_dict(), "meta": meta})
    options = ["--device", "cpu", "--cfg-options", json.dumps(tiny_options)]
    parts = [
        "latest.pth does not fit the config",
        "with the wrong shape",
        "(9, 9) instead of (8, 8)",
    ]
    for words in (
        ["test", CONFIG, str(checkpoint)],
        ["train", CONFIG, "--work-dir", str(folder / "run"), "--resume"],
    ):
        assert_refused([*words, *options], folder, capsys, *parts, "Use the config")


def test_training_never_overwrites_a_config_of_the_user(folder, capsys, tiny_options):
    """Nor does it clear the folder of that config."""
    mine = folder / "mine"
    mine.mkdir()
    own = write(mine, "config.py", f"_base_ = ['{Path(CONFIG).resolve()}']\n")
    write(mine, "notes.csv", "mine")
    options = [
        "--device",
        "cpu",
        "--work-dir",
        str(mine),
        "--cfg-options",
        json.dumps(tiny_options),
    ]
    assert_refused(
        ["train", own, *options], folder, capsys, "would overwrite its own config", "work_dir"
    )
    assert_refused(
        ["train", CONFIG, *options], folder, capsys, str(mine), "do not belong to a training run"
    )


def test_refused_prediction_makes_no_folder(folder, capsys):
    for config, name in ((CONFIG, "none/latest.pth"), ("none.py", "none/latest.pth")):
        assert_refused(["test", config, str(folder / name)], folder, capsys, "does not exist")
        assert not (folder / "none").exists()
    (folder / "latest.pth").write_bytes(b"")
    words = ["test", "none.py", str(folder / "latest.pth"), "--work-dir", str(folder / "none")]
    assert_refused(words, folder, capsys, "no config none.py")
    assert not (folder / "none").exists()


@pytest.mark.parametrize("command", ["train", "test"])
def test_run_folder_below_a_file(folder, capsys, tiny_options, command, checkpoint):
    file = write(folder, "file", "mine")
    words = [command, CONFIG] + ([checkpoint] if command == "test" else [])
    options = ["--device", "cpu", "--cfg-options", json.dumps(tiny_options)]
    for work_dir, part in ((file, "is not a folder"), (f"{file}/run", f"is below {file}")):
        assert_refused([*words, "--work-dir", work_dir, *options], folder, capsys, part)


@pytest.fixture
def checkpoint(tiny_options, folder) -> str:
    """Weights that fit the config, in a folder of their own."""
    from pcb.detection import load_config
    from pcb.detection.checkpoint import save_checkpoint
    from pcb.detection.engine.training import build_model

    model = build_model(load_config(CONFIG, tiny_options))
    (folder / "weights").mkdir()
    path = folder / "weights" / "official.pth"
    save_checkpoint(path, {"state_dict": model.state_dict(), "meta": {}})
    return str(path)


@pytest.mark.parametrize(
    "name, what",
    [("metrics.json", "metrics"), ("confusion.npz", "matrices"), ("predictions/bbox.json", "pred")],
)
def test_prediction_overwrites_nothing_else(folder, capsys, tiny_options, checkpoint, name, what):
    foreign = Path(checkpoint).parent / name
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text("mine")
    words = ["test", CONFIG, checkpoint, "--device", "cpu", "--cfg-options"]
    parts = [what, str(foreign), "not an earlier result", "another work_dir"]
    assert_refused([*words, json.dumps(tiny_options)], folder, capsys, *parts)
