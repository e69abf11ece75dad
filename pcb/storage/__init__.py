"""Files that appear whole or not at all, locks, literals, and where the repository is."""
