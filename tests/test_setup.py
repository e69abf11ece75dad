"""The files of the set-up agree with each other and with the installed packages."""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]

# Distributions that must not be installed, and their substitutes.
SUBSTITUTES = {"opencv-python": "opencv-python-headless"}


# Versions of Python that `make setup` accepts, and releases that every pin must support: the first
# of each version, and that of Debian 12.
PYTHONS = ("3.11", "3.12")
OLDEST = ("3.11.0", "3.11.2", "3.12.0")
HERE = "{}.{}".format(*sys.version_info)


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def pinned_versions(python: str = HERE) -> dict[str, str]:
    found = {}
    for pin in pins():
        [specifier] = pin.specifier
        assert specifier.operator == "==", pin
        if pin.marker is None or pin.marker.evaluate({"python_version": python}):
            found[canonicalize_name(pin.name)] = specifier.version
    return found


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def direct_requirements() -> list[Requirement]:
    groups = project()["project"]["optional-dependencies"].values()
    lines = project()["project"]["dependencies"] + [line for group in groups for line in group]
    return [Requirement(line) for line in lines if not line.startswith("pcb-kit[")]


@pytest.mark.parametrize("requirement", direct_requirements(), ids=str)
def test_direct_dependency_is_pinned_inside_its_range(requirement):
    assert requirement.specifier.contains(pinned_versions()[canonicalize_name(requirement.name)])


def test_build_requirement_allows_the_pinned_setuptools():
    [setuptools] = map(Requirement, project()["build-system"]["requires"])
    assert setuptools.specifier.contains(pinned_versions()["setuptools"])


def test_pinned_versions_are_the_installed_ones():
    installed = {name: metadata.version(name) for name in pinned_versions()}
    assert installed == pinned_versions()


@pytest.mark.parametrize("python", OLDEST)
def test_every_pin_supports_the_pythons_of_the_set_up(python):
    excluding = {}
    for name in pinned_versions():
        needed = metadata.metadata(name).get("Requires-Python", "")
        if not SpecifierSet(needed).contains(python):
            excluding[name] = needed
    assert excluding == {}


@pytest.mark.parametrize("python", PYTHONS)
def test_requirements_of_every_pinned_distribution_are_met(python):
    """Check what `pip check` does, but only for the pins, and with the headless OpenCV.

    Pins only for another Python are not installed, so their requirements are unknown.
    """
    pins, known = pinned_versions(python), pinned_versions()
    asked = {
        name: [Requirement(line) for line in metadata.requires(name) or []]
        for name in pins.keys() & known.keys()
    }

    def applies(requirement: Requirement, extra: str) -> bool:
        environment = {
            "extra": extra,
            "python_version": python,
            "python_full_version": f"{python}.2",
        }
        return requirement.marker is None or requirement.marker.evaluate(environment)

    extras = {name: {""} for name in pins}  # "" means no extra
    for requirement in [found for requirements in asked.values() for found in requirements]:
        if applies(requirement, ""):
            extras.setdefault(canonicalize_name(requirement.name), set()).update(requirement.extras)

    unmet = []
    for name, requirements in asked.items():
        for requirement in requirements:
            if not any(applies(requirement, extra) for extra in extras[name]):
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
    assert conda == [f"python={PYTHONS[0]}", "pip>=25.3"]
    assert pip == {"pip": ["-r constraints.txt", "-e ."]}


def test_make_installs_only_the_pins():
    install_lines = [
        line
        for line in (ROOT / "Makefile").read_text().splitlines()
        if re.search(r"\$\(INSTALL(_HERE)?\)", line)
    ]
    assert "constraints.txt" in (ROOT / "Makefile").read_text()
    named = re.compile(
        r"(-r \.venv/(large|small)\.txt( & .*| && .*)?|\$\((MMCV|FIRST)\)( 2> .*)?|--editable \.)$"
    )
    assert install_lines and all(named.search(line) for line in install_lines)


def test_builds_are_constrained_only_where_they_are_isolated(clone):
    """Since 25.3 pip rejects build constraints without a build environment."""
    command = ["make", "--dry-run", "BIN=nowhere", "operators"]
    made = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=True)
    installs = [line for line in made.stdout.splitlines() if "-m pip install" in line]
    assert sum("--no-build-isolation" in line for line in installs) == 2
    for line in installs:
        isolated = "--no-build-isolation" not in line
        assert ("PIP_BUILD_CONSTRAINT=constraints.txt" in line) == isolated, line


