"""Configs of MMDetection: reading, overriding and checking them, and writing them back."""

from pcb.detection.config.loading import datasets, load_config, naming_config, save_config

__all__ = ["datasets", "load_config", "naming_config", "save_config"]
