"""Files that appear whole or not at all, locks, literals, and the repository's root."""