def test_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == project()["project"]["version"]
    assert citation["preferred-citation"]["url"] == project()["project"]["urls"]["Paper"]


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


@pytest.fixture
def clone(tmp_path):
    """A folder to set up, with a blank in its path and only the files that the set-up reads."""
    root = tmp_path / "my clone"
    script = root / "workflow" / "scripts" / "make_venv.sh"
    script.parent.mkdir(parents=True)
    for name in ("Makefile", "constraints.txt", "pyproject.toml", script.relative_to(root)):
        shutil.copy(ROOT / name, root / name)
    return root


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Folder of the only commands that the shell finds: no Python, and 100 GB of free space."""
    folder = tmp_path / "commands"
    folder.mkdir()
    for name in ("awk", "bash", "env", "grep", "make", "rm", "sed", "tail", "touch", "uname"):
        (folder / name).symlink_to(shutil.which(name))
    stand_in_df(folder / "df", here=100, there=100)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    return folder


def stand_in_df(path: Path, here: int, there: int) -> None:
    """Write a `df` that reports free GB on two disks, mounted on / and on /elsewhere."""
    path.write_text(f"""#!/bin/sh
case "$*" in
    *avail*/elsewhere) echo Avail; echo " {there}GB" ;;
    *avail*) echo Avail; echo " {here}GB" ;;
    *target*/elsewhere) echo Mounted on; echo /elsewhere ;;
    *target*) echo Mounted on; echo / ;;
esac
""")
    path.chmod(0o755)


def stand_in_python(path: Path, version: str, venv: bool = True) -> Path:
    """Write a fake Python that answers questions about its version and venv, and makes a venv."""
    path.write_text(f"""#!/bin/sh
case "$*" in
    *python_version*) echo {version} ;;
    *"import ensurepip"*) exit {int(not venv)} ;;
    "-m venv --clear .venv") /bin/mkdir -p .venv/bin; echo made by "$0" > .venv/made ;;
    *) exit 9 ;;
