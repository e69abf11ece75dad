"""Atomic writing of files, locks, Python literals, and the root of the repository."""
