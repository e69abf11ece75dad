"""A user's COCO files become a dataset with configs for all baselines."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pcb.cli import main as cli
from pcb.datasets import AnnotationError, read_annotations, read_compact_annotations
from pcb.evaluation import evaluate
from pcb.own_data import import_data

ROOT = Path(__file__).resolve().parents[2]
SIZES = [(96, 64), (64, 96), (80, 80)]  # width and height
CLASSES = {7: "cup", 12: "plate", 31: "fork"}
BASELINES = ("softmax", "rfs", "eqlv2", "seesaw")


def make_coco(folder: Path, images: int, seed: int) -> tuple[dict, list[dict]]:
    """Write pictures to subfolders, and return COCO annotations and detections.

    The ids have gaps. Every fifth image is empty, and one object in twelve is a crowd.
    """
    rng = np.random.default_rng(seed)
    content = {"images": [], "annotations": [], "info": {"year": 2020}}
    content["categories"] = [
        {"id": i, "name": name, "supercategory": "table"} for i, name in CLASSES.items()
    ]
    results = []
    for number in range(images):
        width, height = SIZES[number % 3]
        image_id, name = 100 + 3 * number, f"part{number % 2}/{seed}_{number:03}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
        content["images"].append(
            {"id": image_id, "file_name": name, "width": width, "height": height}
        )
        for _ in range(0 if number % 5 == 4 else int(rng.integers(1, 5))):
            x, y = rng.integers(0, 30, 2).tolist()
            w, h = rng.integers(12, 34, 2).tolist()
            corners = [x, y, x + w, y, x + w, y + h, x, y + h]
            encoded = mask.merge(mask.frPyObjects([corners], height, width))
            crowd = int(len(content["annotations"]) % 12 == 11)
            category = int(rng.choice(list(CLASSES), p=[0.7, 0.2, 0.1]))
            run_lengths = {"size": [height, width], "counts": encoded["counts"].decode()}
            content["annotations"].append(
                {
                    "id": 1000 + 2 * len(content["annotations"]),
                    "image_id": image_id,
                    "category_id": category,
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": crowd,
                    "segmentation": run_lengths if crowd or rng.random() < 0.3 else [corners],
                }
            )
            for _ in range(3):
                found = int(category if rng.random() < 0.8 else rng.choice(list(CLASSES)))
                dx, dy, dw, dh = rng.integers(-3, 4, 4).tolist()
                box = [max(0, x + dx), max(0, y + dy), w + dw, h + dh]
                shape = [box[0], box[1], box[0] + box[2], box[1], box[0] + box[2]]
                shape += [box[1] + box[3], box[0], box[1] + box[3]]
                drawn = mask.merge(mask.frPyObjects([shape], height, width))
                results.append(
                    {
                        "image_id": image_id,
                        "category_id": found,
                        "bbox": box,
                        "segmentation": {**drawn, "counts": drawn["counts"].decode()},
                        "score": round(float(rng.random()), 3),
                    }
                )
    return content, results


@pytest.fixture
def coco(tmp_path):
    """Folder with ``train.json``, ``val.json``, ``results.json`` and the folder ``pictures``."""
    for name, images, seed in (("train", 30, 1), ("val", 20, 2)):
        content, results = make_coco(tmp_path / "pictures", images, seed)
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "results.json").write_text(json.dumps(results))
    return tmp_path


def imported(_folder, names) -> list[str]:
    """Return which files and folders belong to datasets that a user has imported here."""
    grids = (ROOT / "workflow/grids").glob("*.yaml")
    datasets = {grid.stem for grid in grids if "`pcb data import`" in grid.read_text()}
    return [name for name in names if Path(name).stem in datasets]


@pytest.fixture
def root(tmp_path):
    """A repository that contains only the files that configs inherit from."""
    root = tmp_path / "repository"
    shutil.copytree(ROOT / "configs/_base_", root / "configs/_base_", ignore=imported)
    return root


@pytest.fixture
def run_import(coco, root):
    """Function that imports the files of ``coco`` as the dataset ``table``."""

    def run(train="train.json", val="val.json", **arguments):
        arguments = {"images": [coco / "pictures"], "name": "table", "root": root, **arguments}
        return import_data(coco / train, coco / val, **arguments)

    return run


def change(path: Path, edit) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_imported_annotations_have_the_ap_of_coco(coco, root, run_import):
    run_import()
    results = json.loads((coco / "results.json").read_text())
    imported = read_annotations(root / "data/table/annotations/val.json", coco / "pictures")
    assert imported.crowds
    for iou_type in ("bbox", "segm"):
        truth = COCO(str(coco / "val.json"))
        detections = truth.loadRes(copy.deepcopy(results))
        evaluation = COCOeval(truth, detections, iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        ours = evaluate(imported, results, iou_type)[iou_type]["AP"]
        assert 0.1 < ours == pytest.approx(evaluation.stats[0], abs=1e-6)


def test_lvis_keys_come_from_the_training_counts(coco, root, run_import):
    run_import()
    original = json.loads((coco / "train.json").read_text())
    pairs = {(a["image_id"], a["category_id"]) for a in original["annotations"] if not a["iscrowd"]}
    counts = [sum(category == i for _, category in pairs) for i in CLASSES]
    for split in ("train", "val"):
        annotations = read_annotations(root / f"data/table/annotations/{split}.json")
        assert annotations.image_count.tolist() == counts
        assert annotations.category_ids == list(CLASSES) and annotations.federated
        for image in annotations.images:
            present = {a["category_id"] for a in annotations.annotations
                       if a["image_id"] == image["id"]}  # fmt: skip
            assert set(image["neg_category_ids"]) == CLASSES.keys() - present


def test_every_config_is_valid_and_pairs_differ_by_pcb_alone(root, run_import):
    from pcb.detection import load_config

    settings = run_import(epochs=12)
    assert (settings.drops, settings.start_epoch, settings.rarest > 0) == ((8, 11), 9, True)
    for baseline in BASELINES:
        plain, balanced = (
            load_config(root / f"configs/table/{baseline}{ending}.py") for ending in ("", "_pcb")
        )
        loss = balanced.model.roi_head.bbox_head.loss_cls
        assert loss.start_epoch == 9 and loss.momentum == settings.momentum(3)
        assert plain.model.roi_head.bbox_head.num_classes == 3
        assert plain.runner.max_epochs == 12 and plain.lr_config.step == [8, 11]
        assert plain.data == balanced.data and plain.optimizer == balanced.optimizer


def test_grid_names_all_baselines(root, run_import):
    from pcb.grids.grid import read_grid

    run_import()
    grid = read_grid(root / "workflow/grids/table.yaml", root / "configs", ROOT / "notebooks")
    assert grid.datasets == ["table"] and tuple(grid.baselines) == BASELINES


def test_settings_follow_from_the_data(coco, root, run_import):
    small = run_import()
    assert small.family == "small" and small.scale == (96, 80)
    assert small.rate == pytest.approx(1e-3) and small.images_per_step == 4

    def enlarge(content):
        for image in content["images"]:
            image |= {"width": 640, "height": 480}
            Image.new("RGB", (640, 480)).save(coco / "pictures" / image["file_name"])
        for annotation in content["annotations"]:
            annotation["segmentation"] = [[0, 0, 9, 0, 9, 9]]

    change(coco / "train.json", enlarge)
    large = run_import(name="large", images_per_step=8)
    assert large.family == "photographs" and large.scale == (640, 480)
    assert large.rate == pytest.approx(0.02 * 8 / 16)
    text = (root / "configs/large/softmax.py").read_text()
    assert "mask_rcnn_r50_fpn.py" in text
    with pytest.raises(ValueError, match="epochs must be at least 2"):
        run_import(name="short", epochs=1)


def test_class_without_training_image_does_not_keep_pcb_waiting(coco, root, run_import, caplog):
    def drop_forks(content):
        content["annotations"] = [a for a in content["annotations"] if a["category_id"] != 31]

    change(coco / "train.json", drop_forks)
    assert run_import().absent == 1
    assert 'required_classes="present"' in (root / "configs/table/softmax.py").read_text()


def test_classes_are_matched_by_name(coco, root, run_import, caplog):
    def renumber(content):
        content["categories"] = [
            {"id": 0, "name": "table", "supercategory": "none"},
            *({"id": 50 - i, "name": n, "supercategory": "table"} for i, n in CLASSES.items()),
        ]
        for annotation in content["annotations"]:
            annotation["category_id"] = 50 - annotation["category_id"]

    before = json.loads((coco / "val.json").read_text())
    change(coco / "val.json", renumber)
    run_import()
    val = read_annotations(root / "data/table/annotations/val.json")
    assert [a["category_id"] for a in val.annotations] == [
        a["category_id"] for a in before["annotations"] if not a["iscrowd"]
    ]
    assert "categories above the classes are dropped: 1 of 4 categories" in caplog.text
    assert "category ids are replaced" in caplog.text


def test_images_are_found_under_slightly_different_names(coco, root, run_import, caplog):
    def rename(content):
        for number, image in enumerate(content["images"]):
            name = image["file_name"].replace("/", "\\")
            image["file_name"] = (name, name.upper(), name.rpartition("\\")[2])[number % 3]

    change(coco / "train.json", rename)
    run_import()
    train = read_compact_annotations(root / "data/table/annotations/train.json", coco / "pictures")
    assert len(train.image_names) == 30
    assert "only in case or Unicode form: 10 of 30 images" in caplog.text
    assert "in other folders than stated: 10 of 30 images" in caplog.text


def test_all_faults_are_reported_before_anything_is_written(coco, root, run_import):
    before = files(root)
    change(coco / "train.json", lambda c: c["annotations"][0].update(bbox=[1, 2, 3]))
    change(coco / "val.json", lambda c: c["images"][0].update(width=0))
    with pytest.raises(AnnotationError) as error:
        run_import()
    for part in ("2 faults", "train.json: annotation 1000: bbox", "val.json: image 100: width"):
        assert part in str(error.value)
    change(coco / "train.json", lambda c: c["annotations"][0].update(bbox=[1, 2, 3, 4]))
    change(coco / "val.json", lambda c: c["images"][0].update(width=96))
    change(coco / "val.json", lambda c: c["categories"][0].update(id=99, name="spoon"))
    change(coco / "val.json", lambda c: [a.update(category_id=99) for a in c["annotations"]])
    (coco / "pictures" / "part0" / "1_000.png").unlink()
    with pytest.raises(AnnotationError) as error:
        run_import()
    for part in ("lacks 1 of the annotated classes", "(spoon)", "lacks 1 of 30 images"):
        assert part in str(error.value)
    assert files(root) == before


def test_faults_of_records_and_of_images_are_one_message(coco, root, run_import):
    before = files(root)

    def spoil(content):
        content["images"][5]["height"] = 0  # the other images are still looked for
        for category in content["categories"]:
            category["name"] = ""

    change(coco / "train.json", spoil)
    change(coco / "val.json", lambda c: c["annotations"][0].update(bbox=[1, 2, 3]))
    change(coco / "val.json", lambda c: c["images"][4].update(width=95))
    (coco / "pictures/part0/1_000.png").unlink()
    (coco / "pictures/part1/1_001.png").write_bytes(b"no picture")
    with pytest.raises(AnnotationError) as error:
        run_import()
    for number, part in enumerate(
        (
            "train.json: category 7: name must be non-empty text, got '' (also in 2 other",
            "train.json: image 115: width and height must be integers",
            "val.json: annotation 1000: bbox must be [x, y, width, height]",
            f"train.json: the folder {coco}/pictures lacks 1 of 29 images (part0/1_000.png)",
            "train.json: 1 of 28 images are damaged (part1/1_001.png is not an image)",
            "val.json: 1 of 20 images do not have the size",
        ),
        start=1,
    ):
        assert f"({number}) {coco}/{part}" in str(error.value)
    assert str(error.value).startswith("6 faults: ") and files(root) == before


def test_images_of_both_files_are_counted(coco, root, run_import, caplog):
    run_import()
    assert "also training images" not in caplog.text
    (coco / "pictures/linked.png").symlink_to(coco / "pictures/part0/1_000.png")

    def share(content):
        content["images"][3]["file_name"] = "PART1/1_003.png"
        content["images"][9] |= {"file_name": "linked.png"}

    change(coco / "val.json", share)
    run_import(replace=True)
    assert "val.json: 2 of 20 images are also training images" in caplog.text
    run_import(val="train.json", replace=True)
    assert "train.json: 30 of 30 images are also training images" in caplog.text


def test_one_file_for_different_images_is_refused(coco, root, run_import):
    """Validation annotations must not silently lie on training images of equal names."""

    def move(content):
        for image in content["images"]:
            image["file_name"] = "val/" + image["file_name"].rpartition("/")[2].replace("2_", "1_")

    change(coco / "val.json", move)
    shutil.rmtree(coco / "pictures")
    make_coco(coco / "pictures", 30, 1)
    with pytest.raises(AnnotationError, match=r"part0/1_000\.png and val/1_000\.png, .*TRAIN VAL"):
        run_import()
    assert not (root / "data").exists()


def test_names_of_other_tools_are_understood(coco, root, run_import, caplog):
    folder = coco / "pictures/part0"
    (folder / "1_000.png").rename(folder / "cafe\u0301 1.png")
    names = {
        "part0/caf\u00e9 1.png": "case or Unicode form",
        "/data/local-files/?d=part0%2F1_002.png": "addresses are decoded",
        "https://example.org/part0/1_004.png?width=9": "addresses are decoded",
        "/data/upload/7/1a2b3c4d-1_006.png": "without the prefix of an upload",
        str(coco / "pictures/part0/1_008.png"): "in other folders than stated",
        "COCO_train2014_1_010.png": "without 'COCO_...'",
    }

    def rename(content):
        for image, name in zip(content["images"][::2], names, strict=False):
            image["file_name"] = name

    change(coco / "train.json", rename)
    run_import()
    for assumption in names.values():
        assert f"{assumption}: " in caplog.text
    assert "absolute path, but was read as one in the folder: 3 of 30 images" in caplog.text
    read = read_compact_annotations(root / "data/table/annotations/train.json", coco / "pictures")
    assert list(read.image_names[:11:2]) == [
        f"part0/{name}.png"
        for name in ("cafe\u0301 1", "1_002", "1_004", "1_006", "1_008", "1_010")
    ]


def test_areas_of_0_are_computed_and_empty_masks_refused(coco, root, run_import, caplog):
    expected = json.loads((coco / "val.json").read_text())["annotations"]
    change(coco / "val.json", lambda c: [a.update(area=0) for a in c["annotations"]])
    run_import()
    objects = [a for a in expected if not a["iscrowd"]]
    assert (
        f"'area' is 0 and was computed from the mask or the box: {len(objects)} of" in caplog.text
    )
    found = read_annotations(root / "data/table/annotations/val.json", crowds="ignore").annotations
    assert [a["area"] for a in found] == [a["area"] for a in objects]

    def clear(content):
        size = content["annotations"][1]["segmentation"]
        image = {i["id"]: i for i in content["images"]}[content["annotations"][1]["image_id"]]
        size = [image["height"], image["width"]]
        empty = {"size": size, "counts": [size[0] * size[1]]}
        content["annotations"][1]["segmentation"] = empty

    change(coco / "val.json", clear)
    with pytest.raises(AnnotationError, match=r"1 of \d+ masks have no pixel \(annotations 1002\)"):
        run_import(replace=True)
    run_import(replace=True, boxes=True)


def test_lists_with_unknown_classes_are_counted(coco, root, run_import, caplog):
    def list_absent(content):
        for image in content["images"]:
            image |= {"neg_category_ids": [7, 99], "not_exhaustive_category_ids": []}

    change(coco / "val.json", list_absent)
    run_import()
    assert "ids of no class are dropped from neg_category_ids and" in caplog.text
    assert "not_exhaustive_category_ids: 20 of 40" in caplog.text


def test_names_in_any_script_reach_the_configs(coco, root, run_import):
    (coco / "pictures").rename(coco / "\U0001f98a \u00e9")
    run_import(images=[coco / "\U0001f98a \u00e9"], name="on")
    from pcb.detection import load_config

    cfg = load_config(root / "configs/on/softmax.py")
    assert cfg.data.train.img_prefix == str(coco / "\U0001f98a \u00e9")
    grid = yaml.safe_load((root / "workflow/grids/on.yaml").read_text())
    assert grid["datasets"] == ["on"]


def test_records_must_not_share_an_image(coco, run_import):
    change(coco / "train.json", lambda c: c["images"][3].update(file_name="1_000.PNG"))
    with pytest.raises(AnnotationError, match=r"are the same file.*part0/1_000\.png"):
        run_import()


def test_ids_that_are_text_become_equal_numbers_in_both_files(coco, root, run_import, caplog):
    def to_text(content):
        for record in (*content["images"], *content["categories"], *content["annotations"]):
            for key in record.keys() & {"id", "image_id", "category_id"}:
                record[key] = f"id-{record[key]}"

    change(coco / "train.json", to_text)
    change(coco / "val.json", lambda content: (to_text(content), content["categories"].reverse()))
    results = json.loads((coco / "results.json").read_text())
    for result in results:
        result |= {key: f"id-{result[key]}" for key in ("image_id", "category_id")}
    run_import()
    assert "'id' is text and was replaced by a number: 20 of 20 images" in caplog.text
    assert "category ids are replaced" not in caplog.text
    original, imported = (
        evaluate(file, results, "bbox")["bbox"]["AP"]
        for file in (coco / "val.json", root / "data/table/annotations/val.json")
    )
    assert 0.1 < original == pytest.approx(imported)


@pytest.mark.parametrize("step", [5, 1])
def test_crowds_are_asked_for_then_read_as_chosen(coco, root, run_import, caplog, step):
    def mark(content):
        for number, annotation in enumerate(content["annotations"]):
            annotation["iscrowd"] = int(number % step == 0)

    for split in ("train", "val"):
        change(coco / f"{split}.json", mark)
    records = json.loads((coco / "train.json").read_text())["annotations"]
    crowds = sum(record["iscrowd"] for record in records)
    asked = rf"train.json: {crowds} of {len(records)} annotations .*objects.*ignore.*val.json: "
    with pytest.raises(AnnotationError, match=asked):
        run_import()
    if step == 1:
        with pytest.raises(AnnotationError, match=r"2 faults: .*train\.json has no object apart"):
            run_import(crowds="ignore")
        assert not (root / "data").exists()
    else:
        run_import(crowds="ignore")
        imported = read_annotations(root / "data/table/annotations/train.json", crowds="ignore")
        assert len(imported.crowds) == crowds
        assert sum(imported.instance_count) == len(records) - crowds
    run_import(crowds="objects", replace=True)
    imported = read_annotations(root / "data/table/annotations/train.json")  # asks nothing
    assert sum(imported.instance_count) == len(imported.annotations) == len(records)
    assert "are read as single objects" in caplog.text


@pytest.mark.parametrize("epochs, drops, said", [
    (2, 1, ["x 1 epoch.", "after 16/24 of the epochs", "the end of these 2 epochs"]),
    (24, 2, ["x 16 epochs.", "after 16/24 and 22/24 of the epochs"]),
])  # fmt: skip
def test_comments_in_configs_state_what_was_computed(root, run_import, epochs, drops, said):
    settings = run_import(epochs=epochs)
    text = "".join((root / file).read_text() for file in files(root) if "table" in file)
    assert len(settings.drops) == drops and all(part in text for part in said)
    assert f"{settings.calls(3)} times: {settings.rarest} images x 3 calls of the loss" in text


def test_boxes_without_masks(coco, root, run_import, caplog):
    change(coco / "train.json", lambda c: c["annotations"][0].pop("segmentation"))
    with pytest.raises(AnnotationError, match=r"1 of \d+ in .*train.json.*--boxes"):
        run_import()
    assert not run_import(boxes=True).has_masks
    for name in ("train", "val"):
        change(coco / f"{name}.json", lambda c: [a.pop("segmentation", 0)
                                                 for a in c["annotations"]])  # fmt: skip
        if name == "train":
            with pytest.raises(AnnotationError, match=r"and 0 of \d+ in .*val.json.*--boxes"):
                run_import(replace=True)
    assert not run_import(replace=True).has_masks
    assert "the configs train boxes alone" in caplog.text
    for baseline in BASELINES:
        text = (root / f"configs/table/{baseline}.py").read_text()
        assert "mask" not in text


@pytest.mark.parametrize("name", ["My data", "_base_", "Table", "", "1", "a" * 101, "lab"])
def test_invalid_name(run_import, name):
    with pytest.raises(ValueError, match=r"lower-case letters|choose another name"):
        run_import(name=name)


def test_taken_name(coco, root, run_import):
    run_import()
    with pytest.raises(ValueError, match=r"already imported.*--replace"):
        run_import()
    run_import(replace=True)
    (root / "configs" / "mine").mkdir()
    for replace in (False, True):
        with pytest.raises(ValueError, match="configs/mine exists and is not from an import"):
            run_import(name="mine", replace=replace)


def test_shared_files_are_never_replaced(coco, run_import, root):
    shutil.copytree(ROOT / "configs", root / "configs", ignore=imported, dirs_exist_ok=True)
    shutil.copytree(ROOT / "workflow/grids", root / "workflow/grids", ignore=imported)
    taken = {path.name for path in (root / "configs").iterdir() if path.name != "_base_"}
    for folder in ("configs/_base_/datasets", "configs/_base_/schedules", "configs/_base_/pcb"):
        taken |= {path.stem for path in (root / folder).glob("*.py")}
    taken |= {path.stem for path in (root / "workflow/grids").glob("*.yaml")}
    assert {"published", "scaled", "lvis_2x", "openmoji", "lvis_v1", "demo"} <= taken
    before = {file: (root / file).read_bytes() for file in files(root)}
    for name in taken:
        for replace in (False, True):
            with pytest.raises(ValueError, match=rf"{name}.* exists and is not from an import"):
                run_import(name=name, replace=replace)
    assert {file: (root / file).read_bytes() for file in files(root)} == before


def test_interrupted_import_can_be_repeated(root, run_import, monkeypatch):
    from pcb.own_data import importing

    write = importing.write_atomically

    def stop_at_data(path, text):
        if path.is_relative_to(root / "data"):
            raise KeyboardInterrupt
        write(path, text)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(importing, "write_atomically", stop_at_data)
        run_import()
    assert run_import(replace=True).num_images == 30


def test_command(coco, root, monkeypatch, capsys):
    monkeypatch.setattr("pcb.own_data.importing.repository_root", lambda: root)
    words = ["data", "import", str(coco / "train.json"), str(coco / "val.json")]
    words += ["--images", str(coco / "pictures"), "--name", "table", "--images-per-step", "2"]
    assert cli.main(words) == 0
    printed = capsys.readouterr()
    assert "0.001 is meant for 4 images per step, and you have 2" in printed.out
    assert "make grid GRID=table" in printed.out
    assert "regions to ignore" in printed.err
    assert cli.main(words) == 2
    assert "--replace" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("config", ["softmax", "softmax_pcb"])
def test_imported_data_trains(coco, root, run_import, config):
    from pcb.detection.engine.training import train

    run_import(epochs=2)
    options = {
        f"data.{split}.ann_file": str(root / f"data/table/annotations/{split}.json")
        for split in ("train", "val")
    }
    options |= {"runner.max_epochs": 1, "data.workers_per_gpu": 0}
    run = train(root / f"configs/table/{config}.py", coco / "run", 0, options, device="cpu")
    assert run.checkpoint.is_file()


def test_wrong_and_damaged_images_are_found(coco, root, run_import):
    (coco / "pictures/part0/1_000.png").write_bytes(b"no picture")
    Image.new("RGB", (9, 9)).save(coco / "pictures/part1/1_001.png")
    with pytest.raises(AnnotationError) as error:
        run_import()
    for part in ("1 of 30 images are damaged", "1 of 30 images do not have the size"):
        assert part in str(error.value)


def test_weights_choose_the_model_that_they_fit(coco, root, run_import):
    weights = coco / "coco.pth"
    weights.touch()
    assert run_import(weights=str(weights)).family == "photographs"
    text = (root / "configs/table/softmax.py").read_text()
    assert "mask_rcnn_r50_fpn.py" in text and f'load_from = "{weights}"' in text
    with pytest.raises(FileNotFoundError, match=r"the weights .* do not exist"):
        run_import(weights=str(coco / "absent.pth"), name="other")
