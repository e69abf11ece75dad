"""Every package that a part of the kit imports is declared for it, and no other one."""

import ast
import json
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# The groups of pyproject.toml that each folder may import from, beside PyTorch. The longest path
# that fits counts.
GROUPS = {
    "pcb": set(),
    "pcb/cli": {"evaluation"},
    "pcb/cli/prediction.py": {"detection", "plots"},
    "pcb/cli/report.py": {"notebooks"},
    "pcb/datasets": {"evaluation"},
    "pcb/datasets/openmoji": {"openmoji"},
    "pcb/detection": {"detection"},
    "pcb/evaluation": {"evaluation"},
    "pcb/grids": {"grids"},
    "pcb/metrics": {"evaluation"},
    "pcb/notebooks": {"notebooks"},
    "pcb/own_data": {"own_data"},
    "pcb/plots": {"plots"},
    "pcb/runs": {"evaluation"},
    "pcb/study": {"detection"},
    "notebooks": {"detection", "notebooks"},
    "workflow": {"grids"},
    "tools": {"detection", "grids", "openmoji"},
    "benchmarks": {"detection", "grids"},
    "tools/site": {"docs"},
    "tests": {"detection", "dev", "docs", "grids", "openmoji"},
}

# What no file imports, and what needs it.
NOT_IMPORTED = {
    "codespell": "make lint",
    "ipykernel": "the kernel of the notebooks",
    "jupyterlab": "make lab",
    **dict.fromkeys(("markdown", "mkdocs-material", "mkdocstrings"), "mkdocs.yml"),
    **dict.fromkeys(("mkdocstrings-python", "pymdown-extensions"), "mkdocs.yml"),
    "mypy": "make lint",
    "pytest-xdist": "make test",
    "ruff": "make lint",
    "snakemake-executor-plugin-slurm": "grids on a cluster",
    "types-psutil": "mypy",
    "types-pyyaml": "mypy",
}


def declared(group: str) -> set[str]:
    """Names of the distributions that a group declares itself."""
    lines = map(Requirement, PROJECT["optional-dependencies"].get(group, []))
    return {canonicalize_name(line.name) for line in lines} - {"pcb-kit"}


def brought(group: str) -> set[str]:
    """Names of the distributions that a group brings, with those of the groups it asks for."""
    lines = map(Requirement, PROJECT["optional-dependencies"].get(group, []))
    inner = [extra for line in lines if line.name == "pcb-kit" for extra in line.extras]
    return declared(group).union(*map(brought, inner))


def sources() -> Iterator[tuple[Path, str]]:
    """Every program with its path; the code of a notebook is one program."""
    for folder in {path.split("/")[0] for path in GROUPS}:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT), path.read_text()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        yield path.relative_to(ROOT), "\n".join(code)


def imported(source: str) -> set[str]:
    """The top-level modules that a program imports from outside of the standard library."""
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules.add(node.module.partition(".")[0])
    return modules - sys.stdlib_module_names


def place(path: Path) -> str:
    """The entry of GROUPS for a file."""
    return next(str(one) for one in (path, *path.parents) if str(one) in GROUPS)


@cache
def imports_by_place() -> dict[str, dict[str, set[str]]]:
    """For each entry of GROUPS, the distributions that are imported, each with the files."""
    distributions = metadata.packages_distributions()
    beside = [*ROOT.glob("benchmarks/*.py"), *ROOT.glob("workflow/scripts/*.py")]
    own = {path.stem for path in beside} | {"pcb", "tests", "tools"}
    found: dict[str, dict[str, set[str]]] = {}
    for path, source in sources():
        for module in imported(source) - own:
            for name in distributions.get(module, [module]):
                files = found.setdefault(place(path), {})
                files.setdefault(canonicalize_name(name), set()).add(str(path))
    return found


def test_every_imported_package_is_declared():
    always = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    undeclared = {
        f"{name}, by {', '.join(sorted(files))}"
        for folder, imports in imports_by_place().items()
        for name, files in imports.items()
        if name not in always.union(*map(brought, GROUPS[folder]))
    }
    assert undeclared == set()


@pytest.mark.parametrize("group", PROJECT["optional-dependencies"])
def test_every_declared_package_is_imported(group):
    used = set().union(*imports_by_place().values())
    assert declared(group) - used - set(NOT_IMPORTED) == set()
