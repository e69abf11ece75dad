"""Create the images and annotations of a dataset if they are missing."""

from pathlib import Path

from pcb.grids.failures import record_failure
from pcb.grids.workflow import end_with_snakemake
from pcb.messages.lines import say
from pcb.messages.terminal import outliving_terminal
from pcb.study.data import open_dataset

job = snakemake
end_with_snakemake()
with outliving_terminal(), record_failure(Path(job.output[0]).with_name("data.ipynb")):
    data = open_dataset(job.params.config, size=job.params.size)
    say(f"The data of {job.wildcards.dataset} is in {data.root}")
