"""Write the page over all runs of the grid, all of which have succeeded."""

from pcb.grids.failures import forget
from pcb.grids.report import write_page

forget(snakemake.params.root)  # of runs that the grid no longer has
write_page(snakemake.params.root, title=snakemake.params.title)
