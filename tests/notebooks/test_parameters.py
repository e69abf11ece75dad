"""Parameters of notebooks: declarations, conversions and refusals."""

import ast
import json
import math
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import papermill
import pytest
from nbclient import NotebookClient
from papermill.exceptions import PapermillExecutionError

from pcb.notebooks.declarations import ParameterError, read_declarations
from pcb.notebooks.parameters import check, check_parameters

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CELL = """\
replace: bool = False  # whether
pairs: int = 12  # how many [1 to 100]
threshold: float = 0.5  # at least [0 to 1]
order: str = "row"  # of what; empty: none [row, column or empty]
work_dir: str = ""  # where
options: dict = {}  # such as {"a": 1}
classes: list = []  # names
runs: list = ["a"]  # folders
free: float = 1.0  # without bounds
gpus: int = 1  # of them [at least 1]
share: float = 0.5  # a part [above 0 to 1]
width: str = ""  # in inches [page, 2 to 40 or empty]
"""
NAMES = "replace, pairs, threshold, order, work_dir, options, classes, runs"


def write_notebook(path: Path, parameters: str = CELL, code: str = "") -> Path:
    cells = [
        nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(
            "from pcb.notebooks.parameters import check\n\ncheck(globals());"
        ),
        nbformat.v4.new_code_cell(code),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.mark.parametrize(
    "name, given, taken",
    [
        ("replace", "false", False),  # what `papermill -p replace false` gives
        ("replace", "True", True),
        ("pairs", 3.0, 3),
        ("pairs", "3", 3),  # what `papermill -r pairs 3` gives
        ("threshold", 1, 1.0),
        ("threshold", "0.25", 0.25),
        ("order", "", ""),
        ("work_dir", Path("runs/a"), "runs/a"),
        ("options", '{"runner.max_epochs": 1}', {"runner.max_epochs": 1}),
        ("options", "", {}),
        ("classes", "wolf", ["wolf"]),
        ("classes", '["wolf", "fox"]', ["wolf", "fox"]),
        ("classes", ("wolf",), ["wolf"]),
        ("classes", "", []),
        ("runs", "runs/a b", ["runs/a b"]),
        ("share", 1, 1.0),
        ("width", "page", "page"),
        ("width", "3.5", "3.5"),
        ("width", 3.5, "3.5"),  # what `papermill -p width 3.5` gives
        ("width", "", ""),
    ],
)
def test_unambiguous_values_are_converted(name, given, taken):
    found = read_declarations(CELL)[name].accept(given)
    assert found == taken and type(found) is type(taken)


@pytest.mark.parametrize(
    "name, given, message",
    [
        ("replace", "no", r"replace must be True or False, got 'no'; .*-p replace True"),
        ("replace", "", "replace must be True or False, got ''"),
        ("replace", 0, "got 0"),
        ("replace", 1.0, "got 1.0"),
        ("replace", None, "got None"),
        ("share", 0, "share must be a number above 0 and at most 1, got 0"),
        ("share", 1.5, "got 1.5"),
        ("width", "pag", "width must be 'page', '' or a number from 2 to 40, got 'pag'"),
        ("width", 1, "got 1"),
        ("width", "nan", "got 'nan'"),
        ("width", True, "got True"),
        ("width", None, "got None"),
        ("pairs", True, "pairs must be a whole number from 1 to 100, got True"),
        ("pairs", "true", "got 'true'"),
        ("pairs", 2.5, "got 2.5"),
        ("pairs", "", "got ''"),
        ("pairs", 0, "from 1 to 100, got 0"),
        ("pairs", -3, "got -3"),
        ("pairs", 101, "got 101"),
        ("pairs", math.inf, "got inf"),
        ("threshold", math.nan, "threshold must be a number from 0 to 1, got nan"),
        ("threshold", "NaN", "got 'NaN'"),
        ("threshold", "1e400", "got '1e400'"),
        ("threshold", 1.5, "got 1.5"),
        ("threshold", 10**400, "got 1000"),
        ("free", math.inf, "free must be a number, got inf"),
        ("free", math.nan, "free must be a number, got nan"),
        ("gpus", 0, "gpus must be a whole number of at least 1, got 0"),
        ("threshold", True, "got True"),
        ("threshold", [0.5], r"got \[0.5\]"),
        ("order", "colum", "order must be 'row', 'column' or '', got 'colum'; did you mean 'col"),
        ("order", "name", "'row', 'column' or '', got 'name'$"),
        ("work_dir", 7, "work_dir must be text, got 7; .*-r work_dir 7"),
        ("work_dir", None, "must be text, got None"),
        ("options", "a=1", "options must be a dict, got 'a=1'; .*-y 'options: {key: value}'"),
        ("options", "[1]", r"got '\[1\]'"),
        ("options", [], r"got \[\]"),
        ("classes", 3, r"classes must be a list, got 3; .*-y 'classes: \[a, b\]'"),
        ("classes", "[wolf, fox", r"got '\[wolf, fox'"),
        ("classes", {"wolf": 1}, "got {'wolf': 1}"),
        ("runs", ["a", 1], r"runs must be a list of strings, got \['a', 1\]"),
        ("work_dir", ["x" * 1000], r"got \['x{97}…; "),
    ],
)
def test_wrong_values_are_refused_by_name(name, given, message):
    with pytest.raises(ParameterError, match=message) as error:
        read_declarations(CELL)[name].accept(given)
    assert "\n" not in str(error.value)


def test_types_are_read_in_every_form():
    cell = (
        'config: str | None = None\nmine = 3\n%matplotlib inline\nnames: list[str] = ["a"]  # [x]'
    )
    found = read_declarations(cell)
    assert list(found) == ["config", "mine", "names"]
    assert found["config"].accept(5) == 5  # a type that is not checked
    with pytest.raises(ParameterError, match="mine must be a whole number, got 'b'"):
        found["mine"].accept("b")
    with pytest.raises(ParameterError, match="names must be a list of strings"):
        found["names"].accept([1])
    assert read_declarations("for x in y:") == read_declarations("figure = plots.draw()") == {}


def test_kernel_that_has_run_more_cells_is_checked_by_their_declarations():
    cells = ["", CELL, "# Parameters\npiars = 3", "x: dict = {}", "plots = draw()"]
    with pytest.raises(ParameterError, match="unknown parameter 'piars'; did you mean 'pairs'"):
        check({"In": cells, "pairs": 12, "piars": 3})
    cells.append('# Parameters\npairs = 4\nPAPERMILL_INPUT_PATH = "a.ipynb"')  # it was corrected
    variables = {"In": cells, "pairs": 4, "piars": 3, "plots": object(), "threshold": "0.5"}
    assert check(variables) == {"pairs": 4, "threshold": 0.5}
    assert variables["threshold"] == 0.5 and variables["piars"] == 3
    assert check({"pairs": "no notebook"}) == {}


def test_parameters_of_a_file_are_checked_before_it_runs(tmp_path):
    notebook = write_notebook(tmp_path / "n.ipynb")
    assert check_parameters(notebook, {"replace": "false"}) == {"replace": False}
    assert check_parameters(notebook, {}) == {}
    with pytest.raises(ParameterError, match=r"n\.ipynb has no parameter 'piars'; did you mean"):
        check_parameters(notebook, {"piars": 1})
    with pytest.raises(ParameterError, match=r"n\.ipynb: pairs must be a whole number from 1"):
        check_parameters(notebook, {"pairs": "many"})


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_check_first_and_state_every_range(notebook):
    code = [cell.source for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"]
    assert code[1].startswith("from pcb.notebooks.parameters import check\n")
    assert code[1].endswith("check(globals())") or code[1].endswith("check(globals());")
    for parameter in read_declarations(code[0]).values():
        if parameter.type_name in ("int", "float"):
            assert abs(parameter.least) < 2**32, parameter
            assert parameter.type_name == "int" or abs(parameter.most) < 2**32, parameter
    # The defaults are allowed.
    defaults = papermill.inspect_notebook(str(notebook))
    assert check_parameters(
        notebook, {name: ast.literal_eval(p["default"]) for name, p in defaults.items()}
    )


def test_check_imports_nothing_slow():
    code = (
        "import sys, json; import pcb.notebooks.parameters;"
        "print(json.dumps([m for m in sys.modules if '.' not in m]))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    slow = {"numpy", "pandas", "matplotlib", "torch", "papermill", "nbformat", "yaml", "IPython"}
    assert not slow & set(json.loads(result.stdout))


def errors_of(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output for output in outputs if output.output_type == "error"]


def run_papermill(notebook: Path, *options: str) -> tuple[int, str, Path]:
    """Status and last line of papermill's command, and what it executed."""
    executed = notebook.with_name(f"executed_{notebook.name}")
    command = [sys.executable, "-m", "papermill", notebook, executed, "--no-progress-bar"]
    result = subprocess.run(
        [*command, *options], capture_output=True, text=True, cwd=notebook.parent
    )
    return result.returncode, (result.stderr.strip().splitlines() or [""])[-1], executed


@pytest.mark.slow
@pytest.mark.parametrize(
    "options, message",
    [
        (
            ["-p", "scre_threshold", "0.5"],
            "unknown parameter 'scre_threshold'; did you mean 'score_thr",
        ),
        (["-p", "trust_checkpoint", "maybe"], "trust_checkpoint must be True or False, got 'may"),
    ],
)
def test_bare_papermill_refuses(options, message, tmp_path):
    notebook = tmp_path / "03.ipynb"  # also a copy elsewhere
    notebook.write_bytes((ROOT / "notebooks" / "03_confusion_matrix.ipynb").read_bytes())
    status, last, executed = run_papermill(notebook, *options)
    assert status != 0 and last.startswith(f"ParameterError: {message}")
    (error,) = errors_of(nbformat.read(executed, 4))
    assert len(error.traceback) == 1 and "\n" not in error.traceback[0]


@pytest.mark.slow
def test_bare_papermill_converts(tmp_path):
    notebook = write_notebook(tmp_path / "n.ipynb", code=f"print(({NAMES}))")
    given = ["-p", "replace", "false", "-p", "runs", "b", "-p", "options", '{"a": [true]}']
    status, last, executed = run_papermill(notebook, *given, "--inject-paths")
    assert status == 0, last
    printed = nbformat.read(executed, 4).cells[-1].outputs[0].text
    assert printed == "(False, 12, 0.5, 'row', '', {'a': [True]}, [], ['b'])\n"


@pytest.mark.slow
def test_papermill_makes_the_folder_of_its_output(tmp_path):
    # As it is installed: the environment may be older than pyproject.toml.
    (tmp_path / "pcb_test-0.dist-info").mkdir()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ((address, module),) = project["entry-points"]["papermill.io"].items()
    entry_points = f"[papermill.io]\n{address} = {module}\n"
    (tmp_path / "pcb_test-0.dist-info" / "entry_points.txt").write_text(entry_points)
    notebook = write_notebook(tmp_path / "n.ipynb")
    command = [sys.executable, "-m", "papermill", notebook, "new/folder/n.ipynb"]
    places = os.pathsep.join([str(tmp_path), str(ROOT)])
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": places}, check=True)
    assert (tmp_path / "new" / "folder" / "n.ipynb").is_file()
    code = f"import {module}"  # also when it is imported before papermill
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


@pytest.mark.slow
def test_notebook_is_executed_without_papermill(tmp_path):
    """As JupyterLab and `nbconvert --execute` do; the wrong value is in the cell itself."""
    cell = CELL.replace("pairs: int = 12", "pairs: int = 0")
    notebook = nbformat.read(write_notebook(tmp_path / "n.ipynb", cell, "print(pairs)"), 4)
    client = NotebookClient(notebook, allow_errors=True)
    client.execute()
    (error,) = errors_of(notebook)
    assert error.traceback == [
        "ParameterError: pairs must be a whole number from 1 to 100, got 0",
    ]


@pytest.mark.slow
def test_warnings_of_a_notebook_are_one_line(tmp_path):
    code = "import warnings\nwarnings.warn('2 classes\\ndo not occur', stacklevel=1)"
    notebook = write_notebook(tmp_path / "n.ipynb", code=code)
    executed = papermill.execute_notebook(str(notebook), None, progress_bar=False)
    (output,) = executed.cells[-1].outputs
    assert output.text == "warning: 2 classes do not occur\n"


@pytest.mark.slow
def test_finished_training_is_not_replaced_by_the_text_false(tmp_path):
    """Only the first cells run; the next one would start the training."""
    notebook = nbformat.read(ROOT / "notebooks" / "01_train.ipynb", 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    code[2].source = "raise SystemExit('replaces' if replace else 'keeps')"
    path = tmp_path / "01_train.ipynb"
    nbformat.write(notebook, path)
    with pytest.raises(PapermillExecutionError, match="keeps"):
        papermill.execute_notebook(str(path), None, {"replace": "false"}, progress_bar=False)


@pytest.mark.parametrize("width", ["", "column", "page", "2", "40", "1.9", "41", "nan", "wide"])
def test_notebooks_know_the_widths_of_figures(width):
    from pcb import plots

    known = True
    try:
        with plots.use(width):
            pass
    except ValueError:
        known = False
    for notebook in NOTEBOOKS:
        if known:
            assert check_parameters(notebook, {"width": width}) == {"width": width}
        else:
            with pytest.raises(ParameterError, match="width must be"):
                check_parameters(notebook, {"width": width})


def test_annotated_variables_of_the_user_are_not_parameters():
    """Somebody runs a cell of their own, edits one of the first cells, and runs them again."""
    cells = [CELL, "check(globals())", "top: int = 3", "top = 'text'"]
    variables = {"In": cells, "top": "text", "pairs": "7"}
    assert check(variables) == {"pairs": 7} and variables["top"] == "text"
    edited = CELL.replace("[1 to 100]", "[1 to 5]")
    with pytest.raises(ParameterError, match="pairs must be a whole number from 1 to 5, got 7"):
        check({"In": [*cells, edited], "pairs": 7})
