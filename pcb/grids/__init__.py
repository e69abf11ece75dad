"""Grids of runs: read a grid file, run the grid, record failures and report the results."""
