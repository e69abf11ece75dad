"""Grid files, the parameters of notebooks, and whole grids with stand-in notebooks."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest

from pcb.cli.main import main
from pcb.grids import workflow
from pcb.grids.failures import find_failures, record_failure
from pcb.grids.grid import config_sources, read_grid
from pcb.grids.questions import OF_PAIR, OF_RUN
from pcb.notebooks.execute import NotebookError, run_notebook
from pcb.notebooks.parameters import check_parameters
from tests.support.stand_in import write_command

ROOT = Path(__file__).resolve().parents[2]

RUN_PARAMETERS = 'config: str = ""\nwork_dir: str = ""\nseed: int = 0\ncfg_options: dict = {}\n'
STAND_INS = {
    "00_dataset": ('config: str = ""\nsize: str = ""\nwork_dir: str = ""\n', "print(config)"),
    "01_train": (
        RUN_PARAMETERS + "replace: bool = False\ngpus: int = 1\n",
        "import os\nfrom pathlib import Path\nPath(work_dir, 'config.py').touch()\n"
        "print('threads:', os.environ['OMP_NUM_THREADS'])",
    ),
    "02_evaluate": (
        RUN_PARAMETERS,
        "from pathlib import Path\n"
        "if Path(work_dir, 'broken').exists(): raise ValueError('<b>no</b>\\nwhy:\\na & b')\n"
        """Path(work_dir, 'metrics.json').write_text('{"segm": {"AP": 0.25}}')""",
    ),
    "03_confusion_matrix": (RUN_PARAMETERS, "print(seed)"),
    "04_soft_labels": (RUN_PARAMETERS + "classes: list = []\n", "print(cfg_options)"),
    "05_compare": ('work_dir: str = ""\nruns: list = []\n', "print(runs)"),
    "06_changes": (RUN_PARAMETERS + 'before: str = ""\n', "print(before)"),
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
    values = {"title": "Test", "datasets": ["openmoji"], "baselines": ["softmax"]} | changes
    path.write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in values.items()))
    return path


@pytest.fixture
def stand_ins(tmp_path: Path) -> Path:
    for name, (parameters, code) in STAND_INS.items():
        write_notebook(tmp_path / "notebooks" / f"{name}.ipynb", parameters, code)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    return tmp_path


def snakemake(
    folder: Path,
    grid: str | Path,
    *arguments: str,
    python: str | Path = sys.executable,
    **environment: str,
) -> subprocess.CompletedProcess:
    """Run the workflow on the stand-in notebooks; it writes into ``folder`` only."""
    command = [python, "-m", "snakemake", "--snakefile", ROOT / "workflow" / "Snakefile"]
    command += ["--directory", folder, "--cores", "2", "--keep-going", *arguments]
    command += ["--config", f"grid={grid}", f"notebooks={folder / 'notebooks'}"]
    command += [f"configs={folder / 'configs'}", f"runs={folder / 'runs'}"]
    return subprocess.run(
        map(str, command),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | environment,
    )


def executed(result: subprocess.CompletedProcess) -> list[str]:
    """The notebooks that a call of the workflow finished, sorted."""
    lines = result.stdout.splitlines()
    return sorted(line.split(": done in")[0] for line in lines if ": done in" in line)


def planned(folder: Path, grid: Path) -> list[str]:
    """The notebooks that a call would run, sorted."""
    result = snakemake(folder, grid, "--dry-run")
    assert result.returncode == 0, result.stderr
    logs = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("    log:")]
    return sorted(_name(folder / "runs" / grid.stem / "openmoji", log) for log in logs)


def _name(root: Path, notebook: str) -> str:
    return Path(notebook).relative_to(root).with_suffix("").as_posix()


@pytest.mark.slow
def test_failure_stops_only_what_depends_on_it(stand_ins):
    grid = write_grid(stand_ins / "pair.yaml", seeds=[3])
    root = stand_ins / "runs" / "pair"
    plain, balanced = (root / "openmoji" / name / "seed3" for name in ("softmax", "softmax_pcb"))
    balanced.mkdir(parents=True)
    (balanced / "broken").touch()

    first = snakemake(stand_ins, grid)
    assert first.returncode != 0
    of_plain = [f"{name} openmoji/softmax/seed3" for name in OF_RUN]
    of_balanced = [f"{name} openmoji/softmax_pcb/seed3" for name in (*OF_RUN, *OF_PAIR)]
    train, evaluate, confusion, soft_labels, changes = of_balanced
    assert executed(first) == sorted(["00_dataset openmoji", *of_plain, train, soft_labels])
    assert "02_evaluate.ipynb failed in cell 3: ValueError: <b>no</b>" in first.stderr
    assert (
        f"The executed notebook shows the whole error: {balanced / '02_evaluate.ipynb'}"
        in first.stderr
    )
    assert not (balanced / "02_evaluate.html").exists()
    assert not (balanced / "metrics.json").exists()
    [failure] = find_failures(root)
    assert failure.executed == balanced / "02_evaluate.ipynb" and failure.cell == 3
    failed_page = failure.page.read_text()
    assert "Traceback" in failed_page and "<b>no</b>" not in failed_page
    index = (root / "index.html").read_text()
    assert 'href="openmoji/softmax_pcb/seed3/02_evaluate.failed.html"' in index
    assert "ValueError: &lt;b&gt;no&lt;/b&gt; ... a &amp; b" in index
    assert "openmoji/softmax_pcb/seed3/01_train.html" in index  # although the run has no metrics

    (balanced / "broken").unlink()
    fixed = snakemake(stand_ins, grid)
    assert fixed.returncode == 0, fixed.stderr
    assert executed(fixed) == sorted([evaluate, confusion, changes, "05_compare openmoji"])
    assert find_failures(root) == [] and not list(root.rglob("*.failed.*"))
    index = (root / "index.html").read_text()
    assert "failed" not in index.replace(".failed", "") and "03_confusion_matrix.html" in index
    pages = sorted(page.relative_to(root / "openmoji").as_posix() for page in root.rglob("0*.html"))
    assert pages == sorted(
        [f"{run}/seed3/{page}.html" for run in ("softmax", "softmax_pcb") for page in OF_RUN]
        + ["softmax_pcb/seed3/06_changes.html", "00_dataset.html", "05_compare.html"]
    )
    html = (balanced / "03_confusion_matrix.html").read_text()
    assert "<details" in html and "What does it show?" in html
    assert f"{plain}" in (balanced / "06_changes.ipynb").read_text()

    assert "Nothing to be done" in snakemake(stand_ins, grid).stderr


@pytest.mark.slow
def test_change_reruns_exactly_what_it_touches(stand_ins):
    overrides = {"default": {}, "lr2": {"optimizer.lr": 0.002}}
    grid = write_grid(stand_ins / "pair.yaml", overrides=overrides)
    root = stand_ins / "runs" / "pair"
    balanced = ["softmax_pcb", "softmax_pcb-lr2"]
    every = ["softmax", "softmax-lr2", *balanced]
    for run in every:
        (root / "openmoji" / run / "seed0").mkdir(parents=True)
        pages = (*OF_RUN, *OF_PAIR) if run in balanced else OF_RUN
        for name in (*(f"{page}.html" for page in pages), "metrics.json"):
            (root / "openmoji" / run / "seed0" / name).touch()
    for name in ("openmoji/00_dataset", "openmoji/05_compare", "index"):
        (root / f"{name}.html").touch()
    assert snakemake(stand_ins, grid, "--touch", "--forceall").returncode == 0  # everything is done

    def of(runs, notebooks=OF_RUN):
        return [f"{run}/seed0/{notebook}" for run in runs for notebook in notebooks]

    # Change an inherited config, and a notebook on which nothing depends.
    config = stand_ins / "configs" / "_base_" / "pcb" / "scaled.py"
    source = config.read_text()
    config.write_text(source + "\n")
    write_notebook(
        stand_ins / "notebooks" / "00_dataset.ipynb", STAND_INS["00_dataset"][0], "print(size)"
    )
    changes = of(balanced, OF_PAIR)
    assert planned(stand_ins, grid) == sorted([*of(balanced), *changes, "00_dataset", "05_compare"])

    # Restore the config, which only looks new; change the value of an override and a parameter.
    config.write_text(source)
    overrides["lr2"]["optimizer.lr"] = 0.003
    write_grid(grid, overrides=overrides, parameters={"04_soft_labels": {"classes": ["a"]}})
    touched = of(["softmax-lr2", "softmax_pcb-lr2"]) + of(
        ["softmax", "softmax_pcb"], ["04_soft_labels"]
    )
    touched += of(["softmax_pcb-lr2"], OF_PAIR)
    assert planned(stand_ins, grid) == sorted([*touched, "00_dataset", "05_compare"])


@pytest.mark.slow
def test_grid_runs_in_a_clone_whose_path_has_blanks(stand_ins):
    (stand_ins / "my clone").symlink_to(sys.prefix)
    python = stand_ins / "my clone" / "bin" / Path(sys.executable).name
    grid = write_grid(stand_ins / "one.yaml", pcb=[False])
    result = snakemake(stand_ins, grid, "--until", "train", python=python)
    assert executed(result) == ["01_train openmoji/softmax/seed0"], result.stderr


@pytest.mark.slow
def test_slurm_jobs_request_what_the_grid_says(stand_ins):
    grid = write_grid(
        stand_ins / "large.yaml", pcb=[False], gpus=2, threads=8, memory="64GB", time="36h"
    )
    commands = stand_ins / "bin"
    commands.mkdir()
    source = (ROOT / "tests" / "support" / "slurm.py").read_text()
    for name in ("sbatch", "srun", "sacct", "sacctmgr", "sinfo", "scontrol"):
        write_command(commands / name, source)
    result = snakemake(
        stand_ins,
        grid,
        *("--profile", ROOT / "workflow" / "profiles" / "slurm", "--cores", "100"),
        *("--latency-wait", "5", "--slurm-init-seconds-before-status-checks", "1"),
        *("--until", "soft_labels"),
        PATH=f"{commands}:{os.environ['PATH']}",
    )
    run = stand_ins / "runs" / "large" / "openmoji" / "softmax" / "seed0"
    threads = max(1, min(8, len(os.sched_getaffinity(0))) // 2)  # of each process
    assert f"threads: {threads}" in (run / "01_train.html").read_text(), result.stderr
    assert result.returncode != 0 and "no such partition" in result.stderr
    assert (run.parents[2] / "index.html").is_file()

    lines = (commands / "submitted.jsonl").read_text().splitlines()
    train, soft_labels = (" ".join(json.loads(line)) for line in lines)
    asked = "-A lab -p long -t 2160 --mem 64000 --nodes=1 --cpus-per-task=8"
    assert f"{asked} -D {stand_ins} --gpus=2 /dev/stdin" in " ".join(train.split()), train
    asked = "-A lab -p long -t 120 --mem 8000 --ntasks=1 --cpus-per-task=1"
    assert f"{asked} -D {stand_ins} /dev/stdin" in " ".join(soft_labels.split()), soft_labels


def test_unknown_parameter_names_the_nearest(tmp_path):
    notebook = write_notebook(tmp_path / "n.ipynb", RUN_PARAMETERS, "")
    check_parameters(notebook, {"work_dir": "runs", "seed": 1})
    with pytest.raises(ValueError, match=r"n\.ipynb has no parameter 'sede'; did you mean 'seed'"):
        check_parameters(notebook, {"sede": 1})
    with pytest.raises(ValueError, match="available: config, work_dir, seed, cfg_options"):
        check_parameters(notebook, {"x": 1})
    with pytest.raises(FileNotFoundError, match="absent"):
        check_parameters(tmp_path / "absent.ipynb", {})


@pytest.mark.parametrize("name", STAND_INS)
def test_stand_in_has_the_parameters_of_its_notebook(name, stand_ins):
    """So that the parameters of the workflow are right for the notebooks, too."""
    stand_in, notebook = (
        papermill.inspect_notebook(str(folder / "notebooks" / f"{name}.ipynb"))
        for folder in (stand_ins, ROOT)
    )
    assert set(stand_in) <= set(notebook)


def test_unknown_parameter_runs_nothing(tmp_path):
    notebook = write_notebook(tmp_path / "n.ipynb", RUN_PARAMETERS, "print(1)")
    with pytest.raises(ValueError, match="'sede'"):
        run_notebook(notebook, {"sede": 1}, tmp_path / "executed.ipynb", tmp_path / "page.html")
    assert [file.name for file in tmp_path.iterdir()] == ["n.ipynb"]


@pytest.mark.slow
def test_parameters_reach_the_notebook_as_they_are(tmp_path, capfd):
    code = "print(cfg_options, work_dir); print('\\r50%', end=''); print('\\r100%')"
    notebook = write_notebook(tmp_path / "n.ipynb", RUN_PARAMETERS, code)
    parameters = {"cfg_options": {"a.b": [1, None]}, "work_dir": "a'b\" $HOME; <b>"}
    folder = tmp_path / "out"
    run_notebook(notebook, parameters, folder / "n.ipynb", folder / "n.html", label="n | ")
    printed = """n | {'a.b': [1, None]} a'b" $HOME; <b>\nn | 50%\nn | 100%\n"""
    assert capfd.readouterr().out == printed  # each state of a progress bar is a line
    assert "&lt;b&gt;" in (tmp_path / "out" / "n.html").read_text()


