"""``pcb doctor``: what is set up, what data is there, and what to do about what is not.

It looks at a set-up that may be broken, so it needs the standard library alone and imports
everything else inside a check. A failed check of the set-up is a problem, and so is data that is
there in part or broken; a dataset that is absent altogether is not.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from pcb.runs import folder as runs
from pcb.runs.environment import cpu_model

WAY_OUT = "run `make setup`"
DATA_WAY_OUT = "complete the data as said above"

# Where the configs look for data: the folder, the stem of its annotation files, and from where in
# the folder the images of each are named.
LVIS = {
    "LVIS v0.5": ("data/lvis_v0.5", "lvis_v0.5", {"train": "train2017", "val": "val2017"}),
    "LVIS v1": ("data/lvis_v1", "lvis_v1", {"train": "", "val": ""}),
}
LVIS_IMAGE_FOLDERS = ("train2017", "val2017")
OPENMOJI = {"OpenMoji-LT mini": "mini", "OpenMoji-LT full": "full"}


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: what was looked at.
        text: what was found, and the way out where something is missing.
        ok: False if it is missing or wrong.
        required: False for data that is optional, whose absence is information.
        way_out: what the verdict says if this is a problem.
    """

    name: str
    text: str
    ok: bool = True
    required: bool = True
    way_out: str = WAY_OUT


def examine(root: Path | None = None) -> list[Check]:
    """Return every check of this environment and of the data below ``root`` (the repository)."""
    root = root or Path(runs.__file__).resolve().parents[2]
    return [
        check_python(root),
        *check_distributions(requirements(root)),
        check_opencv(),
        check_torch(),
        check_operators(),
        *check_openmoji(root),
        *check_lvis(root),
    ]


def problems(checks: Iterable[Check]) -> list[Check]:
    """Return the checks that failed and matter."""
    return [check for check in checks if check.required and not check.ok]


def report(checks: list[Check]) -> str:
    """Return the checks as text, one a line, with the verdict last.

    Example:
        >>> print(report([Check("torch", "2.11.0"), Check("mmdet", "missing", ok=False)]))
         ok  torch  2.11.0
        !!!  mmdet  missing
        1 problem: run `make setup`
    """
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        mark = " ok" if check.ok else "!!!" if check.required else "  -"
        lines.append(f"{mark}  {check.name:{width}}  {check.text}")
    found = problems(checks)
    if found:
        ways_out = " and ".join(dict.fromkeys(check.way_out for check in found))
        lines.append(f"{len(found)} problem{'s' if len(found) > 1 else ''}: {ways_out}")
    else:
        lines.append("Everything is set up.")
    return "\n".join(lines)


def requirements(root: Path) -> list[str]:
    """Return the direct dependencies of the kit, all groups, as ``name>=1,<2``.

    The repository's ``pyproject.toml`` comes first: the metadata of an editable installation is as
    old as the installation.
    """
    project = _project(root)
    if project is None:
        found = metadata.requires("pcb-kit") or []
        lines = [line.split(";")[0].strip() for line in found]
    else:
        groups = project["optional-dependencies"].values()
        lines = [*project["dependencies"], *(line for group in groups for line in group)]
    return sorted({line for line in lines if not line.startswith("pcb-kit[")})  # its own groups


def check_python(root: Path, version: str = platform.python_version()) -> Check:
    """Say which Python this is, and whether it is one that the kit is tested with."""
    text = f"{version} ({sys.executable})"
    classifiers = (_project(root) or {}).get("classifiers", [])
    tested = [line.split(" :: ")[-1] for line in classifiers if "Python :: 3." in line]
    if tested and version.rsplit(".", 1)[0] not in tested:
        text += f"; the kit is tested with {' and '.join(tested)}"
        return Check("python", text, ok=False, required=False)
    return Check("python", text)


def check_distributions(
    lines: Iterable[str], installed: Callable[[str], str] = metadata.version
) -> list[Check]:
    """Check that each requirement is installed in a version that it allows.

    Args:
        lines: requirements such as ``numpy>=1.26``.
        installed: gives the version of a distribution or raises ``PackageNotFoundError``.
    """
    try:
        from packaging.requirements import Requirement
    except ModuleNotFoundError:
        return [Check("packaging", f"missing, so no version can be compared; {WAY_OUT}", ok=False)]
    checks = []
    for requirement in map(Requirement, lines):
        try:
            version = installed(requirement.name)
        except metadata.PackageNotFoundError:
            checks.append(Check(requirement.name, f"missing; {WAY_OUT}", ok=False))
            continue
        if requirement.specifier.contains(version, prereleases=True):
            checks.append(Check(requirement.name, version))
        else:
            text = f"{version}, but {requirement.specifier} is needed; {WAY_OUT}"
            checks.append(Check(requirement.name, text, ok=False))
    return checks


