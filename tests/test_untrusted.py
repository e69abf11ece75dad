"""Files of other people: reading them never executes their content."""

from pathlib import Path

import pytest
import torch

from pcb import study
from pcb.cli.main import main
from pcb.notebooks.execute import NotebookError, run_notebook
from pcb.runs.folder import RunFolder
from pcb.storage.repository import repository_path
from pcb.study import launch

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("untrusted")]

CONFIG = "tests/configs/tiny_pcb.py"
NOTEBOOKS = ("02_evaluate", "03_confusion_matrix", "04_soft_labels")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_options) -> RunFolder:
    from pcb.detection.engine.training import train

    options = {**tiny_options, "runner.max_epochs": 1}
    return train(CONFIG, tmp_path_factory.mktemp("run"), cfg_options=options, device="cpu")


@pytest.fixture
def poisoned(trained, trap, tmp_path):
    """Function that writes a finished checkpoint of the config with additional metadata."""

    def write(**meta) -> Path:
        state = torch.load(trained.checkpoint, weights_only=True)
        state["meta"] |= meta
        path = RunFolder(tmp_path / "run").create().checkpoint
        torch.save(state, path)
        return path

    return write


@pytest.fixture
def options(tiny_options) -> list[str]:
    words = {**tiny_options, "runner.max_epochs": 1}
    return ["--device", "cpu", "--cfg-options", *(f"{key}={v}" for key, v in words.items())]


def command(name: str, checkpoint: Path, options: list[str]) -> int:
    if name == "train":
        words = ["train", CONFIG, "--resume", "--work-dir", str(checkpoint.parent)]
    else:
        words = ["test", CONFIG, str(checkpoint)]
    return main([*words, *options])


@pytest.mark.parametrize("name", ["train", "test"])
def test_commands_refuse_a_pickle(name, poisoned, trap, options, capsys):
    assert command(name, poisoned(hook_msgs=trap), options) == 2
    assert "latest.pth was rejected" in capsys.readouterr().err
    assert not trap.sprung


@pytest.mark.parametrize("name", ["train", "test"])
def test_commands_do_not_run_python_text(name, poisoned, trap, options):
    assert command(name, poisoned(config=trap.text), options) == 0
    assert not trap.sprung


@pytest.mark.parametrize("name", ["train", "test"])
def test_commands_unpickle_trusted_checkpoints(name, poisoned, trap, options):
    checkpoint = poisoned(hook_msgs=trap)
    assert command(name, checkpoint, ["--trust-checkpoint", *options]) == 0
    assert trap.sprung


def test_views_unpickle_trusted_checkpoints(trained, poisoned, trap):
    view = study.open_run(trained.path)
    view.learned_confusion(poisoned(hook_msgs=trap), trust_checkpoint=True)
    assert trap.sprung


def run(name: str, options: dict, checkpoint: Path, folder: Path) -> None:
    parameters = {"config": CONFIG, "cfg_options": options, "work_dir": str(folder / "opened")}
    run_notebook(
        repository_path(f"notebooks/{name}.ipynb"),
        {**parameters, "checkpoint": str(checkpoint)},
        folder / "executed.ipynb",
        folder / "executed.html",
    )


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_refuse_a_pickle(name, tiny_options, poisoned, trap, tmp_path):
    with pytest.raises(NotebookError, match=r"latest\.pth was rejected"):
        run(name, tiny_options, poisoned(hook_msgs=trap), tmp_path)
    assert not trap.sprung


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_do_not_run_python_text(name, tiny_options, poisoned, trap, tmp_path):
    run(name, tiny_options, poisoned(config=trap.text), tmp_path)
    assert not trap.sprung


def test_config_of_a_run_folder_is_not_executed(trained, poisoned, trap, tiny_options):
    """Opening, testing and resuming a run read its config.py as data."""
    from pcb.detection.engine.inference import predict

    folder = RunFolder(poisoned().parent)
    folder.write_environment(trained.read_environment())
    merged = trained.config_file.read_text()
    folder.config_file.write_text(f"{merged}\nx = {trap.text}\n")
    for read in (
        lambda: study.open_run(folder.path),
        lambda: study.open_run(folder.path, cfg_options={"data.workers_per_gpu": 0}),
        lambda: study.state_of(folder),
        lambda: launch.start_training(CONFIG, folder.path, cfg_options=tiny_options),
        lambda: predict(folder.path, folder.checkpoint, folder.path, device="cpu"),
    ):
        with pytest.raises(ValueError, match=r"config\.py is not the merged config of a run"):
            read()
    assert not trap.sprung
    folder.config_file.write_text(merged)
    assert study.state_of(folder).kind == "finished"
    assert main(["test", str(folder.path), str(folder.checkpoint), "--device", "cpu"]) == 0
