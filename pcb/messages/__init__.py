"""Print messages; format names, tables, suggestions, number ranges and warnings."""
