"""``pcb report``: one page about the results of any detector."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pcb.cli import main as cli
from pcb.cli import report
from tests.support.browser import needs_browser, open_page

ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES = 10_000_000


@pytest.fixture(scope="module")
def files(tmp_path_factory, tiny_openmoji) -> dict[str, Path]:
    """Ground truth in COCO's format and two results files; one of them has a hostile name."""
    folder = tmp_path_factory.mktemp("report")
    content = json.loads((tiny_openmoji / "annotations" / "val.json").read_text())
    for category in content["categories"]:
        for key in ("frequency", "image_count", "instance_count"):
            category.pop(key, None)
    for image in content["images"]:
        for key in ("neg_category_ids", "not_exhaustive_category_ids"):
            image.pop(key, None)
    truth = folder / "annotations" / "gt.json"
    truth.parent.mkdir()
    truth.write_text(json.dumps(content))
    first = content["categories"][0]["id"]
    found = [
        {key: record[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.9}
        for record in content["annotations"]
    ]
    good, poor = folder / "good <b>$x$.json", folder / "poor.json"
    good.write_text(json.dumps(found))
    poor.write_text(json.dumps([record | {"category_id": first} for record in found]))
    return {"truth": truth, "good": good, "poor": poor, "images": tiny_openmoji / "val"}


@pytest.fixture(scope="module")
def made(files, tmp_path_factory) -> tuple[Path, str]:
    """A page that was made without mmcv and mmdet, and the printed text."""
    folder = tmp_path_factory.mktemp("page")
    blocked = "import sys\nfor name in ('mmcv', 'mmdet'):\n    sys.modules[name] = None\n"
    (folder / "sitecustomize.py").write_text(blocked)  # Python imports it, also in a kernel
    page = folder / "page.html"
    command = [sys.executable, "-m", "pcb", "report", files["truth"], files["good"]]
    command += ["--before", files["poor"], "--images", files["images"], "--out", page]
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return page, done.stdout


@pytest.mark.slow
def test_report_needs_no_detector_and_prints_ap(made, files):
    page, printed = made
    assert f"Written: {page}" in printed
    assert [line.split()[0] for line in printed.splitlines() if "n/a" in line] == [
        "poor.json",
        "good",
    ]
    assert "good <b>$x$.json  100.0" in printed
    assert "Frequency groups are computed by the numbers of images in" in printed
    assert page.stat().st_size < MOST_BYTES
    assert sorted(path.name for path in page.parent.iterdir() if path.name != "__pycache__") == [
        "page.html",
        "sitecustomize.py",
    ]


@pytest.mark.slow
@needs_browser
def test_report_in_a_browser(made):
    opened = open_page(made[0])
    assert opened.errors == [] and opened.remote == [] and opened.broken == []
    assert opened.images == 7 and opened.interactive == [1]
    assert "good <b>$x$.json  100.0" in opened.text
    assert "There is no learned matrix, because a results file does not contain it." in opened.text
    assert "There is no such matrix, because" in opened.text
    assert "The age of the rows is unknown" in opened.text
    assert "good <b>$x$.json is compared with poor.json" in opened.text


@pytest.mark.slow
def test_large_results_of_masks_are_shown_without_ap(files, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "MOST_BYTES_FOR_AP", 10)
    page, masks = tmp_path / "page.html", tmp_path / "masks.json"
    records = json.loads(files["poor"].read_text())
    for record in records:
        x, y, width, height = record.pop("bbox")
        record["segmentation"] = [[x, y, x + width, y, x + width, y + height]]
    masks.write_text(json.dumps(records))
    (both := tmp_path / "both.json").write_text(
        json.dumps([{**record, "bbox": [0, 0, 9, 9]} for record in records])
    )
    words = ["report", str(files["truth"]), str(both), "--before", str(masks), "--out", str(page)]
    assert cli.main([*words, "--exhaustive", "--score-threshold", "0.95"]) == 0
    out = capsys.readouterr().out
    assert "AP is left out, because masks.json holds" in out and "AP50" not in out
    html = page.read_text()
    assert "AP is left out" in html and ">0.95<" in html  # a parameter of the notebook
    assert "Detections, segm IoU" in html  # as the notebook finds in the file
    assert cli.main(words) == 0  # replaces its own page


def test_page_of_another_kind_is_kept(files, tmp_path, capsys):
    page = tmp_path / "page.html"
    page.write_text("<title>mine</title>")
    words = ["report", str(files["truth"]), str(files["poor"]), "--out", str(page)]
    assert cli.main(words) == cli.USER_ERROR
    assert "pass --force to overwrite it" in capsys.readouterr().err
    assert page.read_text() == "<title>mine</title>"


def test_mistakes_are_named_and_nothing_is_written(files, tmp_path, capsys):
    page = tmp_path / "page.html"
    truth, poor = str(files["truth"]), str(files["poor"])
    broken = tmp_path / "broken.json"
    broken.write_text('[{"image_id": 1}]')
    for words, message in (
        ([truth, str(tmp_path / "absent.json")], "absent.json does not exist"),
        ([truth, str(broken)], "broken.json"),
        ([truth, poor, "--before", poor], "is the same file as the results"),
        ([truth, poor, "--images", str(tmp_path / "none")], "none does not exist"),
        ([truth, poor, "--iou-type", "segm"], "segmentation"),
        ([truth, poor, "--federated"], "neg_category_ids"),
    ):
        assert cli.main(["report", *words, "--out", str(page)]) == cli.USER_ERROR
        assert message in capsys.readouterr().err
    assert not page.exists()


def test_page_must_be_html(files, capsys):
    with pytest.raises(SystemExit):
        cli.main(["report", str(files["truth"]), str(files["poor"]), "--out", "page.txt"])
    assert "must end in .html" in capsys.readouterr().err
