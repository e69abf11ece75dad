"""Execute the rule's notebook with the rule's parameters, which so never pass through a shell."""

import os
import sys
import time
from pathlib import Path

# jsonschema imports it for a format that no notebook has, and building its grammar takes seconds.
sys.modules["rfc3987_syntax"] = None

from pcb.grids.failures import noted
from pcb.grids.processes import end_with_snakemake, snakemake_is_gone
from pcb.messages.lines import say
from pcb.messages.terminal import outliving_terminal
from pcb.notebooks.execute import NotebookError, run_notebook
from pcb.runs.folder import RunFolder
from pcb.storage.repository import repository_path
from pcb.study import launch

job = snakemake
parameters = job.params.parameters
run = RunFolder(repository_path(parameters["work_dir"]))
# Such as "01_train openmoji/softmax/seed0"; a dataset has one wildcard and one part, a run three.
name = f"{Path(job.log.notebook).stem} {'/'.join(run.path.parts[-len(job.wildcards) :])}"
end_with_snakemake()
# The processes of a training share its threads; Snakemake has told each that it may use them all.
own_threads = max(1, job.threads // parameters.get("gpus", 1))
os.environ.update(OMP_NUM_THREADS=str(own_threads), MKL_NUM_THREADS=str(own_threads))


@outliving_terminal()
def main() -> None:
    """Run it, and end as Snakemake expects."""
    say(f"{name}: started")
    start = time.monotonic()
    try:
        with noted(job.log.notebook):
            run_notebook(
                job.input.notebook, parameters, job.log.notebook, job.output.page, f"{name}: "
            )
    except (NotebookError, ValueError) as error:
        say(f"{name}: {error}", sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        if snakemake_is_gone():
            say(f"{name}: ended, because its Snakemake is gone; the next call goes on", sys.stderr)
            sys.exit(1)
        # A training outlives its notebook; of a whole workflow, one expects that it ends.
        if job.rule == "train" and launch.stop_training(run):
            say(f"{name}: stopped; the next call goes on after its last checkpoint", sys.stderr)
        sys.exit(130)
    say(f"{name}: done in {time.monotonic() - start:.0f} s")


main()
