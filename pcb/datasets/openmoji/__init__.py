"""Generate OpenMoji-LT, a long-tailed instance segmentation dataset in LVIS v1 format.

The images show icons of the open-source emoji project OpenMoji. No internet connection is needed.
"""

from pcb.datasets.openmoji.design import read_design
from pcb.datasets.openmoji.make import OutputFolderError, make_openmoji

__all__ = ["OutputFolderError", "make_openmoji", "read_design"]
