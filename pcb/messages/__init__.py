"""Text that people read: printable names, tables, suggestions, ranges, warnings, terminals."""
