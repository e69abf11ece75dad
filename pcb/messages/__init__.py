"""What people read: printable text, tables, suggested names, ranges, warnings, terminals."""
