"""Run a notebook with parameters, and export the executed copy as an HTML page."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pcb.messages.lines import WholeLines
from pcb.notebooks.pages import export_page
from pcb.notebooks.parameters import check_parameters
from pcb.storage.repository import repository_root

STARTS = 3  # attempts to start a kernel
NOT_STARTED = "Kernel died before replying to kernel_info"  # error message of jupyter_client
PATIENCE = 300  # maximum seconds to wait for a kernel, which can be slow on a busy machine


class NotebookError(RuntimeError):
    """Raised if a notebook stops because a cell failed or the kernel died.

    Attributes:
        cell: Number of the cell that failed, as in ``In [3]``; None if the kernel died.
        error: The error that the cell raised, such as ``KeyError: 'x'``; if the kernel died, a
            possible reason and a remedy.
    """

    def __init__(self, message: str, error: str, cell: int | None = None) -> None:
        super().__init__(message)
        self.error, self.cell = error, cell


def run_notebook(
    notebook: str | os.PathLike[str],
    parameters: Mapping[str, Any],
    executed: str | os.PathLike[str],
    page: str | os.PathLike[str],
    label: str = "",
) -> None:
    """Run a notebook in the repository root, and export the executed copy as an HTML page.

    While the notebook runs, its output is written to ``sys.stdout`` and ``sys.stderr``.

    Args:
        notebook: The ``.ipynb`` file; it is not changed.
        parameters: Dict from parameter name to value; all other parameters keep their defaults.
        executed: Path of the executed copy. The copy is written after every cell, so it also
            exists if a cell fails.
        page: Path of the HTML page. The page is written after all cells have run. Code cells are
            folded on this page.
        label: Text to print before each line of output, to distinguish notebooks that share a
            terminal.

    Raises:
        ParameterError: The notebook does not accept a parameter's name or value.
        NotebookError: A cell failed, or the kernel died.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    parameters = check_parameters(notebook, parameters)  # papermill would only warn
    logging.getLogger("papermill").setLevel(logging.WARNING)  # hides the line for every cell
    Path(executed).parent.mkdir(parents=True, exist_ok=True)
    output, errors = WholeLines(sys.stdout, label), WholeLines(sys.stderr, label)
    try:
        _retry_start(
            partial(
                papermill.execute_notebook,
                str(notebook),
                str(executed),
                parameters=parameters,
                cwd=str(repository_root()),
                progress_bar=False,
                stdout_file=output,
                stderr_file=errors,
                start_timeout=PATIENCE,
                iopub_timeout=PATIENCE,  # the default of 4 seconds is too short
                # Encrypt TCP traffic, because other users of a shared machine could read it.
                config=Config({"KernelManager": {"transport_encryption": "auto"}}),
                # Otherwise kernels log their shutdown as an error.
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
            )
        )
    except PapermillExecutionError as error:
        text = f"{error.ename}: {error.evalue}"
        raise NotebookError(
            f"{Path(notebook).name} failed in cell {error.exec_count}: {text}\n"
            f"The executed notebook shows the whole error: {executed}",
            text,
            error.exec_count,
        ) from None
    except DeadKernelError:
        text = (
            "the kernel died, perhaps because the machine ran out of memory: free some memory, "
            "then run the notebook again"
        )
        raise NotebookError(f"{Path(notebook).name}: {text}", text) from None
    finally:
        output.close()
        errors.close()
    export_page(executed, page)


def _retry_start(execute: Callable[[], object]) -> None:
    """Execute a notebook, and try again if its kernel does not start."""
    # If kernels start at the same time, two may get the same port, and one of them then ends.
    for _ in range(STARTS - 1):
        try:
            execute()
            return
        except RuntimeError as error:
            if NOT_STARTED not in str(error):
                raise
    execute()
