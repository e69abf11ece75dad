"""Write the page over all runs of the grid."""

from pcb.report import write_page

write_page(snakemake.params.root, title=snakemake.params.title)
