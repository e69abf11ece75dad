"""The workflow: grids, checked notebooks, and a whole run with stand-in notebooks."""

import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest

from pcb.grid import config_sources, read_grid
from pcb.notebooks import NotebookError, check_parameters, run_notebook

ROOT = Path(__file__).resolve().parent.parent

RUN_PARAMETERS = 'config: str = ""\nwork_dir: str = ""\nseed: int = 0\ncfg_options: dict = {}\n'
STAND_INS = {
    "00_dataset": ('config: str = ""\nsize: str = ""\nwork_dir: str = ""\n', "print(config)"),
    "01_train": (
        RUN_PARAMETERS + "replace: bool = False\n",
        "from pathlib import Path\nPath(work_dir, 'config.py').touch()",
    ),
    "02_evaluate": (
        RUN_PARAMETERS,
        "from pathlib import Path\n"
        """Path(work_dir, 'metrics.json').write_text('{"segm": {"AP": 0.25}}')""",
    ),
    "03_confusion_matrix": (RUN_PARAMETERS + 'before: str = ""\n', "print(seed, before)"),
    "04_soft_labels": (RUN_PARAMETERS, "print(cfg_options)"),
    "05_compare": ('work_dir: str = ""\nruns: list = []\n', "print(runs)"),
}


def write_notebook(path: Path, parameters: str, code: str) -> Path:
    cells = [
        nbformat.v4.new_markdown_cell("# What does it show?"),
        nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(code),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def write_grid(path: Path, **changes) -> Path:
    values = {"title": "Test", "datasets": ["openmoji"], "configs": ["softmax"]} | changes
    path.write_text("\n".join(f"{key}: {value!r}" for key, value in values.items()))
    return path


@pytest.fixture
def stand_ins(tmp_path: Path) -> Path:
    for name, (parameters, code) in STAND_INS.items():
        write_notebook(tmp_path / "notebooks" / f"{name}.ipynb", parameters, code)
    return tmp_path


def snakemake(folder: Path, grid: str | Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run the workflow on the stand-in notebooks, with everything it writes in ``folder``."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "workflow" / "Snakefile"]
    command += ["--directory", folder, "--cores", "2", *arguments, "--config", f"grid={grid}"]
    command += [f"notebooks={folder / 'notebooks'}", f"configs={ROOT / 'configs'}"]
    command += [f"runs={folder / 'runs'}"]
    return subprocess.run(map(str, command), capture_output=True, text=True, cwd=ROOT)


def test_dry_run_of_the_demo_lists_its_jobs(stand_ins):
    result = snakemake(stand_ins, "demo", "--dry-run")
    assert result.returncode == 0, result.stderr
    counts = dict(line.split() for line in result.stdout.splitlines() if len(line.split()) == 2)
    expected = {"dataset": 1, "train": 2, "evaluate": 2, "confusion_matrix": 2, "soft_labels": 2}
    expected |= {"compare": 1, "page": 1, "total": 11}
    assert {name: int(counts[name]) for name in expected} == expected


def test_whole_workflow_once_and_again(stand_ins):
    grid = write_grid(stand_ins / "small.yaml")
    first = snakemake(stand_ins, grid)
    assert first.returncode == 0, first.stderr
    runs = stand_ins / "runs" / "small"
    run = runs / "openmoji" / "softmax" / "seed0"
    pages = [f"{name}.html" for name in STAND_INS]
    assert sorted(page.name for page in runs.rglob("0*.html")) == sorted(pages)
    assert "04_soft_labels.html" in (runs / "index.html").read_text()
    html = (run / "03_confusion_matrix.html").read_text()
    assert "<details" in html and "What does it show?" in html

    again = snakemake(stand_ins, grid)
    assert "Nothing to be done" in again.stderr

    write_grid(grid, cfg_options={"runner.max_epochs": 1})
    changed = snakemake(stand_ins, grid, "--dry-run")
    assert "rule train:" in changed.stdout and "rule dataset:" not in changed.stdout


def test_run_with_pcb_is_compared_with_the_one_without(stand_ins):
    grid = write_grid(stand_ins / "pair.yaml", configs=["softmax_pcb", "softmax"], seeds=[3])
    runs = stand_ins / "runs" / "pair" / "openmoji"
    assert snakemake(stand_ins, grid).returncode == 0
    executed = (runs / "softmax_pcb" / "seed3" / "03_confusion_matrix.ipynb").read_text()
    assert f"{runs}/softmax/seed3" in executed
    assert (
        'before = \\"\\"' in (runs / "softmax" / "seed3" / "03_confusion_matrix.ipynb").read_text()
    )


def test_failed_notebook_is_kept_and_named(stand_ins):
    grid = write_grid(stand_ins / "small.yaml")
    write_notebook(
        stand_ins / "notebooks" / "00_dataset.ipynb", STAND_INS["00_dataset"][0], "open('absent')"
    )
    result = snakemake(stand_ins, grid)
    assert result.returncode != 0
    executed = stand_ins / "runs" / "small" / "openmoji" / "00_dataset.ipynb"
    assert "00_dataset.ipynb failed in cell" in result.stderr
    assert "FileNotFoundError: [Errno 2] No such file or directory: 'absent'" in result.stderr
    assert f"The executed notebook: {executed}" in result.stderr
    assert "absent" in executed.read_text()
    assert not executed.with_suffix(".html").exists()


def test_unknown_parameter_names_the_nearest(tmp_path):
    notebook = write_notebook(tmp_path / "n.ipynb", RUN_PARAMETERS, "")
    check_parameters(notebook, {"work_dir": "runs", "seed": 1})
    with pytest.raises(ValueError, match=r"n\.ipynb has no parameter 'sede'; did you mean 'seed'"):
        check_parameters(notebook, {"sede": 1})
    with pytest.raises(ValueError, match="there are: config, work_dir, seed, cfg_options"):
        check_parameters(notebook, {"x": 1})
    with pytest.raises(FileNotFoundError, match="absent"):
        check_parameters(tmp_path / "absent.ipynb", {})


@pytest.mark.parametrize("name", STAND_INS)
def test_stand_in_has_the_parameters_of_its_notebook(name, stand_ins):
    """So that what the workflow passes to the stand-ins is right for the notebooks."""
    stand_in = papermill.inspect_notebook(str(stand_ins / "notebooks" / f"{name}.ipynb"))
    check_parameters(ROOT / "notebooks" / f"{name}.ipynb", stand_in)


def test_unknown_parameter_runs_nothing(tmp_path):
    notebook = write_notebook(tmp_path / "n.ipynb", RUN_PARAMETERS, "print(1)")
    with pytest.raises(ValueError, match="'sede'"):
        run_notebook(notebook, {"sede": 1}, tmp_path / "executed.ipynb", tmp_path / "page.html")
    assert [file.name for file in tmp_path.iterdir()] == ["n.ipynb"]


def test_parameters_reach_the_notebook_as_they_are(tmp_path, capfd):
    notebook = write_notebook(tmp_path / "n.ipynb", RUN_PARAMETERS, "print(cfg_options, work_dir)")
    parameters = {"cfg_options": {"a.b": [1, None]}, "work_dir": "a'b\" $HOME; <b>"}
    folder = tmp_path / "out"
    run_notebook(notebook, parameters, folder / "n.ipynb", folder / "n.html", label="n | ")
    assert capfd.readouterr().out == """n | {'a.b': [1, None]} a'b" $HOME; <b>\n"""
    assert "&lt;b&gt;" in (tmp_path / "out" / "n.html").read_text()


def test_failed_cell_is_an_error_that_names_the_copy(tmp_path):
    notebook = write_notebook(tmp_path / "n.ipynb", "", "raise KeyError('x')")
    with pytest.raises(
        NotebookError, match=r"n\.ipynb failed in cell .*KeyError: 'x'\n.*out\.ipynb"
    ):
        run_notebook(notebook, {}, tmp_path / "out.ipynb", tmp_path / "out.html")
    assert not (tmp_path / "out.html").exists()


def test_grid_multiplies_out(tmp_path):
    configs = tmp_path / "configs" / "cats"
    configs.mkdir(parents=True)
    for name in ("plain", "plain_pcb"):
        (configs / f"{name}.py").touch()
    file = write_grid(
        tmp_path / "g.yaml", datasets=["cats"], configs=["plain", "plain_pcb"], seeds=[0, 1]
    )
    grid = read_grid(file, tmp_path / "configs")
    assert [run.name for run in grid.runs] == [
        "cats/plain/seed0",
        "cats/plain/seed1",
        "cats/plain_pcb/seed0",
        "cats/plain_pcb/seed1",
    ]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"sedes": [0]}, "unknown key 'sedes'; did you mean 'seeds'"),
        ({"seeds": 0}, "seeds must be a list, got 0"),
        ({"datasets": []}, "datasets is missing or empty"),
        ({"configs": ["sofmax"]}, r"no config 'openmoji/sofmax'; did you mean 'openmoji/softmax'"),
    ],
)
def test_wrong_grid_says_what_is_wrong(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        read_grid(write_grid(tmp_path / "g.yaml", **changes))


def test_unknown_grid_names_the_known():
    with pytest.raises(FileNotFoundError, match=r"there are: demo"):
        read_grid("dmo")


def test_config_sources_follow_inheritance(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "a.py").write_text("x = 1\n")
    (tmp_path / "base" / "b.py").write_text("_base_ = 'a.py'\n")
    (tmp_path / "c.py").write_text("_base_ = ['base/a.py', 'base/b.py']\n")
    sources = config_sources(tmp_path / "c.py")
    assert [source.name for source in sources] == ["c.py", "a.py", "b.py"]