@pytest.mark.slow
def test_failed_cell_is_an_error_that_names_the_copy(tmp_path):
    notebook = write_notebook(tmp_path / "n.ipynb", "", "raise KeyError('x')")
    with pytest.raises(
        NotebookError, match=r"n\.ipynb failed in cell .*KeyError: 'x'\n.*out\.ipynb"
    ):
        run_notebook(notebook, {}, tmp_path / "out.ipynb", tmp_path / "out.html")
    assert not (tmp_path / "out.html").exists()


@pytest.mark.slow
def test_dead_kernel_is_an_error_and_leaves_a_note(tmp_path):
    notebook = write_notebook(tmp_path / "n.ipynb", "", "import os; os._exit(9)")
    with (
        pytest.raises(NotebookError, match="ran out of memory"),
        record_failure(tmp_path / "out.ipynb"),
    ):
        run_notebook(notebook, {}, tmp_path / "out.ipynb", tmp_path / "out.html")
    [failure] = find_failures(tmp_path)
    assert failure.cell is None and "the kernel died" in failure.line
    assert "_exit" in failure.page.read_text()


def test_note_exists_before_a_process_is_killed(tmp_path):
    with record_failure(tmp_path / "01_train.ipynb"):
        assert "killed" in (tmp_path / "01_train.failed.json").read_text()
    assert find_failures(tmp_path) == []
    assert [file.name for file in tmp_path.iterdir()] == [".01_train.lock"]