esac
""")
    path.chmod(0o755)
    return path


def make_venv(root: Path, *python: str | Path) -> subprocess.CompletedProcess[str]:
    script = ["workflow/scripts/make_venv.sh", *map(str, python)]
    return subprocess.run(script, cwd=root, capture_output=True, text=True)


def test_pythons_of_the_set_up_are_those_of_the_metadata():
    classifiers = project()["project"]["classifiers"]
    prefix = "Programming Language :: Python :: "
    assert tuple(c.removeprefix(prefix) for c in classifiers if c.startswith(prefix)) == PYTHONS
    assert "Python 3.11 or 3.12" in (ROOT / "README.md").read_text()


def test_no_python_at_all_names_uv_first(clone, commands):
    made = subprocess.run(["make", "setup"], cwd=clone, capture_output=True, text=True)
    lines = made.stderr.splitlines()
    assert made.returncode != 0 and made.stdout == ""
    assert lines[0] == "PCB-kit needs Python 3.11 or 3.12, but no such version was found."
    assert lines[1].startswith("uv ")
    assert lines[2].strip() == "uv venv --seed --python 3.12 .venv && make setup"
    assert "make setup PYTHON=/path/to/python3.12" in made.stderr
    assert not (clone / ".venv").exists()


def test_every_unsuitable_python_is_named(clone, commands):
    stand_in_python(commands / "python3.11", "3.11.2", venv=False)
    stand_in_python(commands / "python3", "3.13.0")
    stand_in_python(commands / "python", "2.7.18")
    said = make_venv(clone).stderr
    assert "  python3.11 is Python 3.11.2 without venv: apt install python3.11-venv\n" in said
    assert "  python3 is Python 3.13.0\n" in said and "  python is Python 2.7.18\n" in said
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize("name, version", [("python3.12", "3.12.3"), ("python3", "3.11.0rc1")])
def test_suitable_python_is_found_and_reported(clone, commands, name, version):
    (commands / "python3.11").write_text("#!/bin/sh\nexit 127\n")  # as pyenv's commands do
    (commands / "python3.11").chmod(0o755)
    stand_in_python(commands / name, version)
    made = make_venv(clone)
    assert made.returncode == 0, made.stderr
    assert f"Making .venv with Python {version} ({commands / name})" in made.stdout
    assert ("pre-release" in made.stdout) == ("rc" in version)
    assert (clone / ".venv" / "made").read_text() == f"made by {commands / name}\n"


def test_python_3_11_comes_before_3_12(clone, commands):
    for version in ("3.12.3", "3.11.2"):
        stand_in_python(commands / f"python{version[:4]}", version)
    assert "Python 3.11.2" in make_venv(clone).stdout


def test_named_python_is_used_or_rejected(clone, commands, tmp_path):
    stand_in_python(commands / "python3.11", "3.11.2")
    (tmp_path / "with blank").mkdir()
    for version in ("3.13.0", "3.10.1"):
        python = stand_in_python(tmp_path / "with blank" / "python", version)
        made = make_venv(clone, python)
        assert made.returncode == 1 and f"  {python} is Python {version}\n" in made.stderr
    made = make_venv(clone, "/nowhere/python3.11")
    assert made.returncode == 1 and "  /nowhere/python3.11 does not exist\n" in made.stderr
    assert not (clone / ".venv").exists()
    python = stand_in_python(tmp_path / "with blank" / "python", "3.12.1")
    assert str(python) in make_venv(clone, python).stdout


def test_environment_of_another_python_is_neither_replaced_nor_used(clone, commands, tmp_path):
    (clone / ".venv" / "bin").mkdir(parents=True)
    inside = stand_in_python(clone / ".venv" / "bin" / "python", "3.13.0")
    made = make_venv(clone)
    assert made.returncode == 1 and "3.13.0: remove .venv with `make clean`" in made.stderr
    stand_in_python(inside, "3.11.2")
    named = stand_in_python(tmp_path / "python", "3.12.1")
    made = make_venv(clone, named)
    assert made.returncode == 1 and f".venv has Python 3.11.2, but {named} is 3.12.1" in made.stderr
    assert not (clone / ".venv" / "made").exists()


def test_environment_without_its_python_is_made_again(clone, commands):
    (clone / ".venv" / "bin").mkdir(parents=True)
    (clone / ".venv" / "bin" / "python").symlink_to("/nowhere/python3.11")
    stand_in_python(commands / "python3.11", "3.11.2")
    assert make_venv(clone).returncode == 0
    assert (clone / ".venv" / "made").exists()


@pytest.mark.parametrize(
    "here, there, where, said",
    [
        (5, 100, "/elsewhere", "{root} has 5 GB of free space, but the set-up needs 6 GB"),
        (100, 1, "/elsewhere", "/elsewhere has 1 GB of free space, but the set-up needs 2 GB"),
        (7, 7, "/tmp", "{root} has 7 GB of free space, but the set-up needs 8 GB"),  # the same disk
    ],
)
def test_full_disk_is_reported_before_the_download(
    clone, commands, monkeypatch, here, there, where, said
):
    stand_in_python(commands / "python3.11", "3.11.2")
    stand_in_df(commands / "df", here, there)
    monkeypatch.setenv("TMPDIR", where)
    made = make_venv(clone)
    assert made.returncode == 1 and said.format(root=clone) in made.stderr
    assert not (clone / ".venv").exists()


def test_missing_network_is_reported_before_the_large_packages(clone, commands, tmp_path):
    """Without a network, pip itself reports conflicting versions."""
    stand_in_python(commands / "python3.11", "3.11.2")
    (clone / ".venv" / "bin").mkdir(parents=True)
    pip = clone / ".venv" / "bin" / "python"
    pip.write_text("""#!/bin/sh
case "$*" in
    *python_version*) echo 3.11.2 ;;
    *--version*) ;;
    *setuptools==*) echo "ERROR: ResolutionImpossible" >&2; exit 1 ;;
    *) echo "went on" >&2; exit 1 ;;
esac
""")
    pip.chmod(0o755)
    made = subprocess.run(["make", "setup"], cwd=clone, capture_output=True, text=True)
    assert made.returncode != 0 and "went on" not in made.stderr
    assert made.stderr.startswith("pip cannot fetch packages: is there a network")
    assert "ResolutionImpossible" in (clone / ".venv" / "pip.log").read_text()


@pytest.mark.slow
def test_core_imports_with_torch_alone():
    """`import pcb` and the core must import only PyTorch."""
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
