"""Executing a notebook: kernels that do not start."""

import nbformat
import papermill
import pytest

from pcb.notebooks.execute import NOT_STARTED, run_notebook


@pytest.fixture
def notebook(tmp_path):
    cell = nbformat.v4.new_code_cell("seed: int = 0  # random seed")
    cell.metadata["tags"] = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "n.ipynb")
    return tmp_path / "n.ipynb"


@pytest.mark.parametrize("failures", [2, 3])
def test_kernel_whose_port_is_taken_is_started_again(failures, notebook, tmp_path, monkeypatch):
    starts = []

    def execute_notebook(given, executed, **_options):
        starts.append(given)
        if len(starts) <= failures:
            raise RuntimeError(NOT_STARTED)
        nbformat.write(nbformat.read(given, as_version=4), executed)

    monkeypatch.setattr(papermill, "execute_notebook", execute_notebook)
    if failures == 3:
        with pytest.raises(RuntimeError, match="Kernel died"):
            run_notebook(notebook, {}, tmp_path / "executed.ipynb", tmp_path / "page.html")
    else:
        run_notebook(notebook, {}, tmp_path / "executed.ipynb", tmp_path / "page.html")
        assert (tmp_path / "page.html").is_file()
    assert len(starts) == 3
