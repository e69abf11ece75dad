"""Run grids, record failures and report results.

A grid is a set of training runs that are listed in a grid file.
"""
