"""Generate OpenMoji-LT, a long-tailed instance segmentation dataset in LVIS v1 format, offline.

The images of OpenMoji-LT show icons of the open-source emoji project OpenMoji.
"""

from pcb.datasets.openmoji.design import read_design
from pcb.datasets.openmoji.make import OutputFolderError, make_openmoji

__all__ = ["OutputFolderError", "make_openmoji", "read_design"]
