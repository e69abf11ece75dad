"""Read, override, check and write MMDetection configs."""

from pcb.detection.config.loading import datasets, load_config, naming_config, save_config

__all__ = ["datasets", "load_config", "naming_config", "save_config"]
