"""The layout of the package: which part may import which, and how long a file may be."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# The rooms (parts) of pcb/, each with the rooms that it may import. `method` is the paper's method:
# the files directly in pcb/, and the losses.
EVERYBODY = {"messages", "storage"}
ALLOWED = {
    "method": set(),
    "messages": set(),
    "storage": {"messages"},
    "metrics": {"method"},
    "runs": {"metrics"},
    "datasets": set(),
    "evaluation": {"datasets", "metrics"},
    "own_data": {"method", "datasets"},
    "plots": {"metrics"},
    "detection": {"method", "detection.legacy", "datasets", "metrics", "runs"},
    "detection.legacy": {"datasets"},
    "detection.engine": {"method", "detection", "detection.legacy", "metrics", "runs"},
    "notebooks": {"plots", "runs"},
    "grids": {"metrics", "notebooks", "plots", "runs"},
    "study": {
        *("method", "detection", "detection.engine"),
        *("datasets", "evaluation", "metrics", "runs"),
    },
}
ABOVE_ALL = {"cli", "__main__"}
# These modules register classes in MMDetection, so they import the modules that define them.
EXCEPTIONS = {("pcb.detection", "detection.legacy"), ("pcb.detection.dataset", "detection.legacy")}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / "pcb").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def room(module: str) -> str:
    parts = module.split(".")[1:]
    if parts[:1] == ["detection"] and parts[1:2] in (["engine"], ["legacy"]):
        return ".".join(parts[:2])
    is_method = not parts or parts[0] == "losses" or MODULES[module].parent == ROOT / "pcb"
    return "method" if is_method and parts != ["__main__"] else parts[0]


def imports(module: str, lazy: bool = True) -> Iterator[tuple[str, int]]:
    """Yield the package's modules that a module imports, with lines; if lazy, also in functions."""
    tree = ast.parse(MODULES[module].read_text())
    for node in ast.walk(tree) if lazy else tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [name if name in MODULES else node.module for name in names]
        elif isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        else:
            continue
        yield from ((name, node.lineno) for name in set(found) if name in MODULES)


@pytest.mark.parametrize("of", ALLOWED)
def test_rooms_import_only_what_lies_below_them(of):
    allowed = ALLOWED[of] | {of} | (EVERYBODY if of not in ("method", "messages") else set())
    against = [
        f"{MODULES[module].relative_to(ROOT)}, line {line}: {module} imports {imported}, but "
        f"{of} may only import {', '.join(sorted(allowed - {of})) or 'itself'}"
        for module in MODULES
        if room(module) == of
        for imported, line in imports(module)
        if room(imported) not in allowed
    ]
    assert not against, "\n".join(against)


def test_package_imports_nothing_that_surrounds_it():
    around = {"tools", "tests", "workflow", "benchmarks"}
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not around & {name.partition(".")[0] for name in names}, path


def test_every_room_has_its_rule():
    assert {room(module) for module in MODULES} == ALLOWED.keys() | ABOVE_ALL


def test_rules_have_no_circle():
    order = list(TopologicalSorter(ALLOWED).static_order())
    assert set(order) == set(ALLOWED)


def test_modules_import_each_other_in_no_circle():
    # A package's __init__.py imports its own modules; importing that package from one is no circle.
    graph = {module: {name for name, _ in imports(module, lazy=False)} for module in MODULES}
    for module in graph:
        graph[module] -= {name for name in graph[module] if module.startswith(f"{name}.")}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"these modules import each other in a circle: {' -> '.join(error.args[1])}")


def test_one_person_holds_a_file_in_mind():
    lines = {path: len(path.read_text().splitlines()) for path in MODULES.values()}
    too_long = [f"{path.relative_to(ROOT)}: {n} lines" for path, n in lines.items() if n > 300]
    assert not too_long, "split these files, at most 300 lines each: " + ", ".join(too_long)


def test_tests_lie_where_the_code_lies():
    rooms = {path.parent.relative_to(ROOT / "pcb") for path in MODULES.values()}
    folders = {path.parent.relative_to(ROOT / "tests") for path in ROOT.glob("tests/**/test_*.py")}
    assert folders <= rooms, f"not in pcb/: {', '.join(map(str, folders - rooms))}"
