"""Grids of runs: their files, their execution, their failures and their page."""
