"""Run the notebook of a Snakemake job.

Snakemake passes the parameters as Python objects, not through a shell.
"""

import os
import sys
import time
from pathlib import Path

# jsonschema imports this module for a format that notebooks do not use; importing takes seconds.
sys.modules["rfc3987_syntax"] = None

from pcb.grids.failures import record_failure
from pcb.grids.workflow import end_with_snakemake, snakemake_is_gone
from pcb.messages.lines import say
from pcb.messages.terminal import outliving_terminal
from pcb.notebooks.execute import NotebookError, run_notebook
from pcb.runs.folder import RunFolder
from pcb.storage.repository import repository_path
from pcb.study import launch

job = snakemake
parameters = job.params.parameters
run = RunFolder(repository_path(parameters["work_dir"]))
# For example "01_train openmoji/softmax/seed0". A job for a run has three wildcards, a job for a
# dataset has one.
name = f"{Path(job.log.notebook).stem} {'/'.join(run.path.parts[-len(job.wildcards) :])}"
end_with_snakemake()
# Share the job's threads among its processes; Snakemake lets each process use all of them.
own_threads = max(1, job.threads // parameters.get("gpus", 1))
os.environ.update(OMP_NUM_THREADS=str(own_threads), MKL_NUM_THREADS=str(own_threads))


@outliving_terminal()
def main() -> None:
    """Run the notebook, and exit with a nonzero status if the notebook fails or is stopped."""
    say(f"{name}: started")
    start = time.monotonic()
    try:
        with record_failure(job.log.notebook):
            run_notebook(
                job.input.notebook, parameters, job.log.notebook, job.output.page, f"{name}: "
            )
    except (NotebookError, ValueError) as error:
        say(f"{name}: {error}", sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        if snakemake_is_gone():
            say(
                f"{name}: stopped because Snakemake has ended; run the same command again to"
                " resume",
                sys.stderr,
            )
            sys.exit(1)
        # A training run continues without its notebook, but must end with the workflow.
        if job.rule == "train" and launch.stop_training(run):
            say(
                f"{name}: stopped; run the same command again to resume from the checkpoint",
                sys.stderr,
            )
        sys.exit(130)
    say(f"{name}: done in {time.monotonic() - start:.0f} s")


main()
