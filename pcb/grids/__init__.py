"""Run grids, record their failures and report their results.

A grid is a set of training runs, which a grid file lists.
"""
