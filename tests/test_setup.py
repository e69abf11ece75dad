"""The set-up's files agree with each other and with what is installed."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent

# Distributions that nothing may install, and what stands in for them.
SUBSTITUTES = {"opencv-python": "opencv-python-headless"}


def pinned_versions() -> dict[str, str]:
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pins[canonicalize_name(name)] = version
    return pins


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def direct_requirements() -> list[Requirement]:
    groups = project()["project"]["optional-dependencies"].values()
    lines = project()["project"]["dependencies"] + [line for group in groups for line in group]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("requirement", direct_requirements(), ids=str)
def test_direct_dependency_is_pinned_inside_its_range(requirement):
    assert requirement.specifier.contains(pinned_versions()[canonicalize_name(requirement.name)])


def test_build_requirement_allows_the_pinned_setuptools():
    [setuptools] = map(Requirement, project()["build-system"]["requires"])
    assert setuptools.specifier.contains(pinned_versions()["setuptools"])


def test_pinned_versions_are_the_installed_ones():
    installed = {name: metadata.version(name) for name in pinned_versions()}
    assert installed == pinned_versions()


def test_requirements_of_every_pinned_distribution_are_met():
    """What `pip check` would say, but for the headless OpenCV, and for the pins alone."""
    pins = pinned_versions()
    asked = {name: [Requirement(line) for line in metadata.requires(name) or []] for name in pins}
    extras = {name: {""} for name in pins}  # "" stands for no extra
    for requirement in [found for requirements in asked.values() for found in requirements]:
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            extras.setdefault(canonicalize_name(requirement.name), set()).update(requirement.extras)

    unmet = []
    for name, requirements in asked.items():
        for requirement in requirements:
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in extras[name]):
                continue
            needed = canonicalize_name(requirement.name)
            version = pins.get(SUBSTITUTES.get(needed, needed))
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                unmet.append(f"{name} needs {requirement}, pinned is {version}")
    assert unmet == []


def test_there_is_one_opencv_and_it_is_headless():
    installed = {canonicalize_name(found.name) for found in metadata.distributions()}
    assert installed & {"opencv-python", "opencv-contrib-python"} == set()
    assert "opencv-python-headless" in installed


def test_conda_installs_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert conda == ["python=3.11", "pip>=25.3"]
    assert pip == {"pip": ["-r constraints.txt", "-e ."]}


def test_make_installs_the_pins_and_nothing_else():
    install_lines = [
        line for line in (ROOT / "Makefile").read_text().splitlines() if "$(INSTALL)" in line
    ]
    assert "constraints.txt" in (ROOT / "Makefile").read_text()
    named = re.compile(r"(-r \.venv/(large|small)\.txt( & .*| && .*)?|\$\(MMCV\)|--editable \.)$")
    assert install_lines and all(named.search(line) for line in install_lines)


def test_help_lists_every_target():
    listed = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for target in ("help", "setup", "demo", "grid", "test", "lint", "lab", "clean"):
        assert target in listed


def test_commands_of_the_documentation_are_targets():
    makefile = (ROOT / "Makefile").read_text()
    for document in ("README.md", "CONTRIBUTING.md", ".ci/run"):
        text = (ROOT / document).read_text()
        targets = set(re.findall(r"^\s*make ([a-z]+)", text, flags=re.MULTILINE))
        assert "test" in targets, document
        for target in targets:
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"{document}: {target}"


def test_missing_python_is_one_clear_error(tmp_path):
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    made = subprocess.run(
        ["make", "setup", "PYTHON=/nowhere/python3.11"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert made.returncode != 0
    assert "No Python 3.11" in made.stderr and "PYTHON=/path/to/python3.11" in made.stderr
    assert not (tmp_path / ".venv").exists()


def test_core_imports_with_torch_alone():
    """`import pcb` and the core must not reach for anything but PyTorch."""
    program = """
import sys
blocked = ("numpy", "mmcv", "mmdet", "matplotlib", "cv2", "pycocotools")
for name in blocked:
    sys.modules[name] = None  # makes `import name` raise ImportError
from pcb import *
import pcb.distributed
loss = CrossEntropyLoss(3, PairwiseClassBalance(3, alpha=0.4))
import torch
loss(torch.zeros(3, 3, requires_grad=True), torch.arange(3)).backward()
"""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