def check_opencv(installed: Callable[[str], str] = metadata.version) -> Check:
    """Check that OpenCV can be imported and that only one build of it is there.

    Two distributions, ``opencv-python`` and the headless one, would write the same files.
    """
    names = ("opencv-python-headless", "opencv-python", "opencv-contrib-python")
    builds = [name for name in names if _is_installed(name, installed)]
    if len(builds) > 1:
        text = f"{' and '.join(builds)} share their files; delete .venv and {WAY_OUT}"
        return Check("OpenCV", text, ok=False)
    return _import_check("OpenCV", "cv2", lambda cv2: f"{cv2.__version__}, {builds[0]}")


def check_torch() -> Check:
    """Check that PyTorch can be imported, and say on which device a training will run."""

    def device(torch) -> str:
        if torch.cuda.is_available():
            index = torch.cuda.current_device()
            return f"cuda: {torch.cuda.get_device_name(index)} (CUDA {torch.version.cuda})"
        capability = torch.backends.cpu.get_cpu_capability()
        threads = f"{torch.get_num_threads()} threads of {os.cpu_count()} cores"
        return f"cpu: {cpu_model()} with {capability}, {threads}"

    return _import_check("device", "torch", device)


def check_operators() -> Check:
    """Check that the detector can be imported, and say whose operators it uses."""
    return _import_check(
        "operators", "pcb.detection.legacy.operators", lambda module: module.operators_in_use()
    )


def check_openmoji(root: Path) -> list[Check]:
    """Say which OpenMoji-LT datasets are made."""
    checks = []
    for name, size in OPENMOJI.items():
        folder = Path("data", "openmoji", size)
        if (root / folder / "annotations" / "train.json").is_file():
            checks.append(Check(name, str(folder), required=False))
        else:
            text = f"not made; `pcb openmoji {folder} --size {size}`"
            checks.append(Check(name, text, ok=False, required=False))
    return checks


def check_lvis(root: Path) -> list[Check]:
    """Check the annotation files and images of LVIS: all of a version, or nothing of it.

    Of an annotation file, images and categories are read; that every image exists is looked up,
    and a few are opened. Annotations are checked when a training reads them.
    """
    checks = []
    for name, (folder, stem, image_folders) in LVIS.items():
        annotations = {
            split: Path(folder, "annotations", f"{stem}_{split}.json") for split in image_folders
        }
        wanted = [*annotations.values(), *(Path(folder, part) for part in LVIS_IMAGE_FOLDERS)]
        if not any(os.path.lexists(root / path) for path in wanted):  # a dead link is there, too
            text = (
                f"optional, not there; {folder}/annotations: https://www.lvisdataset.org/dataset,"
                f" images: https://cocodataset.org/#download or links to the folders of COCO 2017,"
                f" `ln -sfn /path/to/coco/train2017 {folder}/train2017`"
            )
            checks.append(Check(name, text, ok=False, required=False))
            continue
        try:
            from pcb.datasets.lvis.installation import examine_lvis
        except ImportError as error:
            text = f"{folder}, not examined ({error}); {WAY_OUT}"
            checks.append(Check(name, text, ok=False))
            continue
        images = {annotations[split]: Path(folder, part) for split, part in image_folders.items()}
        found, troubles = examine_lvis(images, wanted[len(annotations) :], root)
        if not troubles:
            checks.append(Check(name, f"{folder}: {found}", required=False))
        checks += [Check(name, text, ok=False, way_out=DATA_WAY_OUT) for text in troubles]
    return checks


def _project(root: Path) -> dict[str, Any] | None:
    """The project's table in ``pyproject.toml``; None where the kit is installed without it."""
    try:
        with open(root / "pyproject.toml", "rb") as file:
            return tomllib.load(file)["project"]
    except FileNotFoundError:
        return None


def _is_installed(name: str, installed: Callable[[str], str]) -> bool:
    try:
        installed(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _import_check(name: str, module: str, describe: Callable[..., str]) -> Check:
    """Import a module and describe it; whatever stops that is the finding."""
    try:
        return Check(name, describe(importlib.import_module(module)))
    except Exception as error:  # a broken build raises anything: ImportError, OSError, RuntimeError
        reason = str(error).strip().splitlines()
        text = f"{type(error).__name__}: {reason[0] if reason else 'no message'}; {WAY_OUT}"
        return Check(name, text, ok=False)
