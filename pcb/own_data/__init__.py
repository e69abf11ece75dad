"""Import a user's dataset: annotations, configs and a grid, written by ``pcb data import``."""

from pcb.own_data.importing import import_data

__all__ = ["import_data"]
