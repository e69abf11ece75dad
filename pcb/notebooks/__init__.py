"""Notebooks: their parameters, their execution, their pages, and copies to work on."""
