"""``pcb predict``: any images, the pictures and the files that it writes."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pcb.cli import main as cli
from pcb.detection import load_config
from pcb.detection.checkpoint import save_checkpoint
from pcb.detection.config.loading import save_config
from pcb.detection.engine.training import build_model
from pcb.runs.folder import RunFolder

CONFIG = "tests/configs/tiny_pcb.py"
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


@pytest.fixture(scope="session")
def run(tiny_options, tmp_path_factory):
    """A run folder whose detector finds something."""
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    torch.manual_seed(0)
    cfg = load_config(CONFIG, tiny_options)
    model = build_model(cfg)
    nn.init.normal_(model.roi_head.bbox_head.fc_cls.weight, std=0.3)
    save_checkpoint(folder.checkpoint, {"state_dict": model.state_dict()})
    save_config(cfg, folder.config_file)
    return folder.path


@pytest.fixture
def images(tmp_path):
    """A folder of images of many kinds: one is turned by its EXIF data, one broken, one thin."""
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    colour = Image.fromarray(PIXELS)
    turned = Image.Exif()
    turned[0x112] = 6
    colour.save(folder / "fox.png")
    colour.save(folder / "fox.jpg", exif=turned)
    colour.convert("L").save(folder / "sub" / "fox.png")
    colour.convert("RGBA").save(folder / "sub" / "alpha.webp")
    Image.fromarray(np.uint16(PIXELS[..., 0]) * 257).save(folder / "sub" / "deep.tif")
    (folder / "sub" / "broken.jpg").write_bytes(b"no image")
    Image.fromarray(np.zeros((1, 2000, 3), np.uint8)).save(folder / "sub" / "thin.png")
    return folder


def predict(*words) -> int:
    return cli.main(["predict", *map(str, words), "--device", "cpu"])


@pytest.mark.slow
def test_pictures_and_results_of_a_folder(run, images, tmp_path, capsys):
    out = tmp_path / "out"
    assert predict(run, images, "--out", out) == 1  # two images cannot be used
    shown = capsys.readouterr()
    assert "broken.jpg cannot be opened" in shown.err
    assert "images that cannot be used, and were skipped: 2 of 7" in shown.err
    assert "sub/thin.png is 2000 x 1 pixels, which is too thin to be resized" in shown.err
    assert "class names and category ids from" in shown.err

    written = {str(file.relative_to(out)) for file in out.rglob("*.png")}
    assert written == {"fox.png", "fox.jpg.png"} | {
        f"sub/{name}" for name in ("fox.png", "alpha.webp.png", "deep.tif.png")
    }
    listed = json.loads((out / "images.json").read_text())
    sizes = {one["file_name"]: (one["width"], one["height"]) for one in listed["images"]}
    assert sizes["fox.jpg"] == (40, 60) and sizes["fox.png"] == (60, 40) and len(sizes) == 5
    assert [one["id"] for one in listed["categories"]] == list(range(1, 9))

    results = json.loads((out / "results.json").read_text())
    assert {one["image_id"] for one in results} <= {one["id"] for one in listed["images"]}
    assert set(results[0]) == {"image_id", "category_id", "score", "bbox", "segmentation"}
    confident = sum(one["score"] >= 0.3 for one in results)
    assert f"5 images with {len(results):,} detections, of which {confident:,} with" in shown.out


@pytest.mark.slow
def test_threshold_affects_only_pictures_and_results_may_be_replaced(run, images, tmp_path, capsys):
    out, words = (
        images / "out",
        (run, "--out", images / "out", images / "fox.png", images / "fox.jpg"),
    )
    assert predict(*words, "--score-threshold", "2") == 0
    first = (out / "results.json").read_bytes(), (out / "fox.png").read_bytes()
    assert "of which 0 with score >= 2" in capsys.readouterr().out
    assert predict(*words, "--score-threshold", "0") == 0
    second = (out / "results.json").read_bytes(), (out / "fox.png").read_bytes()
    assert first[0] == second[0] and first[1] != second[1]
    # The pictures in the output folder are no images to search.
    assert predict(run, images, "--out", out) == 1
    assert f"images in the output folder {out} are left out: 2" in capsys.readouterr().err


@pytest.mark.slow
def test_image_list_without_annotations_keeps_its_ids(run, tiny_openmoji, tmp_path):
    content = json.loads((tiny_openmoji / "annotations" / "val.json").read_text())
    images = content["images"][:3]
    for image in images:
        image["id"] += 1000
    file = tmp_path / "test_dev.json"
    file.write_text(json.dumps({"images": images, "categories": content["categories"]}))
    out = tmp_path / "out"
    words = (run, "--images-of", file, "--image-dir", tiny_openmoji / "val", "--out", out)
    assert predict(*words) == 0
    listed = json.loads((out / "images.json").read_text())["images"]
    assert [one["id"] for one in listed] == [one["id"] for one in images]
    results = json.loads((out / "results.json").read_text())
    assert {one["image_id"] for one in results} <= {one["id"] for one in images}


@pytest.mark.slow
def test_images_without_annotations_are_tested_without_metrics(
    run, tiny_openmoji, tmp_path, capsys
):
    content = json.loads((tiny_openmoji / "annotations" / "val.json").read_text())
    del content["annotations"]
    (file := tmp_path / "test_dev.json").write_text(json.dumps(content))
    folder = RunFolder(tmp_path / "out")
    words = ["test", str(run), str(RunFolder(run).checkpoint), "--work-dir", str(folder.path)]
    options = json.dumps({"data.val.ann_file": str(file)})
    assert cli.main([*words, "--device", "cpu", "--cfg-options", options]) == 0
    printed = capsys.readouterr().out
    assert "No metrics: the images have no annotations." in printed
    ids = {image["id"] for image in content["images"]}
    for iou_type in ("bbox", "segm"):
        found = json.loads(folder.predictions(iou_type).read_text())
        assert found and {one["image_id"] for one in found} <= ids
        assert str(folder.predictions(iou_type)) in printed
    assert not folder.metrics_file.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["results.json", "images.json", "fox.png"])
def test_foreign_files_and_inputs_are_kept(name, run, images, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    content = (images / "fox.png").read_bytes() if name == "fox.png" else b'{"mine": 1}'
    (out / name).write_bytes(content)
    assert predict(run, images / "fox.png", "--out", out) == cli.USER_ERROR
    assert f"{name} exists and is not an earlier result" in capsys.readouterr().err
    assert [file.name for file in out.iterdir()] == [name]
    assert (out / name).read_bytes() == content
    assert predict(run, images / "fox.png", "--out", images) == cli.USER_ERROR
    assert "is the input file" in capsys.readouterr().err


@pytest.mark.slow
def test_size_that_differs_from_the_list_skips_the_image(run, images, tmp_path, capsys):
    categories = [{"id": n, "name": f"class {n}"} for n in range(1, 9)]
    image = {"id": 7, "file_name": "fox.png", "width": 61, "height": 40}
    file = tmp_path / "list.json"
    file.write_text(json.dumps({"images": [image], "categories": categories}))
    words = ("--images-of", file, "--image-dir", images, "--out", tmp_path / "out")
    assert predict(run, *words) == 1
    assert "is 60x40 pixels, but its size in the annotations is 61x40" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == []


@pytest.mark.parametrize(
    "words, message",
    [
        (["run"], "pass image files or folders"),
        (["run", "a.png", "--images-of", "x.json"], "pass image files or folders"),
        (["run", "--images-of", "x.json"], "--images-of and --image-dir belong together"),
        (["run", "a.png", "--image-dir", "x"], "--images-of and --image-dir belong together"),
        (["run", "no.png"], "1 of 1 paths do not exist"),
    ],
)
def test_wrong_words_end_with_one_line(words, message, tmp_path, capsys):
    assert predict(*words, "--out", tmp_path / "out") == cli.USER_ERROR
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_images_may_follow_options():
    options = cli.parse(["predict", "run", "a.png", "--out", "out", "b.png"])
    assert options.images == ["a.png", "b.png"]
    assert cli.parse(["predict", "run", "--out", "out", "b.png"]).images == ["b.png"]
    with pytest.raises(SystemExit):
        cli.parse(["predict", "run", "a.png", "--out", "out", "--unknown"])
