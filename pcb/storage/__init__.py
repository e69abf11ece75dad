"""Helpers for repository paths, atomic writes, Python literals and locks."""
