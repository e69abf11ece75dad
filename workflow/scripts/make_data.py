"""Make the data of a dataset if it is not there."""

from pathlib import Path

from pcb.failures import noted
from pcb.messages.lines import say
from pcb.terminal import outliving_terminal
from pcb.views import open_dataset
from pcb.workflow import end_with_snakemake

job = snakemake
end_with_snakemake()
with outliving_terminal(), noted(Path(job.output[0]).with_name("data.ipynb")):
    data = open_dataset(job.params.config, size=job.params.size)
    say(f"data {job.wildcards.dataset}: {data.root}")
