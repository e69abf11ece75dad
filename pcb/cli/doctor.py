"""``pcb doctor``: check the installation and the datasets, and print a remedy for each problem.

Importing this module needs only the standard library, so the command works even if packages are
missing. Each check imports the packages that it needs.

Datasets are optional, so a missing dataset is not reported as a problem.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys
import tomllib
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from pcb.messages.checks import HINT, Check
from pcb.runs.processor import cpu_model

DATA_HINT = "complete the data as described above"

OPENMOJI = {"OpenMoji-LT mini": "mini", "OpenMoji-LT full": "full"}


def examine(root: Path | None = None) -> list[Check]:
    """Check the installation and the datasets in the repository, and return all results.

    Args:
        root: Root of the repository. The default is the root of PCB-kit's own repository.
    """
    root = root or Path(__file__).resolve().parents[2]
    return [
        check_python(root),
        *check_distributions(requirements(root)),
        check_opencv(),
        check_torch(),
        check_operators(),
        *check_openmoji(root),
        *check_lvis(root),
    ]


def requirements(root: Path) -> list[str]:
    """Return the requirements of PCB-kit as strings such as ``numpy>=1.26,<3``.

    Optional requirements are included. The requirements are read from ``pyproject.toml`` or, if
    this file does not exist, from the metadata of the installed package.
    """
    project = _project(root)  # preferred: metadata of an editable installation may be out of date
    if project is None:
        found = metadata.requires("pcb-kit") or []
        lines = [line.split(";")[0].strip() for line in found]
    else:
        groups = project["optional-dependencies"].values()
        lines = [*project["dependencies"], *(line for group in groups for line in group)]
    # A group may include other groups of the kit, which are listed as `pcb-kit[...]`.
    return sorted({line for line in lines if not line.startswith("pcb-kit[")})


def check_python(root: Path, version: str = platform.python_version()) -> Check:
    """Check whether PCB-kit is tested with this version of Python."""
    text = f"{version} ({sys.executable})"
    classifiers = (_project(root) or {}).get("classifiers", [])
    tested = [line.split(" :: ")[-1] for line in classifiers if "Python :: 3." in line]
    if tested and version.rsplit(".", 1)[0] not in tested:
        text += f"; not tested with PCB-kit: if problems occur, use {' or '.join(tested)}"
        return Check("python", text, ok=False, required=False)
    return Check("python", text)


def check_distributions(
    lines: Iterable[str], installed: Callable[[str], str] = metadata.version
) -> list[Check]:
    """Check that each required distribution is installed in an allowed version.

    Args:
        lines: Requirements such as ``numpy>=1.26``.
        installed: Function that returns the version of a distribution. If the distribution is not
            installed, the function raises ``PackageNotFoundError``.
    """
    try:
        from packaging.requirements import Requirement
    except ModuleNotFoundError:
        return [Check("packaging", f"missing, so versions cannot be compared; {HINT}", ok=False)]
    checks = []
    for requirement in map(Requirement, lines):
        try:
            version = installed(requirement.name)
        except metadata.PackageNotFoundError:
            checks.append(Check(requirement.name, f"missing; {HINT}", ok=False))
            continue
        if requirement.specifier.contains(version, prereleases=True):
            checks.append(Check(requirement.name, version))
        else:
            text = f"{version}, but {requirement.specifier} is needed; {HINT}"
            checks.append(Check(requirement.name, text, ok=False))
    return checks


def check_opencv(installed: Callable[[str], str] = metadata.version) -> Check:
    """Check that OpenCV can be imported and that only one build of it is installed.

    Distributions such as ``opencv-python`` and ``opencv-python-headless`` contain files with the
    same names. Installing one distribution overwrites files of another.
    """
    names = ("opencv-python-headless", "opencv-python", "opencv-contrib-python")
    builds = [name for name in names if _is_installed(name, installed)]
    if len(builds) > 1:
        text = f"{' and '.join(builds)} overwrite each other's files; delete .venv and {HINT}"
        return Check("OpenCV", text, ok=False)
    return _import_check("OpenCV", "cv2", lambda cv2: f"{cv2.__version__}, {builds[0]}")


def check_torch() -> Check:
    """Check that PyTorch can be imported, and report the device that training uses."""

    def device(torch) -> str:
        if torch.cuda.is_available():
            index = torch.cuda.current_device()
            return f"cuda: {torch.cuda.get_device_name(index)} (CUDA {torch.version.cuda})"
        capability = torch.backends.cpu.get_cpu_capability()
        threads = f"{torch.get_num_threads()} threads, {os.cpu_count()} cores"
        return f"cpu: {cpu_model()} with {capability}, {threads}"

    return _import_check("device", "torch", device)


def check_operators() -> Check:
    """Check that mmcv's operators can be imported, and report which package provides them."""
    return _import_check(
        "operators", "pcb.detection.legacy.operators", lambda module: module.operators_in_use()
    )


def check_openmoji(root: Path) -> list[Check]:
    """Report which sizes of the dataset OpenMoji-LT exist in the repository."""
    checks = []
    for name, size in OPENMOJI.items():
        folder = Path("data", "openmoji", size)
        if (root / folder / "annotations" / "train.json").is_file():
            checks.append(Check(name, str(folder), required=False))
        else:
            text = f"optional, missing; run `pcb openmoji {folder} --size {size}`"
            checks.append(Check(name, text, ok=False, required=False))
    return checks


def check_lvis(root: Path) -> list[Check]:
    """Check each version of the LVIS dataset.

    A missing version is not reported as a problem, because LVIS is optional.
    """
    try:
        from pcb.datasets.lvis.installation import VERSIONS, examine_lvis
    except ImportError as error:
        return [Check("LVIS", f"cannot be examined ({error}); {HINT}", ok=False)]
    checks = []
    for version in VERSIONS:
        if version.is_absent(root):
            text = f"optional, missing; {version.instructions}"
            checks.append(Check(version.name, text, ok=False, required=False))
            continue
        found, troubles = examine_lvis(version, root)
        if not troubles:
            checks.append(Check(version.name, f"{version.folder}: {found}", required=False))
        checks += [Check(version.name, text, ok=False, hint=DATA_HINT) for text in troubles]
    return checks


def _project(root: Path) -> dict[str, Any] | None:
    """Return the ``project`` table of ``pyproject.toml``, or None if the file does not exist."""
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
    """Import a module, and report ``describe(module)`` or the first line of the error message."""
    try:
        return Check(name, describe(importlib.import_module(module)))
    except Exception as error:  # broken builds raise ImportError, OSError, RuntimeError, ...
        reason = str(error).strip().splitlines()
        text = f"{type(error).__name__}: {reason[0] if reason else 'no message'}; {HINT}"
        return Check(name, text, ok=False)
