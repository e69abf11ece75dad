"""Programs that maintain the repository; using the kit does not need them."""
