"""The notebooks: how they are written, and that each runs, small and with its defaults."""

import ast
import hashlib
import io
import re
import shutil
import tokenize
from collections.abc import Iterator
from pathlib import Path

import nbformat
import papermill
import pytest
from PIL import Image

from pcb.detection.box_head_loss import NEW_BUFFERS
from pcb.detection.checkpoint import read_checkpoint, save_checkpoint
from pcb.notebooks.pages import PLOTLY, export_page
from pcb.runs import default_work_dir
from pcb.runs.folder import RunFolder
from pcb.study.run import open_run
from tests.support.browser import needs_browser, open_page
from tests.support.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
NAMES = (
    "00_dataset",
    "01_train",
    "02_evaluate",
    "03_confusion_matrix",
    "04_soft_labels",
    "05_compare",
    "06_changes",
    "method",
)
CONFIG = "tests/configs/tiny_pcb.py"
MOST_BYTES = 10_000_000  # of a page
COMPARED = ("softmax/seed0", "softmax/seed1", "softmax_pcb/seed0", "softmax_pcb/seed1")
SEED = 7
OF_A_RUN = {"config", "work_dir", "seed", "cfg_options"}


def read(name: str) -> nbformat.NotebookNode:
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    return notebook


def parameter_cell(notebook: nbformat.NotebookNode) -> str:
    (cell,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    return cell.source


def execute(name: str, folder: Path, **parameters) -> nbformat.NotebookNode:
    """Run a notebook from another working directory than the repository's."""
    folder.mkdir(exist_ok=True)
    return papermill.execute_notebook(
        str(ROOT / "notebooks" / f"{name}.ipynb"),
        str(folder / f"{name}.ipynb"),
        parameters={key: str(v) if isinstance(v, Path) else v for key, v in parameters.items()},
        cwd=str(folder),
        progress_bar=False,
        start_timeout=PATIENCE,
        iopub_timeout=PATIENCE,
    )


def text_of(notebook: nbformat.NotebookNode) -> str:
    """Everything that the cells wrote as text."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs
    )


def shown_figures(notebook: nbformat.NotebookNode) -> int:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def interactive_figures(notebook: nbformat.NotebookNode) -> int:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum(PLOTLY in output.get("data", {}) for output in outputs)


def test_all_notebooks_are_known():
    assert sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb")) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_notebook_is_thin_and_clean(name):
    notebook = read(name)
    assert notebook.metadata.kernelspec.name == "python3"
    title, *others = (c.source for c in notebook.cells if c.cell_type == "markdown")
    assert title.startswith("# ") and title.splitlines()[0].endswith("?")
    assert not any(line.startswith("# ") for text in others for line in text.splitlines())
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        assert not cell.outputs and cell.execution_count is None, "clear all outputs"
        # A list of parameters, one per line, is not code that a reader has to follow.
        is_list = "parameters" in cell.metadata.get("tags", [])
        assert is_list or len(cell.source.splitlines()) <= 20
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_typed_commented_literals(name):
    source = parameter_cell(read(name))
    for line, statement in zip(source.splitlines(), ast.parse(source).body, strict=True):
        assert isinstance(statement, ast.AnnAssign), line
        value = ast.literal_eval(statement.value)
        assert type(value).__name__ == statement.annotation.id, line
        tokens = tokenize.generate_tokens(io.StringIO(line).readline)
        assert any(token.type == tokenize.COMMENT for token in tokens), line
    documented = papermill.inspect_notebook(str(ROOT / "notebooks" / f"{name}.ipynb"))
    assert all(p["inferred_type_name"] != "None" and p["help"] for p in documented.values())


def test_common_parameters_are_there():
    known = {name: papermill.inspect_notebook(f"{ROOT}/notebooks/{name}.ipynb") for name in NAMES}
    for name in (*NAMES[1:5], "06_changes"):
        assert set(known[name]) >= OF_A_RUN
    for name in NAMES[2:5]:
        assert "checkpoint" in known[name]
    assert set(known["05_compare"]) == {"runs", "work_dir", "width", "titles"}
    assert all({"width", "titles"} <= set(parameters) for parameters in known.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_drawn_and_saved_in_one_call(name):
    """Through `Figures`, which knows all parameters, so that no figure is replaced silently."""
    code = "\n".join(c.source for c in read(name).cells if c.cell_type == "code")
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    drawn = [c.args[1].func for c in calls if ast.unparse(c.func) == "figures.save"]
    static = {c.func for c in calls if ast.unparse(c.func).startswith("plots.")}
    static = {func for func in static if func.attr != "interactive_confusion"}
    assert drawn and set(drawn) == static
    (settings,) = (ast.unparse(c.args[2]) for c in calls if ast.unparse(c.func) == "Figures")
    assert settings.split(" | ")[0] == "settings" and "settings = check(globals())" in code


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def run(folder, tiny_options) -> RunFolder:
    """A run trained by notebook 01, for the others to look at."""
    run = RunFolder(folder / "runs" / "tiny" / "softmax_pcb" / "seed0")
    executed = execute(
        "01_train", folder, config=CONFIG, work_dir=run.path, cfg_options=tiny_options
    )
    assert "epoch 1/2" in text_of(executed) and shown_figures(executed) == 2
    return run


@pytest.fixture(scope="module")
def evaluated(run, folder) -> RunFolder:
    """The same run, predicted and evaluated by notebook 02."""
    executed = execute("02_evaluate", folder, work_dir=run.path)
    assert shown_figures(executed) == 3 and "published" not in text_of(executed)
    return run


def figures(run: RunFolder) -> set[str]:
    return {path.stem for path in run.figures.glob("*.png")}


@pytest.mark.slow
@pytest.mark.xdist_group("notebooks")
def test_dataset(folder, tiny_openmoji):
    work_dir = RunFolder(folder / "dataset")
    executed = execute("00_dataset", folder, out=tiny_openmoji, size="tiny", work_dir=work_dir.path)
    assert figures(work_dir) == {"class_tail", "training_images", "look_alikes"}
    assert shown_figures(executed) == 3
    text = text_of(executed)
    assert "24 training images, 8 classes" in text and "CC BY-SA 4.0" in text


@pytest.mark.slow
@pytest.mark.xdist_group("notebooks")
def test_train(run):
    assert run.checkpoint.is_file() and run.confusion_file.is_file()
    assert figures(run) >= {"loss", "strength"}


@pytest.mark.slow
@pytest.mark.xdist_group("notebooks")
def test_train_again_does_nothing(run, folder, tiny_options):
    written = run.checkpoint.stat().st_mtime_ns
    executed = execute(
        "01_train", folder, config=CONFIG, work_dir=run.path, cfg_options=tiny_options
    )
    assert "has finished: nothing to do" in text_of(executed)
    assert run.checkpoint.stat().st_mtime_ns == written


@pytest.mark.slow
@pytest.mark.xdist_group("notebooks")
def test_evaluate(evaluated):
    metrics = evaluated.read_metrics()
    assert set(metrics) == {"bbox", "segm"} and len(metrics["segm"]) == 13
    assert figures(evaluated) >= {"ap_by_group", "ap_by_image_count", "detections"}


@pytest.mark.slow
@pytest.mark.xdist_group("notebooks")
def test_confusion_matrix(evaluated, folder):
    executed = execute("03_confusion_matrix", folder, work_dir=evaluated.path, score_threshold=0.01)
    assert shown_figures(executed) == 8
    assert interactive_figures(executed) == 1
    matrices = evaluated.read_confusion()
    assert matrices["learned"].shape == (8, 8) and matrices["detections"].shape == (9, 9)
    three = {"learned_confusion", "ground_truth_confusion", "detection_confusion"}
    drawn = {*three, "group_heatmap", "confused_pairs", "confusion_zoom", "start_weights"}
    assert figures(evaluated) >= drawn
    assert all((evaluated.figures / f"{name}.pdf").is_file() for name in drawn)
    head, *lines = (evaluated.path / "confused_pairs.csv").read_text().splitlines()
    columns = "true,true_group,predicted,predicted_group,share,reverse_share,bias,count"
    assert head == f"{columns},true_label,predicted_label"
    assert len(lines) > 1


@pytest.mark.slow
@pytest.mark.xdist_group("notebooks")
def test_confusion_matrix_as_it_is_asked_for(evaluated, folder):
    name = open_run(evaluated.path).data.names[2]
    asked = {"order": "cluster", "normalize": "column", "zoom": name, "score_threshold": 0.01}
    executed = execute("03_confusion_matrix", folder, work_dir=evaluated.path, **asked)
    assert shown_figures(executed) == 8


@pytest.mark.slow
@pytest.mark.xdist_group("notebooks")
def test_changes(evaluated, folder):
    asked = {"before": evaluated.path, "order": "cluster", "score_threshold": 0.01}
    executed = execute("06_changes", folder, work_dir=evaluated.path, **asked)
    assert shown_figures(executed) == 2
    assert figures(evaluated) >= {"confusion_difference", "changed_pairs"}
    assert not (evaluated.path / "changed_pairs.csv").exists()  # from the same run nothing has


@pytest.mark.slow
@pytest.mark.xdist_group("notebooks")
def test_soft_labels(evaluated, folder):
    name = open_run(evaluated.path).data.names[3]
    executed = execute("04_soft_labels", folder, work_dir=evaluated.path, classes=[name])
    assert shown_figures(executed) == 6
    drawn = {"soft_labels", "soft_label_bars", "soft_label_history", "soft_label_entropy"}
    assert figures(evaluated) >= drawn


@pytest.mark.slow
@pytest.mark.xdist_group("notebooks")
def test_compare(evaluated, folder):
    # Copies under other names are as good as further trainings here.
    copies = [folder / "seeds" / "tiny" / name for name in COMPARED]
    for number, copy in enumerate(copies):
        shutil.copytree(evaluated.path, copy)
        metrics = evaluated.read_metrics()
        metrics["segm"]["AP"] = 0.1 + 0.01 * number**2
        RunFolder(copy).write_metrics(metrics)
    compared = RunFolder(folder / "compared")
    executed = execute("05_compare", folder, runs=list(map(str, copies)), work_dir=compared.path)
    drawn = {"ap_by_group", "ap_difference", "ap_by_class_softmax_pcb", "gain_by_role_softmax_pcb"}
    assert shown_figures(executed) == 4 and figures(compared) == drawn
    text = text_of(executed)
    assert "softmax_pcb is compared with softmax over 2 seeds (0, 1).\n" in text
    assert "more than PCB" not in text and "rfs_pcb" not in text
    assert re.search(r"softmax +segm +2 +10\.5 ± 0\.7", text)  # 10 and 11
    # 14 - 10 and 19 - 11: mean 6, std 2 sqrt 2, so that the interval is 6 -+ 12.706 * 2
    assert re.search(r"softmax_pcb +segm +difference +2 +\+6\.0 ", text)
    assert re.search(r"interval +2 +\[-19\.4, \+31\.4\]", text)


@pytest.mark.slow
@pytest.mark.xdist_group("notebooks")
def test_method_helps_the_rare_class(folder):
    """With the defaults of its toy classifiers, and with the equal losses that its text claims."""
    run = RunFolder(folder / "method")
    executed = execute("method", folder, work_dir=run.path)
    assert shown_figures(executed) == len(figures(run)) == 9
    text = text_of(executed)
    for loss, by_hand in re.findall(r"PCB: (\S+), by hand (\S+)\n", text):
        assert loss == by_hand
    assert "largest difference of the two matrices: 0\n" in text
    plain, balanced = re.search(r"for foxes: (\S+)%, with PCB (\S+)%", text).groups()
    assert float(balanced) < 0.8 * float(plain)
    assert "fewer with PCB in 5 of 5 repetitions" in text
    html = folder / "method.html"
    export_page(folder / "method.ipynb", html)
    equations = re.findall(r'<math [^>]*display="block"', html.read_text())
    assert len(equations) == sum(cell.source.count("$$") // 2 for cell in read("method").cells)


@pytest.fixture(scope="module")
def official(run, folder) -> Path:
    """The run's weights under the names of official checkpoints, and nothing beside them."""
    state = {
        name: value
        for name, value in read_checkpoint(run.checkpoint)["state_dict"].items()
        if not name.endswith(NEW_BUFFERS)
    }
    path = folder / "download" / "official.pth"
    save_checkpoint(path, {"state_dict": state})
    return path


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Iterator[Path]:
    """A copy of the repository, which kernels use, so that they write into its runs/ by default."""
    clone = tmp_path_factory.mktemp("clone")
    for name in ("pcb", "configs", "sample", "tests/configs"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", clone)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(clone))
        yield clone


@pytest.mark.slow
@pytest.mark.xdist_group("notebooks")
def test_config_and_checkpoint_are_enough(clone, official, evaluated, folder, tiny_options):
    default_run = RunFolder(clone / default_work_dir(CONFIG, SEED).relative_to(ROOT))
    given = {"config": CONFIG, "seed": SEED, "checkpoint": official, "cfg_options": tiny_options}
    for name, shown in zip(NAMES[4:1:-1], (4, 7, 3), strict=True):  # none needs another one first
        executed = execute(name, folder, **given)
        assert shown_figures(executed) == shown  # no age of rows: no official checkpoint has it
    assert default_run.read_metrics() == evaluated.read_metrics()
    matrices = default_run.read_confusion()
    assert set(matrices) == {"detections", "ground_truth_boxes", "ground_truth_box_count"}
    assert matrices["detections"].shape == (9, 9)
    assert figures(default_run) >= {"ap_by_group", "learned_confusion", "soft_label_bars"}
    assert not default_run.checkpoint.exists() and not default_run.log_file.exists()
    # It is a run folder now, which notebook 05 opens like any other.
    assert open_run(default_run.path).predictions("segm")


@pytest.mark.slow
@pytest.mark.xdist_group("notebooks")
def test_published_row_stands_beside_the_runs_own(evaluated, folder):
    ours = RunFolder(folder / "runs" / "lvis_v1" / "softmax_pcb" / "seed0")
    shutil.copytree(evaluated.path, ours.path)
    text = text_of(execute("02_evaluate", folder, work_dir=ours.path))
    assert re.search(r"published +22\.6 +7\.7 +21\.8 +29\.9", text)
    assert re.search(r"published +24\.1 +n/a", text)
    # In notebook 05 the run stands alone: there is nothing to compare it with, nor an error.
    compared = RunFolder(folder / "published")
    given = {"runs": [str(ours.path)] * 2, "work_dir": compared.path}
    text = text_of(execute("05_compare", folder, **given, width="column", titles=False))
    assert "there is nothing to compare" in text and figures(compared) == {"ap_by_group"}
    with Image.open(compared.figures / "ap_by_group.png") as picture:
        assert picture.width == 3.25 * 300
    assert re.search(r"softmax_pcb +segm +1 +\d", text) and "±" not in text  # one seed has none
    assert re.search(r"softmax_pcb, published +segm +n/a +22\.6 +7\.7 ", text)
    assert not re.search(r"published +bbox", text)  # a second line of the same run has no name


@pytest.fixture(scope="module", params=NAMES[2:7])
def shown_by_default(request, clone, folder) -> tuple[nbformat.NotebookNode, Path]:
    """A notebook that was run with its defaults, and its page."""
    before = digest(clone / "sample")
    executed = execute(request.param, folder)
    assert digest(clone / "sample") == before, "the sample was not left alone"
    assert any((clone / "runs").iterdir())
    page = folder / f"{request.param}.html"
    export_page(folder / f"{request.param}.ipynb", page)
    return executed, page


@pytest.mark.slow
@pytest.mark.xdist_group("defaults")
def test_defaults_show_the_sample_on_a_small_page(shown_by_default):
    executed, page = shown_by_default
    assert shown_figures(executed) >= 2
    assert page.stat().st_size < MOST_BYTES
    # Nothing in it has several seeds, and so neither a deviation nor an interval.
    assert not re.search(r"±|\binterval +1\b", text_of(executed))


@pytest.mark.slow
@pytest.mark.xdist_group("defaults")
@needs_browser
def test_page_needs_no_network_and_shows_every_figure(shown_by_default):
    executed, page = shown_by_default
    opened = open_page(page)
    assert opened.errors == [] and opened.remote == [] and opened.broken == []
    assert opened.images == shown_figures(executed)
    assert opened.interactive == [1] * interactive_figures(executed)


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
