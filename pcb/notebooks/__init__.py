"""Check the parameters of notebooks, and run, export and copy notebooks."""
