"""Run grids, record their failures and report their results.

A grid is a set of training runs that are listed in a grid file.
"""
