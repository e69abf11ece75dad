"""The groups of ``pip install pcb-kit[...]``: each brings what its folder imports, and no more."""

import importlib.metadata as metadata
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
GROUPS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

# These ask for opencv-python. The environment has the headless build, which provides the same.
INSTEAD = {"opencv-python": "opencv-python-headless"}


def needed_by(group: str) -> set[str]:
    """Distributions that a group installs, without PyTorch."""
    found: set[str] = set()

    def add(requirement: Requirement, extra: str) -> None:
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            return
        if requirement.name == "pcb-kit":
            for own in requirement.extras:
                for line in GROUPS[own]:
                    add(Requirement(line), "")
            return
        name = INSTEAD.get(requirement.name.lower(), requirement.name)
        if name in found:
            return
        found.add(name)
        for line in metadata.requires(name) or []:
            for inner in {"", *requirement.extras}:
                add(Requirement(line), inner)

    add(Requirement(f"pcb-kit[{group}]"), "")
    return found


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory) -> Path:
    """A folder of packages as ``pip install --target FOLDER pcb-kit[evaluation]`` leaves it."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "pcb").symlink_to(ROOT / "pcb")
    for name in needed_by("evaluation"):
        distribution = metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files if not file.parts[0].startswith("..")}
        for top in tops - {"__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(distribution.locate_file(top))
    return folder


def run(folder: Path, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-S", "-m", "pcb", *words]  # -S: without the environment's packages
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)


def test_evaluation_has_neither_the_detector_nor_what_draws(evaluation):
    absent = {"mmcv", "mmdet", "torch", "torchvision", "seaborn", "papermill"}
    assert not absent & set(os.listdir(evaluation))


@pytest.mark.parametrize("command", ["evaluate", "confusion"])
def test_results_are_judged_without_mmcv_and_mmdet(command, evaluation, tiny_openmoji, tmp_path):
    import json

    truth = tiny_openmoji / "annotations" / "val.json"
    found = json.loads(truth.read_text())["annotations"]
    keys = ("image_id", "category_id", "bbox")
    results = [{key: record[key] for key in keys} | {"score": 0.9} for record in found]
    (tmp_path / "results.json").write_text(json.dumps(results))
    options = ["--iou-type", "bbox"]
    done = run(evaluation, command, str(truth), str(tmp_path / "results.json"), *options)
    assert done.returncode == 0, done.stderr
    assert ("100.0" in done.stdout) if command == "evaluate" else ("objects" in done.stdout)


def test_doctor_names_what_the_group_lacks(evaluation):
    done = run(evaluation, "doctor")
    assert done.returncode == 1 and "mmdet" in done.stdout + done.stderr
