"""Format names, tables, suggestions, number ranges and warnings for people, and print them."""
