"""A notebook: its parameters, its execution, its page, and copies to work in."""
