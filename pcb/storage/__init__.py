"""Find the repository, write files atomically, read Python literals, and lock files or folders."""
