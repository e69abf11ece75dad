"""What maintains the repository; using it needs none of this."""
