"""Write files atomically, lock files and folders, read literals, and find the repository."""
