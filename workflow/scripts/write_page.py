"""Write the results page of a grid of training runs."""

from pcb.grids.failures import forget_failures
from pcb.grids.report import write_page

forget_failures(snakemake.params.root)  # failures of runs that are no longer in the grid
write_page(snakemake.params.root, title=snakemake.params.title)
