"""Configs of MMDetection: reading them, changing them, and refusing what nothing would read."""

from pcb.detection.config.loading import datasets, load_config, naming_config, save_config

__all__ = ["datasets", "load_config", "naming_config", "save_config"]
