"""mmdet can be imported once pcb.detection has put the operators in place."""

import pcb.detection  # noqa: F401