def test_note_of_an_interrupted_notebook_says_so(tmp_path):
    with pytest.raises(KeyboardInterrupt), record_failure(tmp_path / "01_train.ipynb"):
        (tmp_path / "01_train.ipynb").write_text('{"cells": [')  # stopped while it was written
        raise KeyboardInterrupt
    [failure] = find_failures(tmp_path)
    assert failure.line.startswith("interrupted") and not failure.page.exists()


def test_grid_multiplies_out(tmp_path):
    configs = tmp_path / "configs" / "cats"
    configs.mkdir(parents=True)
    for name in ("plain", "plain_pcb", "other_pcb"):
        (configs / f"{name}.py").touch()
    options = {"fast": {"lr": 2}, "as_it_is": {}}
    file = write_grid(
        tmp_path / "g.yaml",
        datasets=["cats"],
        baselines=["plain"],
        configs=["other_pcb"],
        seeds=[0, 1],
        overrides=options,
        cfg_options={"lr": 1, "epochs": 3},
    )
    grid = read_grid(file, tmp_path / "configs")
    names = [str(run) for run in grid.runs]
    assert names == [
        f"cats/{config}{override}/seed{seed}"
        for config in ("plain", "plain_pcb", "other_pcb")
        for override in ("-fast", "")
        for seed in (0, 1)
    ]
    assert [grid.options(run)["lr"] for run in grid.runs[:4]] == [2, 2, 1, 1]
    assert grid.options(grid.runs[0])["epochs"] == 3
    plain = {str(run): grid.plain(run) for run in grid.runs}
    assert str(plain["cats/plain_pcb-fast/seed1"]) == "cats/plain-fast/seed1"
    assert str(plain["cats/plain_pcb/seed1"]) == "cats/plain/seed1"
    assert plain["cats/plain-fast/seed1"] is plain["cats/other_pcb-fast/seed1"] is None


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"sedes": [0]}, "unknown key 'sedes'; did you mean 'seeds'"),
        ({"seeds": 0}, "seeds must be a list, got 0"),
        ({"seeds": [True]}, "seeds must contain whole numbers, got True"),
        ({"seeds": [-1]}, r"seeds must be a whole number in \[0, 4294967295\], got -1"),
        ({"seeds": []}, "seeds is empty"),
        ({"seeds": [1, 1]}, "openmoji/softmax/seed1 2 times: remove"),
        ({"configs": ["softmax_pcb"]}, "openmoji/softmax_pcb/seed0 2 times: remove"),
        ({"overrides": {"a": {}, "b": {}}}, "openmoji/softmax/seed0 2 times: remove"),
        ({"pcb": ["on"]}, "pcb must contain on or off, without quotes, got 'on'"),
        ({"datasets": []}, "datasets is empty"),
        ({"baselines": []}, "the grid has no configs"),
        (
            {"baselines": ["sofmax"]},
            r"no config 'openmoji/sofmax'; did you mean 'openmoji/softmax'",
        ),
        ({"datasets": ["../openmoji"]}, "dataset name '../openmoji' is not valid"),
        ({"configs": ["a/../b"]}, "config name 'a/../b' is not valid"),
        (
            {"configs": ["a-b"]},
            "config name 'a-b' is not valid. Use only letters, digits, '_' and '.',",
        ),
        ({"overrides": {"$(x)": {}}}, r"override name '\$\(x\)' is not valid"),
        ({"overrides": {"lr2": 0.5}}, "overrides must contain mappings, got 0.5"),
        (
            {"make": {"openmoij": "mini"}},
            "unknown dataset 'openmoij' under 'make'; did you mean 'openmoji'",
        ),
        (
            {"parameters": {"04_soft": {}}},
            "unknown notebook '04_soft' under 'parameters'; did you mean '04_soft_labels'",
        ),
        ({"gpus": 0}, "gpus must be at least 1, got 0"),
        ({"seeds": [2**32]}, "seeds must be a whole number in .*, got 4294967296"),
        ({"make": {"openmoji": "huge"}}, "must be tiny, mini or full, got 'huge'"),
        ({"parameters": {"01_train": {"seed": 5}}}, "set the parameter 'seed' of 01_train"),
        (
            {"parameters": {"03_confusion_matrix": {"pairs": "many"}}},
            r"03_confusion_matrix\.ipynb: pairs must be a whole number",
        ),
        (
            {"parameters": {"03_confusion_matrix": {"score_treshold": 0.5}}},
            "did you mean 'score_threshold'",
        ),
        (
            {"parameters": {"02_evaluate": {"score_threshold": [0.5]}}},
            r"score_threshold must be a number",
        ),
        ({"threads": True}, "threads must be a whole number, got True"),
        ({"memory": "64; rm"}, "memory must be text such as 64GB, got '64; rm'"),
        ({"time": "2 days"}, "time must be text such as 36h or 2d, got '2 days'"),
        ({"memory": "0GB"}, "memory must be text such as 64GB, got '0GB'"),
        ({"time": "00h"}, "time must be text such as 36h or 2d, got '00h'"),
    ],
)
def test_wrong_grid_says_what_is_wrong(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        read_grid(write_grid(tmp_path / "g.yaml", **changes))


@pytest.mark.parametrize(
    "text, message",
    [
        ("seeds: [2]", "the key 'seeds' occurs twice"),
        ("cfg_options: {1: 0.5}", "cfg_options: 1 is not text: put it in quotes"),
        ("parameters: {02_evaluate: {5: 0.5}}", "parameters: 5 is not text: put it in quotes"),
    ],
)
def test_keys_of_a_grid_are_text_and_occur_once(tmp_path, text, message):
    file = write_grid(tmp_path / "g.yaml", seeds=[0, 1])
    file.write_text(f"{file.read_text()}\n{text}\n")
    with pytest.raises(ValueError, match=message):
        read_grid(file)


def test_grid_of_another_encoding_is_named(tmp_path):
    (tmp_path / "g.yaml").write_bytes("title: Äpfel\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"g\.yaml: not valid YAML: .*utf-8"):
        read_grid(tmp_path / "g.yaml")


@pytest.mark.parametrize(
    "name, message",
    [("a b.yaml", "the file name 'a b' is not valid"), ("$(x)'/a.yaml", "quotes")],
)
def test_grid_of_an_odd_path_is_refused(tmp_path, name, message):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    with pytest.raises(ValueError, match=message):
        read_grid(write_grid(tmp_path / name))


def test_every_committed_grid_is_valid():
    runs = {file.stem: read_grid(file).runs for file in ROOT.glob("workflow/grids/*.yaml")}
    names = [str(run) for run in runs["demo"]]
    assert names == ["openmoji/softmax/seed0", "openmoji/softmax_pcb/seed0"]
    assert len(runs["baselines"]) == 24 and len(runs["lvis_v1"]) == 10


def test_check_prints_the_folder_of_the_runs(tmp_path, capsys):
    assert main(["grid", "check", str(write_grid(tmp_path / "own.yaml"))]) == 0
    assert capsys.readouterr().out == "runs/own\n"
    typo = {"03_confusion_matrix": {"score_treshold": 0.5}}
    assert main(["grid", "check", str(write_grid(tmp_path / "own.yaml", parameters=typo))]) == 2
    assert "did you mean 'score_threshold'" in capsys.readouterr().err
    assert main(["grid", "check", "dmo"]) == 2
    error = capsys.readouterr().err
    assert "did you mean 'demo'?" in error and "Traceback" not in error


def test_make_grid_passes_names_unchanged_and_fails_if_the_grid_does(tmp_path):
    """The shell does not parse names."""
    stand_in = """import json, sys
with open("calls", "a") as file:
    print(json.dumps(sys.argv[1:]), file=file)
sys.exit(3)
"""
    write_command(tmp_path / "python", stand_in)
    name = "a b';touch harmed;`touch harmed`"
    command = ["make", "-f", ROOT / "Makefile", "-o", ".venv/.ready", f"BIN={tmp_path}", "grid"]
    made = subprocess.run(
        [*command, f"GRID={name}", "PROFILE=slurm"], cwd=tmp_path, capture_output=True, text=True
    )
    assert made.returncode != 0 and "Error 3" in made.stderr
    calls = [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert calls == [["-m", "pcb", "grid", "run", name, "--profile", "slurm"]]
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"overrides": {"a": {"optimizer.lrr": 1}}}, r"openmoji/softmax-a: .*optimizer\.lr"),
        ({"cfg_options": {"optimizer.lr": "fast"}}, r"openmoji/softmax: .*optimizer\.lr.*'fast'"),
    ],
)
def test_options_of_configs_are_checked_before_anything_runs(
    tmp_path, changes, message, capsys, monkeypatch
):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(workflow, "_snakemake", lambda arguments: pytest.fail("it ran"))
    assert main(["grid", "run", str(write_grid(tmp_path / "g.yaml", **changes))]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not Path("runs", "g").exists()


@pytest.mark.parametrize("arguments", [["dmo"], ["demo", "--profile", "slrm"]])
def test_wrong_call_ends_with_one_line(arguments, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(workflow, "_snakemake", lambda arguments: pytest.fail("it ran"))
    assert main(["grid", "run", *arguments]) == 2
    assert re.fullmatch(
        r"pcb: error: there is no .*(available: |did you mean ).*\n", capsys.readouterr().err
    )


def test_config_sources_follow_inheritance(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "a.py").write_text("x = 1\n")
    (tmp_path / "base" / "b.py").write_text("_base_ = 'a.py'\n")
    (tmp_path / "c.py").write_text("_base_ = ['base/a.py', 'base/b.py']\n")
    sources = config_sources(tmp_path / "c.py")
    assert [source.name for source in sources] == ["c.py", "a.py", "b.py"]
