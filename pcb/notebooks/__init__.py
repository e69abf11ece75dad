"""Check the parameters of notebooks, run notebooks, export their pages and copy them."""
