"""What people read: text fit to be shown, nearest names, ranges, warnings, terminals."""
